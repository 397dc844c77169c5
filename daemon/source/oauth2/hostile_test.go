// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/format"
	"github.com/renewd/renewd/daemon/schedule"
	"github.com/renewd/renewd/daemon/sink/file"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
	"github.com/renewd/renewd/daemon/source/oauth2"
)

const (
	clientID = "svc:a/b c"
	canary   = `S3cr3t/c4n4ry "quoted" & <more>%`
	leaked   = "t0ken-that-must-not-be-printed"
)

// secrets are the forms in which the planted secret may appear.
func secrets() []string {
	basic := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(clientID) + ":" + url.QueryEscape(canary)))
	return []string{canary, url.QueryEscape(canary), url.PathEscape(canary), basic, strings.Trim(fmt.Sprintf("%q", canary), `"`), leaked}
}

// config is a source that asks i with a secret.
func config(t testing.TB, i *hostile.Issuer) oauth2.Config {
	t.Helper()
	c := oauth2.Default()
	c.TokenURL, c.ClientID, c.HTTP.CAFile = i.URL+"/token", clientID, i.CAFile
	c.ClientSecretFile = hostile.Write(t, "secret", canary+"\n")
	return c
}

func source(t testing.TB, c oauth2.Config) *oauth2.Source {
	t.Helper()
	s, err := oauth2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bench is a real Keeper with a real file.
type bench struct {
	keeper *daemon.Keeper
	path   string
	log    bytes.Buffer
	event  daemon.Event
}

func newBench(t testing.TB, s daemon.Source, timeout time.Duration) *bench {
	t.Helper()
	b := &bench{path: filepath.Join(t.TempDir(), "token")}
	raw, err := format.Kinds()["raw"].New(nil, format.Context{})
	if err != nil {
		t.Fatal(err)
	}
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	b.keeper = &daemon.Keeper{
		Name: "orders", Source: s, Policy: schedule.Default(), Timeout: timeout, NoAdopt: true,
		Sink: &file.Sink{Path: b.path, Format: raw, Owner: -1, Group: -1},
		Log:  zap.New(zapcore.NewCore(encoder, zapcore.AddSync(&b.log), zap.DebugLevel)),
	}
	return b
}

// once makes one attempt.
func (b *bench) once(t testing.TB) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.keeper.Observe = func(e daemon.Event) { b.event = e; cancel() }
	err := b.keeper.Once(ctx)
	if err != nil {
		err = b.event.Err
	}
	return err
}

// good is what the issuer said before it turned hostile.
const good = "the-good-old-token"

// hostileCase is a row of the table of hostile behaviors.
type hostileCase struct {
	answer  http.HandlerFunc
	class   daemon.Class // "": the token is published
	says    string       // part of error, hint or notices
	life    time.Duration
	timeout time.Duration
	made    time.Time // some answers hold the time of then
}

func ok(body string, header ...string) http.HandlerFunc { return hostile.JSON(200, body, header...) }

func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }

func date(d time.Duration) string {
	return "Date: " + time.Now().Add(d).UTC().Format(http.TimeFormat)
}

func expiring(value string) string { return hostile.Token(leaked, `"expires_in":`+value) }

func signed(format string, args ...any) string {
	return hostile.Token(hostile.JWT(fmt.Sprintf(format, args...)), `"expires_in":3600`)
}

// redirect leads to another host with the secret in the query.
func redirect(status int) http.HandlerFunc {
	return hostile.JSON(status, "", "Location: https://evil.test/steal?secret="+url.QueryEscape(canary))
}

const tenYears = 3650 * 24 * time.Hour

