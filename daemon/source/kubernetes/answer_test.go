// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package kubernetes_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
	"github.com/renewd/renewd/daemon/source/kubernetes"
)

// The earliest of what the answer says counts, by both clocks.
func TestLifetime(t *testing.T) {
	i := hostile.New(t, nil)
	jwt := func(d time.Duration) string { return hostile.JWT(fmt.Sprintf(`{"exp":%d}`, time.Now().Add(d).Unix())) }
	date := func(d time.Duration) string { return "Date: " + time.Now().Add(d).UTC().Format(http.TimeFormat) }
	made := time.Now() // when the answers were: what each of them leaves shrinks
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		want    time.Duration // 0: no bound
		notices []string
	}{
		"as asked":               {answer(jwt(time.Hour), 3600), time.Hour, nil},
		"an extended token":      {answer(jwt(365*24*time.Hour), 3600), time.Hour, nil},
		"exp is earlier":         {answer(jwt(10*time.Minute), 3600), 10 * time.Minute, nil},
		"less than asked":        {answer(jwt(30*time.Minute), 1800), 30 * time.Minute, []string{"a life of 1800 seconds, not of 3600"}},
		"more than asked":        {answer(jwt(2*time.Hour), 7200), 2 * time.Hour, []string{"7200"}},
		"the server is ahead":    {answer(jwt(time.Hour), 3600, date(10*time.Minute)), 50 * time.Minute, []string{"clock"}},
		"the server is behind":   {answer(jwt(time.Hour), 3600, date(-10*time.Minute)), time.Hour, []string{"clock"}},
		"nobody says":            {hostile.JSON(201, `{"status":{"token":"x"}}`), 0, nil},
		"it makes no sense":      {hostile.JSON(201, `{"spec":[],"status":{"token":"x","expirationTimestamp":"soon"}}`), 0, []string{"expirationTimestamp is not a time"}},
		"after the year 9999":    {hostile.JSON(201, `{"spec":{"expirationSeconds":1e400},"status":{"token":"x","expirationTimestamp":1e400}}`), 0, []string{"ten years"}},
		"in another spelling":    {hostile.JSON(200, fmt.Sprintf(`{"status":{"token":"x","expirationTimestamp":"%d"}}`, time.Now().Add(time.Minute).Unix())), time.Minute, nil},
		"text/plain, with a BOM": {hostile.JSON(200, "\ufeff"+`{"status":{"token":"x"}}`, "Content-Type: text/plain"), 0, nil},
	} {
		i.Answer(c.answer)
		token, err := source(t, config(t, i)).Token(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := token.ExpiresAt.Sub(token.IssuedAt) - c.want; c.want == 0 != token.ExpiresAt.IsZero() || c.want != 0 && (d > 3*time.Second || d < -3*time.Second-time.Since(made)) {
			t.Errorf("%s: from %v to %v, want %v", name, token.IssuedAt, token.ExpiresAt, c.want)
		}
		if len(token.Notices) != len(c.notices) {
			t.Errorf("%s: %q", name, token.Notices)
		}
		for n, says := range c.notices {
			if n < len(token.Notices) && !strings.Contains(token.Notices[n], says) {
				t.Errorf("%s: %q, want %q", name, token.Notices[n], says)
			}
		}
	}
}

func TestUselessTokens(t *testing.T) {
	i := hostile.New(t, nil)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"no status":         {hostile.JSON(201, `{"kind":"TokenRequest"}`), "no status.token"},
		"a status of text":  {hostile.JSON(200, `{"kind":"Status","status":"Success"}`), `"status": not a JSON object`},
		"no token":          {hostile.JSON(201, `{"status":{"expirationTimestamp":"2100-01-01T00:00:00Z"}}`), "no status.token"},
		"a token of number": {hostile.JSON(201, `{"status":{"token":1}}`), "no status.token"},
		"expired":           {answer("x", -1), "the token expired at"},
		"exp is over":       {answer(hostile.JWT(`{"exp":1700000000}`), 3600), "expired at 2023-11-14T22:13:20Z"},
		"exp twice":         {answer(hostile.JWT(`{"exp":1,"exp":2}`), 3600), `"exp" appears twice`},
		"token twice":       {hostile.JSON(201, `{"status":{"token":"x","token":"y"}}`), `"token" appears twice`},
		"our token as name": {hostile.JSON(201, fmt.Sprintf(`{"status":{%[1]q:1,%[1]q:2}}`, ours)), "[redacted]"},
	} {
		i.Answer(c.answer)
		_, err := source(t, config(t, i)).Token(t.Context())
		if f := failure(t, err); f.Class != daemon.ClassMalformed || f.Endpoint != i.URL || f.Status/100 != 2 || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), ours) {
			t.Errorf("%s: %q %v", name, f.Class, err)
		}
	}
}

// status is what an API server says instead of a token.
func status(code int, reason, details string) http.HandlerFunc {
	return hostile.JSON(code, fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":%q,"reason":%q,"details":%s,"code":%d}`,
		hostile.Leaked+" serviceaccounts \"orders\" is forbidden", reason, details, code))
}

