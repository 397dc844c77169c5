// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package hostile

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
)

// Leaked stands in the answers of Cases where no text may be repeated from.
const Leaked = "t0ken-that-must-not-be-printed"

// Case is an answer that no source may take a token from.
type Case struct {
	Answer  http.HandlerFunc
	Class   daemon.Class
	Timeout time.Duration // of the attempt; 0: a minute
}

// Cases returns answers, by name, that are wrong whatever the protocol is, if its answers are JSON objects of at most
// 256 KiB.
func Cases() map[string]Case {
	const soon = time.Second
	deep := strings.Repeat(`{"status":`, 20000) + "1" + strings.Repeat("}", 20000)
	redirect := func(status int) http.HandlerFunc {
		return JSON(status, Leaked, "Location: https://evil.test/"+Leaked+"?"+Leaked)
	}
	all := map[string]Case{}
	add := func(class daemon.Class, answers map[string]http.HandlerFunc) {
		for name, answer := range answers {
			all[name] = Case{Answer: answer, Class: class}
		}
	}
	add(daemon.ClassMalformed, map[string]http.HandlerFunc{
		"form":             JSON(200, "access_token="+Leaked, "Content-Type: application/x-www-form-urlencoded"),
		"empty 200":        JSON(200, ""),
		"204":              JSON(204, ""),
		"300 KiB":          JSON(200, `{"token":"`+strings.Repeat(Leaked, 10000)+`"}`),
		"gzip":             JSON(200, "\x1f\x8b\x08\x00"+strings.Repeat("\x00\xff", 1000), "Content-Encoding: gzip"),
		"UTF-16":           JSON(200, "\xff\xfe{\x00}\x00"),
		"a member twice":   JSON(200, `{"x":1,"x":2}`),
		"garbage behind":   JSON(200, `{"token":"`+Leaked+`"}x`),
		"an array":         JSON(200, `["`+Leaked+`"]`),
		"20,000 levels":    JSON(200, deep),
		"an empty object":  JSON(200, `{}`),
		"null":             JSON(200, `null`),
		"a text":           JSON(200, `"`+Leaked+`"`),
		"HTML":             JSON(200, "<html>"+Leaked, "Content-Type: text/html"),
		"an echo with 200": echo(200),
		"an echo as a name": func(w http.ResponseWriter, r *http.Request) {
			JSON(200, fmt.Sprintf(`{%[1]q:1,%[1]q:2}`, credential(r.Header)))(w, r)
		},
	})
	add(daemon.ClassUnavailable, map[string]http.HandlerFunc{
		"HTML with 502":        JSON(502, "<html>"+Leaked),
		"HTML with 503":        JSON(503, "<html>"+Leaked),
		"408":                  JSON(408, ""),
		"425":                  JSON(425, ""),
		"an echo with 500":     echo(500),
		"closed":               Raw(),
		"closed in the middle": Raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
		"not HTTP":             Raw("SSH-2.0-OpenSSH " + Leaked + "\r\n\r\n"),
		"NUL in a header":      Raw("HTTP/1.1 200 OK\r\nA\x00B: " + Leaked + "\r\n\r\n"),
		"12 MB of headers":     Raw("HTTP/1.1 200 OK\r\n", strings.Repeat("X-Fill: "+strings.Repeat("f", 1000)+"\r\n", 12000)),
	})
	add(daemon.ClassConfig, map[string]http.HandlerFunc{
		"302": redirect(302), "303": redirect(303), "307": redirect(307), "308": redirect(308),
	})
	add(daemon.ClassRefused, map[string]http.HandlerFunc{
		"400": JSON(400, Leaked), "401": JSON(401, "<html>"+Leaked), "403": JSON(403, ""), "404": JSON(404, Leaked), "418": JSON(418, `{"`+Leaked+`":1}`),
		"an echo with 400": echo(400),
	})
	add(daemon.ClassThrottled, map[string]http.HandlerFunc{
		"429":                  JSON(429, Leaked),
		"429 with Retry-After": JSON(429, "", "Retry-After: 120"),
		"503 with Retry-After": JSON(503, "", "Retry-After: 120"),
		"403 with Retry-After": JSON(403, "", "Retry-After: 120"),
	})
	all["a drip"] = Case{Answer: Drip, Class: daemon.ClassUnavailable, Timeout: soon}
	all["silence"] = Case{Answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, Class: daemon.ClassUnavailable, Timeout: soon}
	return all
}