func rows() map[string]hostileCase {
	const m, r, th, u = daemon.ClassMalformed, daemon.ClassRefused, daemon.ClassThrottled, daemon.ClassUnavailable
	deep := strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000)
	near := func(w http.ResponseWriter, r *http.Request) { // counted from when it is asked
		ok(signed(`{"nbf":%d}`, in(30*time.Second)))(w, r)
	}
	all := map[string]hostileCase{
		"1 expires_in is a string":  {answer: ok(expiring(`"3600"`)), life: time.Hour},
		"2 no expires_in":           {answer: ok(hostile.Token(leaked))},
		"1 Entra v1":                {answer: ok(hostile.Token(leaked, `"expires_in":"7200"`, fmt.Sprintf(`"expires_on":"%d"`, in(time.Hour)))), life: time.Hour},
		"2 no expires_in but exp":   {answer: ok(hostile.Token(hostile.JWT(fmt.Sprintf(`{"exp":%d}`, in(time.Hour))))), life: time.Hour},
		"3 expires_in negative":     {answer: ok(expiring(`-5`)), class: m, says: "expired at"},
		"3 expires_in zero":         {answer: ok(expiring(`0`)), class: m, says: "expired at"},
		"4 null":                    {answer: ok(expiring(`null`))},
		"4 empty":                   {answer: ok(expiring(`""`)), says: "expires_in is not a number"},
		"4 1h":                      {answer: ok(expiring(`"1h"`)), says: "expires_in is not a number"},
		"4 true":                    {answer: ok(expiring(`true`)), says: "expires_in is not a number"},
		"5 2^63-1":                  {answer: ok(expiring(`9223372036854775807`)), life: tenYears},
		"5 10^23":                   {answer: ok(expiring(`100000000000000000000000`)), life: tenYears},
		"5 1e400":                   {answer: ok(expiring(`1e400`)), life: tenYears},
		"6 milliseconds":            {answer: ok(expiring(`3600000`)), life: 1000 * time.Hour},
		"6 milliseconds and exp":    {answer: ok(hostile.Token(hostile.JWT(fmt.Sprintf(`{"exp":%d}`, in(time.Hour))), `"expires_in":3600000`)), life: time.Hour},
		"7 JWT expired":             {answer: ok(signed(`{"exp":%d}`, in(-time.Minute))), class: m, says: "the token expired at"},
		"7 JWT expired, clocks":     {answer: ok(signed(`{"exp":%d}`, in(-time.Minute)), date(-10*time.Minute)), class: m, says: ", the issuer's "},
		"8 JWT earlier":             {answer: ok(signed(`{"exp":%d}`, in(10*time.Minute))), life: 10 * time.Minute},
		"9 exp a string":            {answer: ok(signed(`{"exp":"%d"}`, in(10*time.Minute))), life: 10 * time.Minute},
		"9 exp a fraction":          {answer: ok(signed(`{"exp":%d.9}`, in(10*time.Minute))), life: 10 * time.Minute},
		"9 exp twice":               {answer: ok(signed(`{"exp":%d,"exp":1}`, in(10*time.Minute))), class: m, says: `"exp" appears twice`},
		"9 exp absent":              {answer: ok(signed(`{"a":1}`)), life: time.Hour},
		"10 nbf near":               {answer: near, life: time.Hour, says: "nbf lies ahead"},
		"10 nbf far":                {answer: ok(signed(`{"nbf":%d}`, in(24*time.Hour))), class: m, says: "not valid before"},
		"10 nbf far, clocks":        {answer: ok(signed(`{"nbf":%d}`, in(10*time.Minute)), date(10*time.Minute)), class: m, says: ", the issuer's "},
		"12 our clock is behind":    {answer: ok(signed(`{"exp":%d}`, in(24*time.Hour+10*time.Minute)), date(24*time.Hour)), life: 10 * time.Minute, says: "clock and ours differ"},
		"12 our clock is ahead":     {answer: ok(signed(`{"exp":%d}`, in(20*time.Minute)), date(-10*time.Minute)), life: 20 * time.Minute, says: "clock and ours differ"},
		"13 error in a 200":         {answer: ok(`{"error":"invalid_scope"}`), class: r, says: "200: invalid_scope"},
		"13 error beside a token":   {answer: ok(hostile.Token(leaked, `"error":"temporarily_unavailable"`)), class: u, says: "200: temporarily_unavailable"},
		"13 error is an object":     {answer: ok(hostile.Token(leaked, `"error":{"code":5}`)), class: r, says: "without a readable code"},
		"14 token empty":            {answer: ok(hostile.Token("")), class: m, says: "no access_token"},
		"14 token null":             {answer: ok(`{"access_token":null}`), class: m, says: "no access_token"},
		"14 token a number":         {answer: ok(`{"access_token":12345}`), class: m, says: "no access_token"},
		"14 token an object":        {answer: ok(`{"access_token":{"t":"` + leaked + `"}}`), class: m, says: "no access_token"},
		"15 HTML with 502":          {answer: hostile.JSON(502, "<html>"+leaked), class: u, says: "/token: 502"},
		"15 HTML with 503":          {answer: hostile.JSON(503, "<html>"+leaked), class: u, says: "/token: 503"},
		"16 text/plain":             {answer: ok(expiring("60"), "Content-Type: text/plain"), life: time.Minute},
		"17 form":                   {answer: ok("access_token="+leaked+"&token_type=bearer", "Content-Type: application/x-www-form-urlencoded"), class: m, says: "expected a JSON object"},
		"18 empty 200":              {answer: ok(""), class: m, says: "no body"},
		"18 204":                    {answer: hostile.JSON(204, ""), class: m, says: "204: expected"},
		"19 20 KiB":                 {answer: ok(hostile.Token(strings.Repeat("x", 20<<10))), class: m, says: "20480 bytes"},
		"19 900 KiB":                {answer: ok(hostile.Token(strings.Repeat("x", 900<<10))), class: m, says: "longer than 262144 bytes"},
		"20 gzip":                   {answer: ok("\x1f\x8b\x08\x00"+strings.Repeat("\x00\xff", 1000), "Content-Encoding: gzip"), class: m, says: "without being asked"},
		"21 line feed":              {answer: ok(hostile.Token(leaked + "\n")), class: m, says: "control character"},
		"21 CRLF":                   {answer: ok(hostile.Token("a\r\nX-Admin: 1")), class: m, says: "control character"},
		"22 NUL":                    {answer: ok(`{"access_token":"a\u0000b","token_type":"Bearer"}`), class: m, says: "control character"},
		"22 space":                  {answer: ok(hostile.Token("a b")), class: m, says: "a space"},
		"23 no token_type":          {answer: ok(`{"access_token":"` + leaked + `"}`), says: "no token_type"},
		"23 mac":                    {answer: ok(`{"access_token":"` + leaked + `","token_type":"mac"}`), class: m, says: `"mac": a sender-constrained`},
		"23 DPoP":                   {answer: ok(`{"access_token":"` + leaked + `","token_type":"DPoP"}`), class: m, says: `"DPoP": a sender-constrained`},
		"23 N_A":                    {answer: ok(`{"access_token":"` + leaked + `","token_type":"N_A"}`), class: m, says: "N_A"},
		"23 the secret as a type":   {answer: ok(fmt.Sprintf(`{"access_token":"x","token_type":%q}`, canary)), class: m, says: "[redacted]"},
		"23 bearer in any case":     {answer: ok(`{"access_token":"` + leaked + `","token_type":"bEaReR"}`)},
		"23 the token as a type":    {answer: ok(fmt.Sprintf(`{"access_token":%[1]q,"token_type":%[1]q}`, leaked)), class: m, says: `"[redacted]": a sender-constrained`},
		"24 a member twice":         {answer: ok(hostile.Token(leaked, `"access_token":"b"`)), class: m, says: `"access_token" appears twice`},
		"24 the secret twice":       {answer: ok(fmt.Sprintf(`{%q:1,%q:2}`, canary, canary)), class: m, says: "[redacted]"},
		"25 BOM":                    {answer: ok("\ufeff" + hostile.Token(leaked))},
		"25 UTF-16":                 {answer: ok("\xff\xfe{\x00}\x00"), class: m, says: "not UTF-8"},
		"26 garbage behind":         {answer: ok(hostile.Token(leaked) + "x"), class: m, says: "text after"},
		"26 an array":               {answer: ok("[" + hostile.Token(leaked) + "]"), class: m, says: "not a JSON object"},
		"26 20,000 levels":          {answer: ok(deep), class: m, says: "not a JSON object"},
		"29 a forged log line":      {answer: hostile.JSON(400, fmt.Sprintf(`{"error":"invalid_request","error_description":"\u001b[31m\n{\"level\":\"info\"} %s"}`, strings.Trim(fmt.Sprintf("%q", canary), `"`))), class: r, says: "[redacted]"},
		"29 the header":             {answer: hostile.JSON(400, fmt.Sprintf(`{"error":"invalid_request","error_description":"Basic %s"}`, secrets()[3])), class: r, says: "Basic [redacted]"},
		"29 the secret in pieces":   {answer: hostile.JSON(400, fmt.Sprintf(`{"error":"invalid_request","error_description":%s}`, asJSON(canary[:5]+"\x01"+canary[5:]))), class: r, says: "[redacted]"},
		"29 the secret as a code":   {answer: hostile.JSON(400, fmt.Sprintf(`{"error":%q}`, canary)), class: r, says: "400: [redacted]"},
		"29 tokens beside an error": {answer: hostile.JSON(400, fmt.Sprintf(`{"error":"invalid_request","error_description":"%[1]s","refresh_token":%[1]q}`, leaked)), class: r, says: "[redacted]"},
		"29 a token as a code":      {answer: hostile.JSON(400, fmt.Sprintf(`{"error":%[1]q,"access_token":%[1]q}`, leaked)), class: r, says: "400: [redacted]"},
		"29 a long description":     {answer: hostile.JSON(400, `{"error":"invalid_request","error_description":"`+strings.Repeat("y", 5000)+`"}`), class: r, says: `y..."`},
		"29 Entra's numbers":        {answer: hostile.JSON(400, `{"error":"invalid_client","error_codes":[700016,50,1.5]}`), class: r, says: "invalid_client (700016, 50)"},
		"30 an echo":                {answer: echo(500), class: u, says: "/token: 500"},
		"31 invalid_grant":          {answer: hostile.JSON(400, `{"error":"invalid_grant"}`), class: r, says: "DPoP"},
		"32 a drip":                 {answer: hostile.Drip, class: u, says: "did not end in time", timeout: time.Second},
		"32 silence":                {answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, class: u, says: "no answer came in time", timeout: time.Second},
		"33 302":                    {answer: redirect(302), class: daemon.ClassConfig, says: `"https://evil.test"`},
		"33 303":                    {answer: redirect(303), class: daemon.ClassConfig, says: `"https://evil.test"`},
		"34 307":                    {answer: redirect(307), class: daemon.ClassConfig, says: `"https://evil.test"`},
		"34 308":                    {answer: redirect(308), class: daemon.ClassConfig, says: `"https://evil.test"`},
		"35 closed":                 {answer: hostile.Raw(), class: u, says: "ended before the answer was whole"},
		"35 closed in the middle":   {answer: hostile.Raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), class: u, says: "ended before the answer was whole"},
		"37 not HTTP":               {answer: hostile.Raw("SSH-2.0-OpenSSH " + leaked + "\r\n\r\n"), class: u, says: "not HTTP"},
		"37 NUL in a header":        {answer: hostile.Raw("HTTP/1.1 200 OK\r\nA\x00B: " + leaked + "\r\n\r\n"), class: u, says: "not HTTP"},
		"37 12 MB of headers":       {answer: hostile.Raw("HTTP/1.1 200 OK\r\n", strings.Repeat("X-Fill: "+strings.Repeat("f", 1000)+"\r\n", 12000)), class: u, says: "65536 bytes of headers"},
		"37 fifty 103s":             {answer: hostile.Raw(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 50), "HTTP/1.1 200 OK\r\n\r\n"+expiring("60")), life: time.Minute},
		"404":                       {answer: hostile.JSON(404, "<html>"), class: r, says: "correct tokenURL"},
		"38 401":                    {answer: hostile.JSON(401, ""), class: r, says: "compare clientID"},
		"39 429 with seconds":       {answer: hostile.JSON(429, "", "Retry-After: 120"), class: th},
		"39 429 without":            {answer: hostile.JSON(429, ""), class: th},
		"40 429 with a date":        {answer: hostile.JSON(429, "", date(-time.Hour), "Retry-After: "+time.Now().Add(-time.Hour+2*time.Minute).UTC().Format(http.TimeFormat)), class: th},
		"41 403 with Retry-After":   {answer: hostile.JSON(403, "", "Retry-After: 120"), class: th},
		"41 403 without":            {answer: hostile.JSON(403, ""), class: r},
		"41 503 with Retry-After":   {answer: hostile.JSON(503, "", "Retry-After: 120"), class: th},
		"41 Retry-After of nothing": {answer: hostile.JSON(429, "", "Retry-After: soon"), class: th},
		"408":                       {answer: hostile.JSON(408, ""), class: u},
		"425":                       {answer: hostile.JSON(425, ""), class: u},
		"418":                       {answer: hostile.JSON(418, ""), class: r},
		"slow_down":                 {answer: hostile.JSON(400, `{"error":"slow_down"}`), class: th},
		"server_error":              {answer: hostile.JSON(400, `{"error":"server_error"}`), class: u},
		"cnf echoes the secret":     {answer: ok(signed(`{"cnf":{%[1]s:1,%[1]s:2}}`, asJSON(canary))), class: m, says: "the token's cnf"},
		"scope narrower":            {answer: ok(hostile.Token(leaked, `"scope":"a other"`)), says: `scopes ["b"]`},
	}
	return all
}

