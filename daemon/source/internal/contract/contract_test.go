// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package contract

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
)

const canary = "canary-3c1f"

type source func(context.Context) (daemon.Token, error)

func (s source) Token(ctx context.Context) (daemon.Token, error) { return s(ctx) }

type listed struct {
	source
	inputs []string
}

func (l listed) Inputs() []string { return l.inputs }

type leaky struct {
	source
	key string
}

func good() daemon.Token {
	now := time.Now().Round(0)
	return daemon.Token{Value: daemon.NewSecret("abc.def"), Type: "Bearer", IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
}

// honest is a source that keeps the contract, but for what change does to its tokens.
func honest(change func(*daemon.Token)) source {
	return func(ctx context.Context) (daemon.Token, error) {
		if ctx.Err() != nil {
			return daemon.Token{}, failure(daemon.ClassUnavailable, ctx.Err().Error())
		}
		token := good()
		change(&token)
		return token, nil
	}
}

func failure(class daemon.Class, text string) error {
	return fmt.Errorf("get token: %w", &daemon.Failure{Class: class, Err: errors.New(text), Hint: "mend it"})
}

func failing(class daemon.Class, err error) map[string]Failing {
	return map[string]Failing{"broken": {Class: class, Source: source(func(context.Context) (daemon.Token, error) {
		return daemon.Token{}, err
	})}}
}

func unchanged(*daemon.Token) {}

func TestHonestSourcePasses(t *testing.T) {
	Test(t, Case{
		Source: listed{honest(unchanged), []string{"/key"}}.copied(),
		Inputs: []string{"/key"},
		Slow: source(func(ctx context.Context) (daemon.Token, error) {
			<-ctx.Done()
			return daemon.Token{}, failure(daemon.ClassUnavailable, "deadline")
		}),
		Failing: failing(daemon.ClassConfig, failure(daemon.ClassConfig, "no such file")),
		Secrets: []string{canary},
	})
}

type copied struct{ listed }

func (c copied) Inputs() []string { return slices.Clone(c.inputs) }

func (l listed) copied() copied { return copied{l} }

func TestBreachesAreFound(t *testing.T) {
	var kept []*os.File
	defer func() {
		for _, f := range kept {
			_ = f.Close()
		}
	}()
	stop := make(chan struct{})
	defer close(stop)
	for want, c := range map[string]Case{
		"source: empty token": {Source: honest(func(t *daemon.Token) { t.Value = daemon.Secret{} })},
		"source: token with a character that is not visible ASCII": {Source: honest(func(t *daemon.Token) { t.Value = daemon.NewSecret("a b") })},
		"source: no token type":                      {Source: honest(func(t *daemon.Token) { t.Type = "" })},
		"source: IssuedAt is zero":                   {Source: honest(func(t *daemon.Token) { t.IssuedAt = time.Time{} })},
		"source: IssuedAt is in the future":          {Source: honest(func(t *daemon.Token) { t.IssuedAt = t.ExpiresAt })},
		"source: ExpiresAt is not after IssuedAt":    {Source: honest(func(t *daemon.Token) { t.ExpiresAt = t.IssuedAt })},
		"source: IssuedAt has a monotonic reading":   {Source: honest(func(t *daemon.Token) { t.IssuedAt = time.Now() })},
		"source: ExpiresAt has a monotonic reading":  {Source: honest(func(t *daemon.Token) { t.ExpiresAt = time.Now().Add(time.Hour) })},
		"source: a notice shows the token":           {Source: honest(func(t *daemon.Token) { t.Notices = []string{"abc.def"} })},
		"source: a notice shows Secrets[0]":          {Source: honest(func(t *daemon.Token) { t.Notices = []string{canary} })},
		"source: a notice has a control character":   {Source: honest(func(t *daemon.Token) { t.Notices = []string{"a\nb"} })},
		"source: the source shows Secrets[0]":        {Source: leaky{honest(unchanged), canary}},
		"source: an attempt that should succeed: no": {Source: source(func(context.Context) (daemon.Token, error) { return daemon.Token{}, errors.New("no") })},
		"source: 20 goroutines left behind": {Source: honest(func(*daemon.Token) {
			go func() { <-stop }()
		})},
		"source: 20 descriptors left open": {Source: honest(func(*daemon.Token) {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Error(err)
			}
			kept = append(kept, f)
		})},
		"ended context: no error although the context had ended": {Source: source(func(context.Context) (daemon.Token, error) { return good(), nil })},
		"ended context: the error is no *daemon.Failure: context deadline exceeded": {Source: source(func(ctx context.Context) (daemon.Token, error) {
			return good(), ctx.Err()
		})},
		"slow source: no error although the context had ended": {Source: honest(unchanged), Slow: honest(unchanged)},
		"broken: no error": {Source: honest(unchanged), Failing: failing("", nil)},
		`broken: class "config", want "refused": get token: x`: {Source: honest(unchanged), Failing: failing(daemon.ClassRefused, failure(daemon.ClassConfig, "x"))},
		"broken: the error shows Secrets[0]":                   {Source: honest(unchanged), Failing: failing(daemon.ClassConfig, failure(daemon.ClassConfig, canary))},
		"broken: the error has a control character":            {Source: honest(unchanged), Failing: failing(daemon.ClassConfig, failure(daemon.ClassConfig, "a\tb"))},
		"broken: the hint shows Secrets[0]": {Source: honest(unchanged), Failing: failing(daemon.ClassConfig,
			&daemon.Failure{Class: daemon.ClassConfig, Err: errors.New("x"), Hint: canary})},
		"broken: no remedy: x": {Source: honest(unchanged), Failing: failing(daemon.ClassRefused, &daemon.Failure{Class: daemon.ClassRefused, Err: errors.New("x")})},
		"broken: a token beside an error": {Source: honest(unchanged), Failing: map[string]Failing{"broken": {Class: daemon.ClassConfig,
			Source: source(func(context.Context) (daemon.Token, error) { return good(), failure(daemon.ClassConfig, "x") })}}},
		"inputs: not implemented":                        {Source: honest(unchanged), Inputs: []string{"/key"}},
		`inputs: got ["/key"], want []`:                  {Source: listed{honest(unchanged), []string{"/key"}}},
		"inputs: the caller can change what is returned": {Source: listed{honest(unchanged), []string{"/key"}}, Inputs: []string{"/key"}},
		`inputs: got ["/b" "/a"], want ["/a" "/b"]`:      {Source: listed{honest(unchanged), []string{"/b", "/a"}}, Inputs: []string{"/a", "/b"}},
	} {
		c.Secrets = []string{canary}
		if found := problems(t.Context(), c, time.Second/2); !slices.Contains(found, want) {
			t.Errorf("%q not found in %q", want, strings.Join(found, "; "))
		}
	}
}
