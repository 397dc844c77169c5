// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package simulate

import (
	"time"

	"github.com/renewd/renewd/daemon/schedule"
)

// Rule says how long a pod waits. Its functions have the form of those of schedule.Policy, and are called from one
// goroutine for each run: they must be safe for concurrent use and depend on their arguments alone.
type Rule struct {
	Name    string
	Refresh func(now time.Time, l schedule.Life, draw float64) time.Duration
	Retry   func(now time.Time, l schedule.Life, f schedule.Failing, draw float64) time.Duration
}

// Of returns the rule of renewd itself under a policy.
func Of(name string, p schedule.Policy) Rule {
	return Rule{Name: name, Refresh: p.Refresh, Retry: p.Retry}
}

// The backoff that is common elsewhere, and used for all peers: full jitter from a second on.
const (
	peerBase = time.Second
	peerCap  = 5 * time.Minute
)

// Peers returns what others do, in the order of a table. They differ in when they refresh; how they retry is the common
// backoff for all, so that the table compares one thing.
func Peers() []Rule {
	return []Rule{
		peer("fixed 80 %", func(life time.Duration, _ float64) time.Duration { return share(life, 0.8) }),
		peer("kubelet: 80 % less up to 10 s", func(life time.Duration, draw float64) time.Duration {
			return share(life, 0.8) - share(10*time.Second, draw)
		}),
		peer("Istio: 50 % ± 1 %", func(life time.Duration, draw float64) time.Duration { return share(life, 0.49+0.02*draw) }),
		peer("five minutes before expiry", func(life time.Duration, _ float64) time.Duration { return life - 5*time.Minute }),
		peer("ten seconds before (x/oauth2)", func(life time.Duration, _ float64) time.Duration { return life - 10*time.Second }),
	}
}

// peer is a rule that refreshes at an age, but not more than once a second.
func peer(name string, age func(life time.Duration, draw float64) time.Duration) Rule {
	return Rule{
		Name: name,
		Refresh: func(now time.Time, l schedule.Life, draw float64) time.Duration {
			due := l.Issued.Add(age(l.Expires.Sub(l.Issued), draw))
			return max(time.Second, due.Sub(now))
		},
		Retry: func(_ time.Time, _ schedule.Life, f schedule.Failing, draw float64) time.Duration {
			return share(min(peerCap, peerBase<<min(max(0, f.Count-1), 16)), draw)
		},
	}
}

func share(d time.Duration, fraction float64) time.Duration {
	return time.Duration(float64(d) * fraction)
}