func asJSON(text string) []byte {
	data, _ := json.Marshal(text)
	return data
}

// echo shows the whole request in a page and in the headers.
func echo(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<pre>%s %v %s</pre>", r.URL, r.Header, canary)
	}
}

func TestHostileAnswers(t *testing.T) {
	i := hostile.New(t, nil)
	made := time.Now()
	for name, c := range rows() {
		c.made = made
		t.Run(name, func(t *testing.T) { testHostile(t, i, c) })
	}
}

func testHostile(t *testing.T, i *hostile.Issuer, c hostileCase) {
	if c.timeout == 0 {
		c.timeout = time.Minute
	}
	own := config(t, i)
	own.Scopes = []string{"a", "b"}
	b := newBench(t, source(t, own), c.timeout)
	i.Answer(hostile.JSON(200, hostile.Token(good, `"expires_in":3600`)))
	if err := b.once(t); err != nil {
		t.Fatal(err)
	}
	before := stat(t, b.path)
	i.Asked()
	i.Answer(c.answer)
	start := time.Now()
	err := b.once(t)
	if took := time.Since(start); took > c.timeout+30*time.Second {
		t.Errorf("took %v", took)
	}
	said := fmt.Sprintf("%v %s %+v %s", err, daemon.HintOf(err), err, b.log.String())
	if c.timeout < time.Minute && !strings.Contains(said, c.says) { // on a busy machine it may end in an earlier phase
		c.timeout *= 4
		testHostile(t, i, c)
		return
	}
	if n := len(i.Asked()); n != 1 {
		t.Errorf("%d requests", n)
	}
	for _, secret := range secrets() {
		if strings.Contains(said, secret) {
			t.Errorf("%q was printed: %s", secret, said)
		}
	}
	if !strings.Contains(said, c.says) && !strings.Contains(said, strings.ReplaceAll(c.says, `"`, `\"`)) {
		t.Errorf("no %q in %s", c.says, said)
	}
	if c.class == "" {
		published(t, b, err, c)
		return
	}
	if err == nil || daemon.ClassOf(err) != c.class {
		t.Errorf("%q, want %q: %v", daemon.ClassOf(err), c.class, err)
	}
	if (c.class == daemon.ClassConfig || c.class == daemon.ClassRefused) && daemon.HintOf(err) == "" {
		t.Errorf("no remedy: %v", err)
	}
	if after := stat(t, b.path); after.text != good || !after.mtime.Equal(before.mtime) {
		t.Errorf("the old file was touched: %+v, was %+v", after, before)
	}
}

