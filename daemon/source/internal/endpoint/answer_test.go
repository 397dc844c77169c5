// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package endpoint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
)

func TestLongestAnswer(t *testing.T) {
	i := hostile.New(t, nil)
	for name, c := range map[string]struct {
		limit, size int
		says        string // "": it is read
	}{
		"default":     {0, 256 << 10, ""},
		"beyond":      {0, 256<<10 + 1, "longer than 262144 bytes"},
		"more":        {1 << 20, 1 << 20, ""},
		"beyond more": {1 << 20, 1<<20 + 1, "longer than 1048576 bytes"},
		"less":        {100, 101, "longer than 100 bytes"},
	} {
		i.Answer(hostile.JSON(200, `{"x":"`+strings.Repeat("x", c.size-len(`{"x":""}`))+`"}`))
		answer, f := asks(t, trusting(i), endpoint.Request{URL: i.URL, MaxBody: c.limit})
		if c.says != "" {
			want(t, name, f, daemon.ClassMalformed, c.says)
		} else if f != nil || len(answer.Object.Text("x")) != c.size-len(`{"x":""}`) {
			t.Errorf("%s: %v", name, f)
		}
	}
}

// What is wrong inside of an answer is said by its name, which may be what was sent.
func TestInner(t *testing.T) {
	i := hostile.New(t, nil)
	const secret = "s3cret-that-was-sent"
	for body, says := range map[string]string{
		`{"a":{"b":"x"}}`: "", `{}`: "", `{"a":null}`: "",
		`{"a":[]}`:               `member "a": not a JSON object`,
		`{"a":"` + secret + `"}`: `member "a": not a JSON object`,
		`{"a":{"b":1,"b":2}}`:    `member "a": the member "b" appears twice`,
		`{"a":{"` + secret + `":1,"` + secret + `":2}}`: `member "a": the member "[redacted]" appears twice`,
	} {
		i.Answer(hostile.JSON(200, body))
		answer, f := asks(t, trusting(i), endpoint.Request{URL: i.URL, Secrets: []daemon.Secret{daemon.NewSecret(secret)}})
		if f != nil {
			t.Fatal(f)
		}
		inner, err := answer.Inner("a")
		if (err == nil) != (says == "") || err != nil && err.Error() != says {
			t.Errorf("%s: %v, want %q", body, err, says)
		}
		if got := inner.Text("b"); (got == "x") != strings.Contains(body, `"x"`) {
			t.Errorf("%s: %q", body, got)
		}
	}
}

func TestClocks(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for date, says := range map[time.Time]string{
		{}:                                    "the clock says 2026-01-02T03:04:05Z",
		now.Add(5 * time.Second):              "the clock says 2026-01-02T03:04:05Z",
		now.Add(-time.Minute):                 "the clock says 2026-01-02T03:04:05Z", // the answer took as long
		now.Add(6 * time.Second):              "the clock says 2026-01-02T03:04:05Z, the issuer's 2026-01-02T03:04:11Z",
		now.Add(-time.Minute - 6*time.Second): "the clock says 2026-01-02T03:04:05Z, the issuer's 2026-01-02T03:02:59Z",
	} {
		a := &endpoint.Answer{Asked: now.Add(-time.Minute), Received: now, Date: date}
		if got := a.Clocks(); got != says || a.ClocksDiffer() != strings.Contains(says, "issuer") {
			t.Errorf("%v: %q, want %q", date, got, says)
		}
	}
}

// What an answer calls a token is hidden, but no letter is: the answer could make its own error unreadable, and so long that it
// takes the memory of the machine.
func TestShortTokens(t *testing.T) {
	i := hostile.New(t, nil)
	description := "it expired" + strings.Repeat("e", 200<<10)
	i.Answer(hostile.JSON(400, `{"error":"invalid_grant","access_token":"e","id_token":"d","token":"i","error_description":"`+description+`"}`))
	_, f := asks(t, trusting(i), endpoint.Request{URL: i.URL})
	want(t, "short tokens", f, daemon.ClassRefused, `400: invalid_grant: "it expired`)
	if f.Code != "invalid_grant" {
		t.Errorf("code %q", f.Code)
	}
	// One that stands in what takes its place, and that was sent, so that it is hidden.
	answer, f := asks(t, trusting(i), endpoint.Request{URL: i.URL, Secrets: []daemon.Secret{daemon.NewSecret("act")}})
	if quoted := answer.Quote("act"); f == nil || quoted != `"[red[redacted]ed]"` {
		t.Errorf("%s", quoted)
	}
}
