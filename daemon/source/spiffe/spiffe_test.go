// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package spiffe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/contract"
)

func TestContract(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	failing := map[string]contract.Failing{
		"no socket":   {Source: source(t, "unix://"+file+"-absent"), Class: daemon.ClassUnavailable},
		"no listener": {Source: source(t, "tcp://127.0.0.1:1"), Class: daemon.ClassUnavailable},
		"a file":      {Source: source(t, "unix://"+file), Class: daemon.ClassConfig},
	}
	all := hostile()
	for _, name := range []string{"PermissionDenied", "InvalidArgument", "ResourceExhausted", "a token in the message", "a token and then a refusal",
		"nothing", "half an answer", "HTTP/1", "garbage", "RST_STREAM", "endless headers", "endless data", "compressed", "no protobuf", "an opaque token", "no exp"} {
		failing[name] = contract.Failing{Source: source(t, agent(t, all[name].play)), Class: all[name].class}
	}
	secret := good(orders)
	contract.Test(t, contract.Case{
		Source:  source(t, agent(t, answers([2]string{orders, secret}))),
		Slow:    source(t, agent(t, hangs(settings, ok))),
		Failing: failing,
		Secrets: []string{canary, secret},
	})
}

// TestHostile plays what no Workload API should do: each ends in time, in the right class, and with nothing of the answer in
// the error but what may be said. Nothing of them all is left.
func TestHostile(t *testing.T) {
	goroutines, descriptors := runtime.NumGoroutine(), open(t)
	defer func() {
		for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > goroutines || open(t) > descriptors; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d goroutines became %d, %d descriptors %d", goroutines, runtime.NumGoroutine(), descriptors, open(t))
			}
		}
	}()
	for name, h := range hostile() {
		t.Run(name, func(t *testing.T) {
			s := source(t, agent(t, h.play))
			limit := time.Minute
			if h.endless {
				limit = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			before, began := used(t), time.Now()
			token, err := s.Token(ctx)
			if took := time.Since(began); h.endless && took > limit+30*time.Second || !h.endless && ctx.Err() != nil {
				t.Errorf("took %v", took)
			}
			if after := used(t); after > before+4*maxTotal {
				t.Errorf("took %d bytes of memory", after-before)
			}
			if !token.Value.IsZero() || daemon.ClassOf(err) != h.class || !strings.Contains(fmt.Sprint(err), h.says) {
				t.Errorf("got %v, %q: %v; want %q: %q", token, daemon.ClassOf(err), err, h.class, h.says)
			}
			if strings.Contains(fmt.Sprint(err), canary) || strings.ContainsFunc(fmt.Sprint(err), func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("says too much: %q", err)
			}
		})
	}
}