func published(t *testing.T, b *bench, err error, c hostileCase) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if text := stat(t, b.path).text; text == good || text == "" {
		t.Errorf("not published: %q", text)
	}
	got := b.event.Token
	if c.life == 0 && !got.ExpiresAt.IsZero() {
		t.Errorf("a life of %v that nobody said", got.ExpiresAt.Sub(got.IssuedAt))
	}
	late := time.Since(c.made) + 10*time.Second
	if d := got.ExpiresAt.Sub(got.IssuedAt) - c.life; c.life != 0 && (d > 10*time.Second || d < -late) {
		t.Errorf("a life of %v, want %v", got.ExpiresAt.Sub(got.IssuedAt), c.life)
	}
	if next := time.Until(b.event.Next); next <= 0 || next > 24*time.Hour {
		t.Errorf("asked again after %v", next)
	}
}

// Row 11: lifetimes shrink with every refresh. Each token has its own life, and it is said when one is under half of the first.
func TestLivesThatShrink(t *testing.T) {
	i := hostile.New(t, nil)
	b := newBench(t, source(t, config(t, i)), time.Minute)
	for n, c := range []struct {
		seconds, said int // lines in the log so far
	}{{3600, 0}, {2400, 0}, {1801, 0}, {1799, 1}, {900, 1}, {90, 1}, {3600, 1}, {60, 2}} {
		value := fmt.Sprintf("token-%d", n)
		i.Answer(ok(hostile.Token(value, fmt.Sprintf(`"expires_in":%d`, c.seconds))))
		if err := b.once(t); err != nil {
			t.Fatal(err)
		}
		life := time.Duration(c.seconds) * time.Second
		if got := b.event.Token; stat(t, b.path).text != value || got.ExpiresAt.Sub(got.IssuedAt) != life || got.Value.Reveal() != value {
			t.Errorf("%d s: %q lives %v", c.seconds, stat(t, b.path).text, got.ExpiresAt.Sub(got.IssuedAt))
		}
		if next := time.Until(b.event.Next); next <= 0 || next > life*8/10 {
			t.Errorf("%d s: refreshed after %v", c.seconds, next)
		}
		if said := strings.Count(b.log.String(), "less than half of the first one's: "); said != c.said {
			t.Errorf("%d s: said %d times, want %d:\n%s", c.seconds, said, c.said, b.log.String())
		}
	}
}

