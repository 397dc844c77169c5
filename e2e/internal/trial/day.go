// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package trial

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"golang.org/x/oauth2/google/externalaccount"
	"k8s.io/client-go/transport"
)

// Blink refreshes tokens that live twenty seconds, of which the issuer rounds one away, every one to two seconds: what holds up a
// busy machine is shorter than what they have left.
const Blink = "refresh: {at: 5%-10%, floor: 100ms, spread: false}"

// Server is what Day asks of an issuer: how often its token endpoint has been asked, and how many connections are open.
type Server interface {
	Tokens() int
	Connections() int
}

// Day runs renewd until every reader has seen six tokens: a day in fast motion. Besides Reader, two readers of real life
// look at the file all the while, client-go's and the one of Google's external accounts. The file is always good, each
// token takes one request, and no connection is left open.
func (r *Trial) Day(s Server, good func(token string) error) {
	r.t.Helper()
	const longest, least = 2 * time.Minute, 6
	reader := r.Read(good)
	run := r.Run()
	reader.Next(1)

	ctx, stop := context.WithTimeout(context.Background(), longest)
	defer stop()
	var seen struct{ clientGo, external int }
	var faults [2]error
	var readers sync.WaitGroup
	readers.Go(func() { seen.clientGo, faults[0] = r.clientGo(ctx, least, good) })
	readers.Go(func() { seen.external, faults[1] = r.external(ctx, least, good) })
	readers.Wait()
	r.Must(run.Stop())
	r.Must(errors.Join(faults[:]...))

	if seen.clientGo < least || seen.external < least || reader.Seen() < least {
		r.t.Errorf("of %d tokens client-go has seen %d and the external account %d", reader.Seen(), seen.clientGo, seen.external)
	}
	if n := s.Tokens(); n != reader.Seen() {
		r.t.Errorf("the token endpoint was asked %d times for %d tokens", n, reader.Seen())
	}
	r.Await("no connection is left open", func() bool { return s.Connections() == 0 })
}

// clientGo reads as a Kubernetes client does that gets a 401 every 50 milliseconds, until it was given enough tokens, and returns
// how many.
func (r *Trial) clientGo(ctx context.Context, enough int, good func(string) error) (int, error) {
	source, seen := transport.NewCachedFileTokenSource(r.Path("out/token")), map[string]bool{}
	for ctx.Err() == nil && len(seen) < enough {
		token, err := source.Token()
		if err == nil {
			err = good(token.AccessToken)
		}
		if err != nil {
			return 0, err
		}
		seen[token.AccessToken] = true
		source.ResetTokenOlderThan(time.Now())
		pause(ctx, 50*time.Millisecond)
	}
	return len(seen), nil
}

// external exchanges the token again and again as the clients of Google's cloud do, until enough tokens have arrived, and returns
// how many.
func (r *Trial) external(ctx context.Context, enough int, good func(string) error) (int, error) {
	seen := map[string]bool{}
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		subject := q.PostFormValue("subject_token")
		if err := good(subject); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		seen[subject] = true
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"exchanged","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`)
	}))
	defer sts.Close()
	for ctx.Err() == nil && len(seen) < enough {
		source, err := externalaccount.NewTokenSource(context.WithoutCancel(ctx), externalaccount.Config{
			Audience:         "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
			SubjectTokenType: "urn:ietf:params:oauth:token-type:jwt", TokenURL: sts.URL,
			Scopes:           []string{"https://www.googleapis.com/auth/cloud-platform"},
			CredentialSource: &externalaccount.CredentialSource{File: r.Path("out/token")},
		})
		if err == nil {
			_, err = source.Token()
		}
		if err != nil {
			return 0, err
		}
		pause(ctx, 100*time.Millisecond)
	}
	return len(seen), nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