// open returns how many descriptors the process has, and the one that counting takes.
func open(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// used returns how many bytes were ever allocated: what was freed again was in memory too.
func used(t *testing.T) uint64 {
	t.Helper()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

type behavior struct {
	play    func(net.Conn)
	class   daemon.Class
	says    string
	endless bool // takes the whole time
}

// refuses is a server that answers with a status code of gRPC.
func refuses(class daemon.Class, code, message, says string) behavior {
	return behavior{begins(trailersOnly("grpc-status", code, "grpc-message", message)), class, says, false}
}

func begins(frames ...[]byte) func(net.Conn) { return says(append([][]byte{settings}, frames...)...) }

// replies is a server whose message is this, with the status OK.
func replies(class daemon.Class, text string, body ...byte) behavior {
	return behavior{begins(ok, f(frameData, 0, 1, body...), done), class, text, false}
}

// hands is a server that hands out this token.
func hands(token, text string) behavior {
	return replies(daemon.ClassMalformed, text, frameMessage(message([2]string{orders, token}))...)
}

func hostile() map[string]behavior {
	const (
		u = daemon.ClassUnavailable
		m = daemon.ClassMalformed
		c = daemon.ClassConfig
		w = daemon.ClassThrottled
	)
	answer := frameMessage(message([2]string{orders, good(orders)}))
	data := f(frameData, 0, 1, answer...)
	ping := f(framePing, 0, 0, []byte("12345678")...)
	code := func(n byte) []byte { return []byte{0, 0, 0, n} }
	return map[string]behavior{
		"PermissionDenied":            refuses(u, "7", "no identity issued", `PermissionDenied: "no identity issued"`),
		"InvalidArgument":             refuses(c, "3", "no audience", "InvalidArgument"),
		"Unimplemented":               refuses(c, "12", "", "Unimplemented"),
		"ResourceExhausted":           refuses(w, "8", "", "ResourceExhausted"),
		"Unavailable":                 refuses(u, "14", "", "Unavailable"),
		"a status of the future":      refuses(u, "99", "", "status 99"),
		"a status that is no number":  refuses(u, canary, "", "no number"),
		"a huge status":               refuses(u, "4294967296", "", "no number"),
		"no status":                   {begins(trailersOnly()), u, "without a grpc-status", false},
		"two statuses":                {begins(trailersOnly("grpc-status", "0", "grpc-status", "7")), u, "without a grpc-status", false},
		"controls in the message":     refuses(u, "2", "%1B[31m%0aforged line%00 \xff%ff", `Unknown: "[31mforged line "`),
		"a token in the message":      refuses(u, "2", "seen "+jwt(`{"sub":"canary-5f1f"}`)+"%0A!", `Unknown: "seen [redacted]!"`),
		"a token written otherwise":   refuses(u, "2", "seen ewoiYWxnIjoiRVMyNTYifQ.eyJzdWIiOiJjYW5hcnktNWYxZiJ9.c2ln!", `Unknown: "seen [redacted]!"`), // {, line end
		"a token in pieces":           refuses(u, "2", "seen ey%0AJ"+strings.Repeat("A", 300), `Unknown: "seen [redacted]"`),
		"a long message":              refuses(u, "2", strings.Repeat("x", 5000), strings.Repeat("x", 200)+`..."`),
		"bad percent signs":           refuses(u, "2", "100% %zz", `"100% %zz"`),
		"a token and then a refusal":  {begins(ok, data, f(frameHeaders, 5, 1, block("grpc-status", "7")...)), u, "PermissionDenied", false},
		"nothing":                     {func(net.Conn) {}, u, "ended before", false},
		"settings and nothing":        {begins(), u, "ended before", false},
		"half an answer":              {begins(ok, data), u, "ended before", false},
		"half a frame":                {begins(ok, data[:20]), u, "ended before", false},
		"HTTP/1":                      {says([]byte("HTTP/1.1 505 No\r\n\r\n" + canary)), u, "HTTP/1", false},
		"TLS":                         {says([]byte("\x15\x03\x01\x00\x02\x02\x46" + canary)), u, "does not speak HTTP/2", false},
		"garbage":                     {forever(nil, []byte(canary)), u, "does not speak HTTP/2", false},
		"zeros":                       {forever(nil, make([]byte, 4096)), u, "does not speak HTTP/2", false},
		"an acknowledgement at first": {says(f(frameSettings, flagAck, 0)), u, "does not speak HTTP/2", false},
		"HTTP 404":                    {begins(f(frameHeaders, 5, 1, block(":status", "404", "content-type", "text/html")...)), c, `status 404, Content-Type "text/html"`, false},
		"HTTP 429":                    {begins(f(frameHeaders, 5, 1, block(":status", "429")...)), w, "status 429", false},
		"HTTP 200 of another kind":    {begins(f(frameHeaders, 5, 1, block(":status", "200", "content-type", "application/grpc-web")...)), u, "not gRPC", false},
		"GOAWAY":                      {begins(f(frameGoAway, 0, 0, append(code(0), code(2)...)...)), u, "GOAWAY", false},
		"GOAWAY, calm down":           {begins(f(frameGoAway, 0, 0, append(code(0), append(code(11), canary...)...)...)), w, "code 11", false},
		"half a GOAWAY":               {begins(f(frameGoAway, 0, 0, 1)), u, "HTTP/2", false},
		"RST_STREAM":                  {begins(ok, f(frameReset, 0, 1, code(8)...)), u, "code 8", false},
		"RST_STREAM, calm down":       {begins(f(frameReset, 0, 1, code(11)...)), w, "code 11", false},
		"RST_STREAM of another":       {begins(f(frameReset, 0, 3, code(8)...)), u, "HTTP/2", false},
		"PUSH_PROMISE":                {begins(f(framePush, flagEndHeaders, 1, 0, 0, 0, 2)), u, "HTTP/2", false},
		"short PING":                  {begins(f(framePing, 0, 0, 1)), u, "HTTP/2", false},
		"CONTINUATION of nothing":     {begins(f(frameContinuation, flagEndHeaders, 1)), u, "HTTP/2", false},
		"a frame within headers":      {begins(f(frameHeaders, 0, 1, block(":status", "200")...), ping), u, "HTTP/2", false},
		"headers of another stream":   {begins(f(frameHeaders, 5, 3, block(":status", "200")...)), u, "HTTP/2", false},
		"data of another stream":      {begins(ok, f(frameData, 0, 3, answer...)), u, "HTTP/2", false},
		"data before headers":         {begins(data), u, "HTTP/2", false},
		"headers in the middle":       {begins(ok, ok), u, "HTTP/2", false},
		"more padding than data":      {begins(ok, f(frameData, flagPadded, 1, 9, 0)), u, "HTTP/2", false},
		"more padding than headers":   {begins(f(frameHeaders, flagPadded|flagPriority|flagEndHeaders, 1, 1, 0, 0)), u, "HTTP/2", false},
		"a frame over the limit":      {begins(ok, f(frameData, 0, 1, make([]byte, maxFrame+1)...)), u, "HTTP/2", false},
		"an index beyond the tables":  {begins(f(frameHeaders, 5, 1, 0xff, 0xff, 0x7f)), u, "headers that cannot be read", false},
		"Huffman garbage":             {begins(f(frameHeaders, 5, 1, 0x00, 0x81, 0x00, 0x00)), u, "headers that cannot be read", false},
		"truncated headers":           {begins(f(frameHeaders, 5, 1, 0x00, 0x05, 'a')), u, "headers that cannot be read", false},
		"a table that is too large":   {begins(f(frameHeaders, 5, 1, 0x3f, 0xff, 0xff, 0x7f)), u, "headers that cannot be read", false},
		"no trailers":                 {begins(ok, f(frameData, flagEndStream, 1, answer...)), u, "without a grpc-status", false},
		"status only before the data": {begins(f(frameHeaders, 4, 1, block(":status", "200", "content-type", "application/grpc", "grpc-status", "0")...),
			f(frameData, flagEndStream, 1, answer...)), u, "without a grpc-status", false},
		"windows of nothing":   {begins(f(frameSettings, 0, 0, 0, 4, 0, 0, 0, 0), f(frameWindow, 0, 0, 0, 0, 0, 0), f(frameWindow, 0, 1, 0x7f, 255, 255, 255), ok, f(frameData, flagEndStream, 1)), u, "without a grpc-status", false},
		"endless headers":      {forever(append(settings, f(frameHeaders, 0, 1)...), f(frameContinuation, 0, 1, make([]byte, maxFrame)...)), u, "bytes of headers", false},
		"empty CONTINUATIONs":  {forever(append(settings, f(frameHeaders, 0, 1)...), f(frameContinuation, 0, 1)), u, "sent more than", false},
		"endless 1xx":          {forever(settings, f(frameHeaders, flagEndHeaders, 1, block(":status", "103")...)), u, "more than 100", false},
		"a table bomb":         {forever(settings, bomb()), u, "sent more than", false},
		"endless data":         {forever(slices.Concat(settings, ok), f(frameData, 0, 1, make([]byte, 8<<10)...)), m, "more than 262144 bytes", false},
		"endless empty data":   {forever(slices.Concat(settings, ok), f(frameData, 0, 1)), u, "sent more than", false},
		"endless padding":      {forever(slices.Concat(settings, ok), f(frameData, flagPadded, 1, append([]byte{255}, make([]byte, 255)...)...)), u, "sent more than", false},
		"endless PINGs":        {forever(settings, ping), u, "more than 100", false},
		"endless settings":     {forever(nil, settings), u, "more than 100", false},
		"endless pongs":        {forever(settings, f(framePing, flagAck, 0, make([]byte, 8)...)), u, "sent more than", false},
		"endless strange kind": {forever(settings, f(0x55, 0xff, 7, make([]byte, maxFrame)...)), u, "sent more than", false},
		"silence":              {hangs(), u, "no whole answer came in time", true},
		"silence after data":   {hangs(settings, ok, data), u, "no whole answer came in time", true},
		"a drip":               {drip, u, "no whole answer came in time", true},
		"no message":           {begins(ok, done), m, "no message", false},
		"compressed":           replies(m, "compressed", append([]byte{1}, answer[1:]...)...),
		"a strange prefix":     replies(m, "prefix", append([]byte{2}, answer[1:]...)...),
		"half a prefix":        replies(m, "prefix", 0, 0, 0),
		"a short message":      replies(m, "shorter", answer[:len(answer)-1]...),
		"a huge length":        replies(m, "shorter", binary.BigEndian.AppendUint32([]byte{0}, 1<<32-1)...),
		"two messages":         replies(m, "more than one", slices.Concat(answer, answer)...),
		"an empty message":     replies(m, "no SVID", 0, 0, 0, 0, 0),
		"no protobuf":          replies(m, "Protocol Buffers", frameMessage([]byte(canary))...),
		"an opaque token":      hands(canary, "not a JWT"),
		"an empty token":       hands("", "not a JWT"),
		"a dead token":         hands(jwt(`{"aud":"orders","exp":1700000000}`), "expired"),
		"no exp":               hands(jwt(`{"aud":"orders"}`), "no exp"),
		"exp for ever":         hands(jwt(`{"aud":"orders","exp":1e400}`), "ten years"),
		"exp twice":            hands(jwt(`{"aud":"orders","exp":1,"exp":2}`), "twice"),
		"no subject":           hands(good(""), `sub is "", which is no SPIFFE ID`),
		"another subject":      hands(good("spiffe://example.org/other"), `sub is "spiffe://example.org/other", and not "spiffe://example.org/orders"`),
		"another audience":     hands(jwt(`{"aud":["billing"],"exp":9999999999}`), `"orders"`),
	}
}

// bomb is a block of headers that puts one long field into the table and then names it with single bytes.
func bomb() []byte {
	fields := append([]byte{0x40, 12}, "content-type"...)
	fields = append(append(fields, 0x7f, 0x81, 0x1e), strings.Repeat("x", 4000)...)
	fields = append(block(":status", "103"), fields...)
	return f(frameHeaders, flagEndHeaders, 1, append(fields, slices.Repeat([]byte{0xbe}, maxFrame-len(fields))...)...)
}

// drip sends an answer byte by byte.
func drip(c net.Conn) {
	request(c)
	for _, b := range slices.Concat(settings, ok, f(frameData, 0, 1, make([]byte, 1<<10)...)) {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestWire is the request, byte for byte where that matters, and the answer in every form that HTTP/2 allows.
func TestWire(t *testing.T) {
	token := good(orders)
	body := frameMessage(message([2]string{orders, token}))
	head := block(":status", "200", "content-type", "application/grpc+proto")
	for name, frames := range map[string][]byte{
		"plain":        slices.Concat(settings, ok, f(frameData, 0, 1, body...), done),
		"data at once": slices.Concat(settings, ok, f(frameData, 0, 1, body[:3]...), f(frameData, 0, 1), f(frameData, 0, 1, body[3:]...), done),
		"padding": slices.Concat(settings, f(frameHeaders, flagEndHeaders|flagPadded|flagPriority, 1, slices.Concat([]byte{2, 0, 0, 0, 0, 9}, head, []byte{0, 0})...),
			f(frameData, flagPadded, 1, slices.Concat([]byte{1}, body, []byte{0})...), done),
		"continued": slices.Concat(settings, f(frameHeaders, 0, 1, head[:1]...), f(frameContinuation, 0, 1), f(frameContinuation, flagEndHeaders, 1, head[1:]...),
			f(frameData, 0, 1, body...), done),
		"between": slices.Concat(settings, f(frameSettings, flagAck, 0), f(framePing, flagAck, 0, make([]byte, 8)...), f(frameWindow, 0, 0, 0, 0, 0, 1),
			f(frameHeaders, flagEndHeaders, 1, block(":status", "103")...), ok, f(0x2, 0, 1, 0, 0, 0, 0, 0), f(0x99, 0xff, 5, 1),
			f(frameData, 0, 1, body...), f(frameGoAway, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0), done),
		"unknown fields": slices.Concat(settings, ok, f(frameData, 0, 1, frameMessage(slices.Concat(
			[]byte{0x10, 0xff, 0x01, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4, 0x08, 0x05}, appendText(nil, 15, "x"), body[5:]))...), done),
	} {
		t.Run(name, func(t *testing.T) {
			s := source(t, agent(t, func(c net.Conn) {
				header, sent := request(c)
				if text := fmt.Sprint(header); text != `[header field ":method" = "POST" (sensitive) header field ":scheme" = "http" (sensitive) `+
					`header field ":path" = "/SpiffeWorkloadAPI/FetchJWTSVID" (sensitive) header field ":authority" = "localhost" (sensitive) `+
					`header field "te" = "trailers" (sensitive) header field "content-type" = "application/grpc" (sensitive) `+
					`header field "user-agent" = "renewd/test" (sensitive) header field "workload.spiffe.io" = "true" (sensitive)]` {
					t.Error(text)
				}
				if string(sent) != "\x00\x00\x00\x00\x25\x0a\x06orders\x12\x1bspiffe://example.org/orders" {
					t.Errorf("%q", sent)
				}
				_, _ = c.Write(frames)
			}), func(c *Config) { c.SPIFFEID = orders })
			got, err := asks(t, s)
			if err != nil || got.Value.Reveal() != token || got.Type != "Bearer" || len(got.Notices) > 0 {
				t.Fatalf("%v %q %v", got, got.Notices, err)
			}
			if got.ExpiresAt.Sub(got.IssuedAt) != time.Hour+time.Minute {
				t.Errorf("lives from %v to %v", got.IssuedAt, got.ExpiresAt)
			}
		})
	}
}

// TestAcknowledgements: what a server may wait for is sent.
func TestAcknowledgements(t *testing.T) {
	ping := f(framePing, 0, 0, []byte("12345678")...)
	got := make(chan string, 1)
	s := source(t, agent(t, func(c net.Conn) {
		request(c)
		_, _ = c.Write(slices.Concat(settings, ping))
		want := slices.Concat(f(frameSettings, flagAck, 0), f(framePing, flagAck, 0, []byte("12345678")...))
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		b := make([]byte, len(want))
		for n := 0; n < len(b); {
			more, err := c.Read(b[n:])
			if err != nil {
				break
			}
			n += more
		}
		got <- string(b)
		if string(b) == string(want) {
			_, _ = c.Write(trailersOnly("grpc-status", "7"))
		}
	}))
	if _, err := asks(t, s); !strings.Contains(fmt.Sprint(err), "PermissionDenied") {
		t.Errorf("%v; the agent got %q", err, <-got)
	}
}

// TestIdentity chooses among several SVIDs.
func TestIdentity(t *testing.T) {
	const other = "spiffe://example.org/other"
	first, second := good(orders), good(other)
	uri := agent(t, answers([2]string{orders, first}, [2]string{other, second}))
	for id, want := range map[string]string{"": first, orders: first, other: second} {
		got, err := asks(t, source(t, uri, func(c *Config) { c.SPIFFEID = id }))
		if err != nil || got.Value.Reveal() != want {
			t.Errorf("%s: %v %v", id, got, err)
		}
		if id == "" != slices.ContainsFunc(got.Notices, func(n string) bool { return strings.Contains(n, "spiffeID chooses one") && strings.Contains(n, orders) }) {
			t.Errorf("%s: notices %q", id, got.Notices)
		}
	}
	_, err := asks(t, source(t, uri, func(c *Config) { c.SPIFFEID = "spiffe://example.org/third" }))
	if daemon.ClassOf(err) != daemon.ClassUnavailable || !strings.Contains(fmt.Sprint(err), `hands out "spiffe://example.org/orders", and not "spiffe://example.org/third"`) {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	for uri, want := range map[string]daemon.Class{
		agent(t, hangs()): "", "tcp://127.0.0.1:1": "",
		"unix://" + dir: daemon.ClassConfig, "unix://" + dir + "/absent": daemon.ClassUnavailable, "unix://" + dir + "/absent/x": daemon.ClassUnavailable,
	} {
		err := source(t, uri).Check()
		if got := daemon.ClassOf(err); err == nil && want != "" || err != nil && (got != want || daemon.HintOf(err) == "" || !strings.Contains(err.Error(), uri)) {
			t.Errorf("%s: %v, want %q", uri, err, want)
		}
	}
	for uri, doubted := range map[string]bool{
		"unix:///run/x": false, "tcp://127.0.0.2:1": false, "tcp://[::1]:1": false, "tcp://[::ffff:127.0.0.1]:1": false, "tcp://10.0.0.1:1": true,
	} {
		if d := source(t, uri).Doubts(nil); (len(d) > 0) != doubted {
			t.Errorf("%s: %q", uri, d)
		}
	}
}

// TestRestart: an agent that comes back makes its socket anew.
func TestRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	s := source(t, "unix://"+path)
	for range 3 {
		if _, err := asks(t, s); daemon.ClassOf(err) != daemon.ClassUnavailable || daemon.HintOf(err) == "" {
			t.Fatal(err)
		}
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if c, err := listener.Accept(); err == nil {
				answers([2]string{orders, good(orders)})(c)
			}
		}()
		if _, err := asks(t, s); err != nil {
			t.Fatal(err)
		}
		_ = listener.Close() // removes the socket
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := asks(t, s); daemon.ClassOf(err) != daemon.ClassConfig {
		t.Error(err)
	}
}

func TestGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := source(t, agent(t, func(c net.Conn) { cancel(); hangs(settings)(c) }))
	if _, err := s.Token(ctx); !strings.Contains(fmt.Sprint(err), "before renewd gave up") {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	many := Config{Socket: "unix:///s", Audiences: []string{strings.Repeat("a", maxRequest)}}
	for name, tt := range map[string]struct {
		config   Config
		variable string
		want     string // what the first FieldError says, with "field: problem: help"; "" is none
	}{
		"unix":                 {Config{Socket: "unix:///run/agent.sock", Audiences: []string{"a"}}, "", ""},
		"one slash":            {Config{Socket: "unix:/run/agent.sock", Audiences: []string{"a"}}, "", ""},
		"tcp":                  {Config{Socket: "tcp://127.0.0.1:8081", Audiences: []string{"a", "b"}}, "", ""},
		"tcp, IPv6":            {Config{Socket: "tcp://[::1]:8081", Audiences: []string{"a"}}, "", ""},
		"variable":             {Config{Audiences: []string{"a"}}, "unix:///run/agent.sock", ""},
		"the field wins":       {Config{Socket: "tcp://127.0.0.1:1", Audiences: []string{"a"}}, "nonsense", ""},
		"neither":              {Config{Audiences: []string{"a"}}, "", "socket: is missing, and the variable SPIFFE_ENDPOINT_SOCKET is not set: unix:///path or tcp://IP:port"},
		"wrong variable":       {Config{Audiences: []string{"a"}}, "/run/agent.sock", ": the variable SPIFFE_ENDPOINT_SOCKET is a path: write unix:///run/agent.sock"},
		"path":                 {Config{Socket: "/run/a", Audiences: []string{"a"}}, "", "socket: is a path: write unix:///run/a"},
		"two slashes":          {Config{Socket: "unix://run/a", Audiences: []string{"a"}}, "", "socket: names a host before the path: three slashes: unix:///run/a"},
		"no path":              {Config{Socket: "unix://", Audiences: []string{"a"}}, "", "socket: has no path of 1 to 107 printable bytes: " + forms},
		"long path":            {Config{Socket: "unix:///" + strings.Repeat("a", 107), Audiences: []string{"a"}}, "", "socket: has no path of 1 to 107 printable bytes: " + forms},
		"NUL":                  {Config{Socket: "unix:///a%00", Audiences: []string{"a"}}, "", "socket: has no path of 1 to 107 printable bytes: " + forms},
		"line feed":            {Config{Socket: "unix:///a%0a", Audiences: []string{"a"}}, "", "socket: has no path of 1 to 107 printable bytes: " + forms},
		"opaque":               {Config{Socket: "unix:agent.sock", Audiences: []string{"a"}}, "", "socket: is not a URI of the Workload API: " + forms},
		"query":                {Config{Socket: "unix:///a?b=c", Audiences: []string{"a"}}, "", "socket: is not a URI of the Workload API: " + forms},
		"user":                 {Config{Socket: "tcp://u@127.0.0.1:1", Audiences: []string{"a"}}, "", "socket: is not a URI of the Workload API: " + forms},
		"https":                {Config{Socket: "https://127.0.0.1:1", Audiences: []string{"a"}}, "", "socket: is neither unix nor tcp: " + forms},
		"name":                 {Config{Socket: "tcp://localhost:1", Audiences: []string{"a"}}, "", "socket: is not an IP address and a port"},
		"no port":              {Config{Socket: "tcp://127.0.0.1", Audiences: []string{"a"}}, "", "socket: is not an IP address and a port"},
		"a path behind":        {Config{Socket: "tcp://127.0.0.1:1/", Audiences: []string{"a"}}, "", "socket: is not an IP address and a port"},
		"no audience":          {Config{Socket: "unix:///s"}, "", "audiences: has no audience"},
		"empty audience":       {Config{Socket: "unix:///s", Audiences: []string{"a", ""}}, "", "audiences[1]: is empty"},
		"many audiences":       {many, "", "audiences: has more than 8192 bytes together"},
		"trust domain":         {Config{Socket: "unix:///s", Audiences: []string{"a"}, SPIFFEID: "spiffe://example.org"}, "", ""},
		"ID":                   {Config{Socket: "unix:///s", Audiences: []string{"a"}, SPIFFEID: "spiffe://a.b/ns/x/sa/Y_1.2"}, "", ""},
		"no ID":                {Config{Socket: "unix:///s", Audiences: []string{"a"}, SPIFFEID: "orders"}, "", "spiffeID: is not a SPIFFE ID"},
		"no trust domain":      {Config{Socket: "unix:///s", Audiences: []string{"a"}, SPIFFEID: "spiffe:///x"}, "", "spiffeID: is not a SPIFFE ID"},
		"capital trust domain": {Config{Socket: "unix:///s", Audiences: []string{"a"}, SPIFFEID: "spiffe://A/x"}, "", "spiffeID: is not a SPIFFE ID"},
		"slash at the end":     {Config{Socket: "unix:///s", Audiences: []string{"a"}, SPIFFEID: "spiffe://a/x/"}, "", "spiffeID: is not a SPIFFE ID"},
		"dots":                 {Config{Socket: "unix:///s", Audiences: []string{"a"}, SPIFFEID: "spiffe://a/../x"}, "", "spiffeID: is not a SPIFFE ID"},
		"space":                {Config{Socket: "unix:///s", Audiences: []string{"a"}, SPIFFEID: "spiffe://a/x y"}, "", "spiffeID: is not a SPIFFE ID"},
	} {
		s, err := New(tt.config, tt.variable)
		got := ""
		if e, ok := errors.AsType[*daemon.FieldError](err); ok {
			got = fmt.Sprintf("%s: %s: %s", e.Field, e.Problem, e.Help)
		}
		if (err == nil) != (tt.want == "") || !strings.HasPrefix(got, tt.want) || err == nil && s.Endpoint() == "" {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for _, uri := range []string{"unix:///run/spire/agent.sock", "tcp://127.0.0.1:8081", "tcp://[::1]:8081"} {
		if got := source(t, uri).Endpoint(); got != uri {
			t.Errorf("%s became %s", uri, got)
		}
	}
}