type onDisk struct {
	text  string
	mtime time.Time
}

func stat(t *testing.T, path string) onDisk {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return onDisk{string(data), info.ModTime()}
}

func TestRetryAfter(t *testing.T) {
	i := hostile.New(t, nil)
	s := source(t, config(t, i))
	made := time.Now()
	at := func(d time.Duration) string { return made.Add(d).UTC().Format(http.TimeFormat) }
	for name, c := range map[string]struct {
		headers []string
		want    time.Duration
	}{
		"seconds":             {[]string{"Retry-After: 120"}, 2 * time.Minute},
		"date":                {[]string{"Retry-After: " + at(2*time.Minute)}, 2 * time.Minute},
		"date, another clock": {[]string{date(-time.Hour), "Retry-After: " + at(-time.Hour+2*time.Minute)}, 2 * time.Minute},
		"far beyond an int":   {[]string{"Retry-After: 99999999999999999999999"}, 365 * 24 * time.Hour},
		"negative":            {[]string{"Retry-After: -1"}, 0},
		"zero":                {[]string{"Retry-After: 0"}, 0},
		"words":               {[]string{"Retry-After: tomorrow"}, 0},
		"a date in the past":  {[]string{"Retry-After: " + at(-time.Hour)}, 0},
		"none":                {nil, 0},
	} {
		i.Answer(hostile.JSON(400, `{"error":"slow_down"}`, c.headers...))
		_, err := s.Token(t.Context())
		if f := failure(t, err); f.Class != daemon.ClassThrottled || f.RetryAt.IsZero() != (c.want == 0) {
			t.Errorf("%s: slow_down: %+v", name, f)
		}
		i.Answer(hostile.JSON(429, `{"error":"too_many"}`, c.headers...))
		_, err = s.Token(t.Context())
		f := failure(t, err)
		if f.Endpoint != s.Endpoint() || f.Endpoint != i.URL || f.Class != daemon.ClassThrottled || f.Status != 429 || f.Code != "too_many" {
			t.Errorf("%s: %+v", name, f)
		}
		if c.want == 0 && !f.RetryAt.IsZero() || c.want != 0 && (time.Until(f.RetryAt)-c.want).Abs() > 3*time.Second+time.Since(made) {
			t.Errorf("%s: %v, want %v", name, time.Until(f.RetryAt), c.want)
		}
	}
}