func TestRemedies(t *testing.T) {
	i := hostile.New(t, nil)
	bound := func(c *kubernetes.Config) { c.BoundTo = kubernetes.Bound{Kind: "Pod", Name: "orders-0"} }
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		change func(*kubernetes.Config)
		class  daemon.Class
		hint   string
	}{
		"unauthorized": {answer: status(401, "Unauthorized", `null`), hint: `audience ["https://kubernetes.default.svc"] is not the API server's own`},
		"unauthorized, clocks": {answer: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", "Tue, 14 Nov 2023 22:13:20 GMT")
			status(401, "Unauthorized", `null`)(w, r)
		}, hint: "the issuer's 2023-11-14T22:13:20Z"},
		"forbidden": {answer: status(403, "Forbidden", `{"name":"orders","kind":"serviceaccounts"}`),
			hint: `{apiGroups: [""], resources: [serviceaccounts/token], resourceNames: ["orders"], verbs: [create]}, and a RoleBinding there must give that Role to the ServiceAccount "orders" of namespace "shop"`},
		"forbidden, another's": {answer: status(403, "Forbidden", `{}`), change: func(c *kubernetes.Config) { c.Namespace, c.ServiceAccount = "bank", "teller" },
			hint: `a Role of namespace "bank" needs the rule {apiGroups: [""], resources: [serviceaccounts/token], resourceNames: ["teller"]`},
		"no account":       {answer: status(404, "NotFound", `{"name":"orders","kind":"serviceaccounts"}`), hint: `namespace "shop" has no service account "orders"`},
		"no namespace":     {answer: status(404, "NotFound", `{"name":"shop","kind":"namespaces"}`), hint: `there is no namespace "shop"`},
		"no pod":           {answer: status(404, "NotFound", `{"name":"orders-0","kind":"pods"}`), change: bound, hint: `there is no Pod "orders-0"`},
		"nothing":          {answer: status(404, "NotFound", `[]`), change: bound, hint: `see whether namespace "shop"`},
		"another pod":      {answer: status(409, "Conflict", `{"name":"orders-0","kind":"Pod"}`), change: bound, hint: "boundTo.uid is not that of the object"},
		"somebody's pod":   {answer: status(400, "BadRequest", `null`), change: bound, hint: `must run as the service account "orders"`},
		"bad request":      {answer: status(400, "BadRequest", `null`), hint: "compare audiences, expiration"},
		"invalid":          {answer: status(422, "Invalid", `{}`), hint: "compare audiences, expiration"},
		"no API server":    {answer: hostile.JSON(404, "404 page not found"), hint: "no Status of Kubernetes"},
		"a proxy's login":  {answer: hostile.JSON(403, "<html>"), hint: "no Status of Kubernetes"},
		"too many":         {answer: status(429, "TooManyRequests", `null`), class: daemon.ClassThrottled},
		"not ready":        {answer: status(503, "ServiceUnavailable", `null`), class: daemon.ClassUnavailable},
		"out of order":     {answer: status(500, "InternalError", `null`), class: daemon.ClassUnavailable},
		"timed out":        {answer: status(504, "Timeout", `null`), class: daemon.ClassUnavailable},
		"a reason of 200":  {answer: status(200, "Forbidden", `null`), hint: "compare audiences"},
		"a strange reason": {answer: status(403, "\x1b[31m "+hostile.Leaked, `null`), hint: "no Status of Kubernetes"},
	} {
		if c.class == "" {
			c.class = daemon.ClassRefused
		}
		i.Answer(c.answer)
		own := config(t, i)
		if c.change != nil {
			c.change(&own)
		}
		_, err := source(t, own).Token(t.Context())
		f := failure(t, err)
		if f.Class != c.class || !strings.Contains(f.Hint, c.hint) || c.hint == "" && f.Hint != "" {
			t.Errorf("%s: %q %v\n%s", name, f.Class, err, f.Hint)
		}
		if said := err.Error() + f.Hint; strings.Contains(said, hostile.Leaked) || strings.Contains(said, "forbidden\"") || strings.Contains(said, "\x1b") {
			t.Errorf("%s: the answer was repeated: %s", name, said)
		}
	}
}

// What is printed after a 403 is YAML that can be put into a Role.
func TestTheMissingRuleIsARule(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(status(403, "Forbidden", `{}`))
	_, err := source(t, config(t, i)).Token(t.Context())
	if want := `kubernetes: TokenRequest ` + i.URL + `/api/v1/namespaces/shop/serviceaccounts/orders/token: 403: Forbidden`; err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	_, rest, _ := strings.Cut(daemon.HintOf(err), "{")
	text, _, _ := strings.Cut(rest, "}")
	var rule map[string]any
	if err := strict.Decode(strict.Options{MaxBytes: 1000}, []byte("{"+text+"}"), &rule).Err(); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(rule); got != "map[apiGroups:[] resourceNames:[orders] resources:[serviceaccounts/token] verbs:[create]]" || len(rule["apiGroups"].([]any)) != 1 {
		t.Error(got)
	}
}