// echo shows what was sent in the headers, in names and in values of an answer.
func echo(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		sent := credential(r.Header)
		members := fmt.Sprintf(`%[1]q:1,%[1]q:2`, sent)
		JSON(status, fmt.Sprintf(`{"message":%q,"reason":"","status":{%s},"token":{%s}}`, sent, members, members), "X-Echo: "+sent)(w, r)
	}
}

// credential returns what a request proves itself with.
func credential(h http.Header) string {
	sent := h.Get("Authorization")
	return sent[strings.LastIndexByte(sent, ' ')+1:]
}

// Test has s ask i, which answers as each of Cases. Each attempt must be one request, end in its time, and fail with the
// class of the case and an error on one line that repeats neither the answer, nor what the request proved itself with, nor
// secrets. What waiting does not mend comes with a remedy.
func Test(t *testing.T, i *Issuer, s daemon.Source, secrets ...string) {
	for name, c := range Cases() {
		t.Run(name, func(t *testing.T) { c.test(t, i, s, append(secrets, Leaked)) })
	}
}

func (c Case) test(t *testing.T, i *Issuer, s daemon.Source, secrets []string) {
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	i.Answer(c.Answer)
	i.Asked()
	token, err := c.attempt(t, s)
	asked := i.Asked()
	for ; len(asked) == 0 && c.Timeout < time.Minute; asked = i.Asked() { // a busy machine came no further than the handshake
		c.Timeout *= 4
		token, err = c.attempt(t, s)
	}
	if len(asked) != 1 {
		t.Fatalf("%d requests", len(asked))
	}
	if sent := credential(asked[0].Header); sent != "" {
		secrets = append(secrets, sent[:min(len(sent), 60)]) // errors cut what they quote
	}
	f, ok := errors.AsType[*daemon.Failure](err)
	if !ok || !token.Value.IsZero() {
		t.Fatalf("%+v %v", token, err)
	}
	if f.Class != c.Class || f.Endpoint != i.URL {
		t.Errorf("%q of %q, want %q: %v", f.Class, f.Endpoint, c.Class, err)
	}
	if (c.Class == daemon.ClassConfig || c.Class == daemon.ClassRefused) && f.Hint == "" {
		t.Errorf("no remedy: %v", err)
	}
	said := fmt.Sprintf("%v %s %+v %#v", err, f.Hint, err, f)
	for _, secret := range secrets {
		if strings.Contains(said, secret) {
			t.Errorf("%q was printed: %s", secret, said)
		}
	}
	if strings.ContainsFunc(err.Error()+f.Hint, unicode.IsControl) {
		t.Errorf("a control character: %q", said)
	}
}

func (c Case) attempt(t *testing.T, s daemon.Source) (daemon.Token, error) {
	ctx, cancel := context.WithTimeout(t.Context(), c.Timeout)
	defer cancel()
	start := time.Now()
	token, err := s.Token(ctx)
	if took := time.Since(start); took > c.Timeout+30*time.Second {
		t.Errorf("took %v", took)
	}
	return token, err
}

// Answered returns a 200 with this body and the header Date, asked for a second ago, or nil if the body is not one JSON
// object. It is for fuzzing what reads the members.
func Answered(body []byte, date string) *endpoint.Answer {
	o, err := endpoint.ParseObject(body)
	if err != nil {
		return nil
	}
	now := time.Now().Round(0)
	a := &endpoint.Answer{Status: 200, Header: http.Header{}, Object: o, Asked: now.Add(-time.Second), Received: now}
	a.Date, _ = http.ParseTime(date)
	return a
}
