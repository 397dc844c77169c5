// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package schedule decides how long to wait before the next attempt. It is pure arithmetic on wall-clock times: it has no
// clock, does no I/O, keeps no state, and the random draw is an argument.
package schedule

import "time"

// Policy says when a token is refreshed. Start from Default; the zero value refreshes at the very start of life, through
// the floor.
type Policy struct {
	AtStart, AtEnd float64       // the refresh window, as fractions of the life: 0.70 and 0.80
	Before         time.Duration // the window ends at least this long before expiry; 0: no demand
	Interval       time.Duration // the window ends at most this long after issue; 0: no demand
	DefaultTTL     time.Duration // the life of a token that does not say
	Keep           time.Duration // readers are promised min(Keep, life/4)
	Outage         time.Duration // an issuer outage to survive; 0: no demand
	Floor          time.Duration // never less than this between two attempts; below one millisecond counts as one second
	Spread         bool          // draw the first refresh after a start from nearly the whole life
}

// Default returns the policy of an empty configuration.
func Default() Policy {
	return Policy{
		AtStart: 0.70, AtEnd: 0.80,
		DefaultTTL: 5 * time.Minute,
		Keep:       2 * time.Minute,
		Floor:      time.Second,
		Spread:     true,
	}
}