// A thousand failures in a row leave nothing behind. They are of kinds that end at different places in net/http. Most are
// without TLS, which takes a hundred times as long under the race detector.
func TestFailuresLeaveNothingBehind(t *testing.T) {
	i := hostile.New(t, nil)
	plain := httptest.NewServer(i)
	defer plain.Close()
	c := config(t, i)
	small := []http.HandlerFunc{
		hostile.Raw(), redirect(307), hostile.JSON(500, "x"), ok("x"), hostile.Raw("nonsense\r\n\r\n"),
		hostile.Raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
	}
	long := strings.Repeat("x", 300<<10)
	large := []http.HandlerFunc{hostile.JSON(500, long), ok(hostile.Token(long)), hostile.Raw("HTTP/1.1 200 " + long)}
	t.Run("TLS", func(t *testing.T) { leavesNothing(t, i, c, append(large, small...), 100) })
	c.TokenURL = plain.URL
	t.Run("plain", func(t *testing.T) { leavesNothing(t, i, c, small, 1000) })
}

func leavesNothing(t *testing.T, i *hostile.Issuer, c oauth2.Config, kinds []http.HandlerFunc, failures int) {
	b := newBench(t, source(t, c), time.Minute)
	once := func(n int) {
		i.Answer(kinds[n%len(kinds)])
		if err := b.once(t); err == nil {
			t.Fatal("no error")
		}
		i.Asked() // what the issuer remembers is not ours
	}
	for n := range 2 * len(kinds) {
		once(n)
	}
	// What is ending needs its turn: until then there are more than enough.
	settle := func(enough, tries int) (goroutines, descriptors int, heap uint64) {
		var m runtime.MemStats
		for range tries {
			time.Sleep(2 * time.Millisecond)
			entries, _ := os.ReadDir("/dev/fd")
			goroutines, descriptors = runtime.NumGoroutine(), len(entries)
			if goroutines <= enough {
				break
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&m)
		return goroutines, descriptors, m.HeapAlloc
	}
	g, d, h := settle(6, 100)
	for n := range failures {
		once(n)
		if n%100 == 0 {
			b.log.Reset()
		}
	}
	b.log.Reset()
	if g2, d2, h2 := settle(g, 30_000); g2 > g || d2 > d || h2 > h+(256<<10) {
		t.Errorf("goroutines %d → %d, descriptors %d → %d, heap %d → %d", g, g2, d, d2, h, h2)
	}
	entries, err := os.ReadDir(filepath.Dir(b.path))
	if err != nil || len(entries) != 0 {
		t.Errorf("left in the directory: %v %v", entries, err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	i := hostile.New(t, nil)
	s := source(t, config(t, i))
	const fill = 64 << 20
	for name, answer := range map[string]http.HandlerFunc{
		"body": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.CopyN(w, zeros{}, fill)
		},
		"headers": func(w http.ResponseWriter, r *http.Request) {
			hostile.Raw(slices.Repeat([]string{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("f", 64<<10)}, 1000)...)(w, r)
		},
	} {
		i.Answer(answer)
		// The issuer is in this process, but stops sending when the client has gone.
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := s.Token(t.Context())
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; err == nil || grown > 16<<20 {
			t.Errorf("%s: %d bytes allocated, %v", name, grown, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
