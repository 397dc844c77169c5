// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package endpoint

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon"
)

// shortestToken is the length, in bytes, from which what an answer calls a token is taken for a secret. A letter is none: without
// each of them nobody could read the error, nor renewd its code.
const shortestToken = 8

// judge reads the body and returns nil if the answer says yes, in this order: an error in the body, the status, the form
// of the body.
func (c *call) judge(body []byte) error {
	object, err := Object{}, fmt.Errorf("longer than %d bytes", c.longest())
	if len(body) <= c.longest() {
		object, err = ParseObject(body)
	}
	c.answer.Object = object
	// What an issuer hands out is as secret as what it was sent, also beside an error.
	for _, name := range []string{"access_token", "refresh_token", "id_token", "token"} {
		if token := object.Text(name); len(token) >= shortestToken {
			c.answer.secrets = append(c.answer.secrets, daemon.NewSecret(token))
		}
	}
	member := c.Code
	if member == "" {
		member = "error"
	}
	switch value := string(object.Member(member)); {
	case value != "" && value != `""` && value != "false":
		return c.refusal(object.Text(member))
	case c.answer.Status/100 != 2:
		return c.refusal("")
	case err != nil:
		text := fmt.Sprintf("%d: expected a JSON object in UTF-8, got %s: %s", c.answer.Status, c.kind(len(body)), c.answer.problem(err))
		return c.answered(daemon.ClassMalformed, text, "")
	}
	return nil
}

// kind says what the body claims to be.
func (c *call) kind(size int) string {
	kind := "no Content-Type"
	if t := c.answer.Header.Get("Content-Type"); t != "" {
		kind = "Content-Type " + c.answer.Quote(t)
	}
	if encoding := c.answer.Header.Get("Content-Encoding"); encoding != "" {
		kind += ", compressed as " + c.answer.Quote(encoding) + " without being asked to"
	}
	if size == 0 {
		kind += " and no body"
	}
	return kind
}

// refusal returns the Failure of an answer that says no.
func (c *call) refusal(code string) error {
	a := c.answer
	if a.Status/100 == 3 {
		return c.answered(daemon.ClassConfig, fmt.Sprintf("%d: a redirect%s, which is not followed", a.Status, c.location()),
			"configure the URL that answers itself")
	}
	code = clean(code, a.secrets)
	if len(code) > 64 || strings.ContainsAny(code, ` "\`) {
		code = ""
	}
	class, retryAt := classOf(code, a.Status), time.Time{}
	if class == daemon.ClassThrottled || a.Status == http.StatusServiceUnavailable || a.Status == http.StatusForbidden {
		retryAt = a.retryAt()
	}
	if class != daemon.ClassThrottled && !retryAt.IsZero() && !isCode(code) {
		class = daemon.ClassThrottled
	}
	text := strconv.Itoa(a.Status)
	if code != "" {
		text += ": " + code
	} else if a.Status/100 == 2 {
		text += ": the answer holds an error without a readable code"
	}
	if description := a.Object.Text("error_description"); description != "" && c.Code == "" {
		text += ": " + c.answer.Quote(description)
	}
	text += numbers(a.Object.Member("error_codes"))
	hint := ""
	if a.Status == http.StatusBadRequest && a.Object.member == nil && c.url.Scheme == "http" {
		hint = "if the server speaks https on that port, write https://"
	}
	if c.proxy != nil && a.Status == http.StatusProxyAuthRequired {
		class, hint = daemon.ClassUnavailable, "give the proxy's URL with credentials in HTTPS_PROXY, or name the server in NO_PROXY"
	}
	f := c.answered(class, text, hint)
	f.Code, f.RetryAt = code, retryAt
	return f
}

func (c *call) answered(class daemon.Class, text, hint string) *daemon.Failure {
	f := c.fail(class, text, hint)
	f.Status = c.answer.Status
	return f
}

// classOf is the table of RFC 6749 §5.2 and its extensions, and of the statuses for codes that are not in it.
func classOf(code string, status int) daemon.Class {
	switch code {
	case "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_target",
		"invalid_request", "access_denied":
		return daemon.ClassRefused
	case "temporarily_unavailable", "server_error":
		return daemon.ClassUnavailable
	case "slow_down":
		return daemon.ClassThrottled
	}
	switch {
	case status == http.StatusTooManyRequests:
		return daemon.ClassThrottled
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status/100 == 5:
		return daemon.ClassUnavailable
	}
	return daemon.ClassRefused
}

// isCode reports whether a code is in the table, so that the status does not matter.
func isCode(code string) bool { return classOf(code, 400) == classOf(code, 500) }

// location returns scheme and host of a redirect's target: the rest may hold what was sent.
func (c *call) location() string {
	u, err := url.Parse(c.answer.Header.Get("Location"))
	if err != nil || u.Host == "" {
		return ""
	}
	return " to " + c.answer.Quote(u.Scheme+"://"+u.Host)
}

// retryAt reads Retry-After (RFC 9110 §10.2.3), seconds or a date by the server's clock. It is zero for one that makes no
// sense. Who obeys it bounds it.
func (a *Answer) retryAt() time.Time {
	const longest = 365 * 24 * 60 * 60
	text := a.Header.Get("Retry-After")
	if text != "" && strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || seconds == 0 {
			return time.Time{}
		}
		return a.Received.Add(time.Duration(min(seconds, longest)) * time.Second)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return time.Time{}
	}
	if !a.Date.IsZero() {
		at = a.Received.Add(at.Sub(a.Date))
	}
	if !at.After(a.Received) {
		return time.Time{}
	}
	return at.Round(0)
}

// numbers returns the whole numbers of a list, as Entra writes error_codes.
func numbers(value json.RawMessage) string {
	var list []float64
	if json.Unmarshal(value, &list) != nil {
		return ""
	}
	var text []string
	for _, n := range list[:min(len(list), 8)] {
		if n == math.Trunc(n) && math.Abs(n) < 1e9 {
			text = append(text, strconv.Itoa(int(n)))
		}
	}
	if len(text) == 0 {
		return ""
	}
	return " (" + strings.Join(text, ", ") + ")"
}
