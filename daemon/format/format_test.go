// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package format_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/format"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing them")

func token(value string) daemon.Token {
	issued := time.Date(2026, 11, 23, 4, 5, 6, 789e6, time.FixedZone("", 3600))
	return daemon.Token{Value: daemon.NewSecret(value), Type: "Bearer", IssuedAt: issued, ExpiresAt: issued.Add(time.Hour)}
}

// build returns the format of a kind with options set by change.
func build(t testing.TB, kind string, change func(options any)) daemon.Format {
	t.Helper()
	f, err := construct(kind, change)
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	return f
}

func construct(kind string, change func(options any)) (daemon.Format, error) {
	k := format.Kinds()[kind]
	var options any
	if k.Default != nil {
		options = k.Default()
		change(options)
	}
	return k.New(options, format.Context{Name: "orders", Keep: 2 * time.Minute})
}

// example fills the options of every kind that has some.
func example(options any) {
	switch o := options.(type) {
	case *format.Netrc:
		*o = format.Netrc{Host: "git.example.com", User: "oauth2"}
	case *format.DockerConfig:
		*o = format.DockerConfig{Host: "registry.example.com:5000", User: "oauth2accesstoken"}
	case *format.Env:
		*o = format.Env{Name: "API_TOKEN"}
	case *format.Template:
		*o = format.Template{Text: "# ${name}: ${type}, ${issuedAt} to ${expiresAt}\n${value} $ {value} $${value}"}
	}
}

const b64token = "AZaz09-._~+/=="

func encode(t testing.TB, f daemon.Format, tok daemon.Token) string {
	t.Helper()
	data, err := f.Encode(tok)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestGolden(t *testing.T) {
	for _, kind := range slices.Sorted(maps.Keys(format.Kinds())) {
		f := build(t, kind, example)
		unknown := token(b64token)
		unknown.ExpiresAt = time.Time{}
		for name, tok := range map[string]daemon.Token{kind: token(b64token), kind + "-without-expiry": unknown} {
			path := filepath.Join("testdata", name+".golden")
			got := encode(t, f, tok)
			if *update {
				if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || got != string(want) {
				t.Errorf("%s (-update writes it): got\n%s\nwant\n%s\n%v", path, got, want, err)
			}
		}
	}
}

func TestEmptyTokenIsRefused(t *testing.T) {
	for kind := range format.Kinds() {
		if data, err := build(t, kind, example).Encode(token("")); err == nil {
			t.Errorf("%s wrote %q", kind, data)
		}
	}
}

// Every visible character goes through the formats that do not refuse any, as it is.
func TestVisibleCharactersAreKept(t *testing.T) {
	var all strings.Builder
	for c := '!'; c <= '~'; c++ {
		all.WriteRune(c)
	}
	value := all.String()
	for kind, value := range map[string]string{
		"raw": value, "header": value, "template": value,
		"json":           strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value),
		"execcredential": strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value),
		"dockerconfig":   base64.StdEncoding.EncodeToString([]byte("oauth2accesstoken:" + value)),
	} {
		if got := encode(t, build(t, kind, example), token(all.String())); !strings.Contains(got, value) {
			t.Errorf("%s: %q is not in %q", kind, value, got)
		}
	}
}

func TestFormatRefusesWhatItCannotCarry(t *testing.T) {
	for kind, values := range map[string][]string{
		"netrc": {`a"b`, "a'b", "a#b", "a b", "a\tb", "a\nb", "a!b", `a\b`, "ä", "a\x00"},
		"env":   {`a"b`, "a'b", "a#b", "a b", "a\nb", "a$b", "a`b", `a\b`, "a;b", "a&b", "a|b", "a>b", "a*b", "~root", "~", "~+", "(a)", "a:~", "ä"},
	} {
		f := build(t, kind, example)
		for _, value := range values {
			data, err := f.Encode(token(value))
			if err == nil {
				t.Errorf("%s wrote %q", kind, data)
			} else if strings.Contains(err.Error(), value) && len(value) > 1 {
				t.Errorf("%s shows the token: %v", kind, err)
			}
		}
	}
	other := token("abc")
	other.Type = "N_A"
	if data, err := build(t, "header", nil).Encode(other); err == nil {
		t.Errorf("header wrote %q", data)
	}
}

func TestHeaderWritesTheSchemeInOneWay(t *testing.T) {
	for _, kind := range []string{"", "bearer", "BEARER", "Bearer"} {
		tok := token("abc")
		tok.Type = kind
		if got := encode(t, build(t, "header", nil), tok); got != "Authorization: Bearer abc" {
			t.Errorf("type %q: %q", kind, got)
		}
	}
}

func TestCredentialIsReadAgainWhileFresh(t *testing.T) {
	issued := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for life, want := range map[time.Duration]time.Duration{
		time.Hour: 58 * time.Minute, 8 * time.Minute: 6 * time.Minute, time.Minute: 45 * time.Second,
		10 * time.Second: 7 * time.Second /* 7.5, rounded down */, -time.Second: -time.Second,
	} {
		data := encode(t, build(t, "execcredential", nil),
			daemon.Token{Value: daemon.NewSecret("abc"), IssuedAt: issued, ExpiresAt: issued.Add(life)})
		var got struct {
			Status struct{ ExpirationTimestamp time.Time }
		}
		if err := json.Unmarshal([]byte(data), &got); err != nil {
			t.Fatal(err)
		}
		if d := got.Status.ExpirationTimestamp.Sub(issued); d != want {
			t.Errorf("life %v: read again after %v, want %v", life, d, want)
		}
	}
}

func TestDecodeReadsWhatEncodeWrote(t *testing.T) {
	for _, kind := range []string{"raw", "json"} {
		f := build(t, kind, nil)
		d, ok := f.(daemon.Decoder)
		if !ok {
			t.Fatalf("%s is no Decoder", kind)
		}
		got, err := d.Decode([]byte(encode(t, f, token(b64token))))
		if err != nil || got.Value.Reveal() != b64token {
			t.Errorf("%s: %v", kind, err)
		}
		if want := map[string]string{"raw": "", "json": "Bearer"}[kind]; got.Type != want {
			t.Errorf("%s: type %q, want %q", kind, got.Type, want)
		}
	}
	d := build(t, "json", nil).(daemon.Decoder)
	for _, text := range []string{
		"", "{}", "[]", `{"access_token":""}`, `{"access_token":null}`, `{"access_token":1}`, `{"access_token":"canary","token_type":1}`,
		`{"access_token":"canary","access_token":"b"}`, `{"Access_Token":"canary"}`, `{"access_token":"canary"} x`, `{"access_token":"canary`,
	} {
		if got, err := d.Decode([]byte(text)); err == nil || !got.Value.IsZero() || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	set := func(o any) func(any) {
		return func(options any) {
			switch p := options.(type) {
			case *format.Netrc:
				*p = o.(format.Netrc)
			case *format.DockerConfig:
				*p = o.(format.DockerConfig)
			case *format.Env:
				*p = o.(format.Env)
			case *format.Template:
				*p = o.(format.Template)
			}
		}
	}
	for _, tt := range []struct {
		kind    string
		options any
		want    string // fields, or empty if the options are right
	}{
		{"netrc", format.Netrc{}, "host user"},
		{"netrc", format.Netrc{Host: "git.example.com:443", User: "u"}, "host"},
		{"netrc", format.Netrc{Host: "https://git.example.com", User: "u"}, "host"},
		{"netrc", format.Netrc{Host: "a\nmachine b", User: "u v"}, "host user"},
		{"netrc", format.Netrc{Host: "fe80::1%a b", User: "u"}, "host"},
		{"netrc", format.Netrc{Host: "::1", User: "u@example.com"}, ""},
		{"netrc", format.Netrc{Host: "10.0.0.1", User: "u#"}, "user"},
		{"dockerconfig", format.DockerConfig{}, "host user"},
		{"dockerconfig", format.DockerConfig{Host: "a b", User: "a:b"}, "host user"},
		{"dockerconfig", format.DockerConfig{Host: "https://index.docker.io/v1/", User: "AWS"}, ""},
		{"env", format.Env{}, "name"},
		{"env", format.Env{Name: "1A"}, "name"},
		{"env", format.Env{Name: "A-B"}, "name"},
		{"env", format.Env{Name: "A=B"}, "name"},
		{"env", format.Env{Name: "_a1"}, ""},
		{"template", format.Template{}, "text"},
		{"template", format.Template{Text: "${token}"}, "text"},
		{"template", format.Template{Text: "${} ${value"}, "text text"},
		{"template", format.Template{Text: "no field $ { } $value"}, ""},
	} {
		_, err := construct(tt.kind, set(tt.options))
		var fields []string
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				f, _ := errors.AsType[*daemon.FieldError](e)
				fields = append(fields, f.Field)
			}
		} else if f, ok := errors.AsType[*daemon.FieldError](err); ok {
			fields = append(fields, f.Field)
		}
		if got := strings.Join(fields, " "); got != tt.want {
			t.Errorf("%s %+v: %v, want mistakes in %q", tt.kind, tt.options, err, tt.want)
		}
	}
}

func TestFormatsDoNotPrintTheToken(t *testing.T) {
	for kind := range format.Kinds() {
		f := build(t, kind, example)
		encode(t, f, token("canary"))
		if printed := fmt.Sprintf("%v %+v %#v", f, f, f); strings.Contains(printed, "canary") {
			t.Errorf("%s keeps the token: %s", kind, printed)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"access_token":"abc","token_type":"Bearer"}`))
	f.Add([]byte("abc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, kind := range []string{"raw", "json"} {
			made := build(t, kind, nil)
			d := made.(daemon.Decoder)
			first, err := d.Decode(data)
			if err != nil {
				continue
			}
			second, err := d.Decode([]byte(encode(t, made, first)))
			if err != nil || !second.Value.Equal(first.Value) || second.Type != first.Type {
				t.Errorf("%s: %q does not survive", kind, data)
			}
		}
	})
}

func FuzzTemplate(f *testing.F) {
	f.Add("Bearer ${value}\n")
	f.Add("${")
	f.Add("$${value}}${name}")
	f.Fuzz(func(t *testing.T, text string) {
		made, err := construct("template", func(o any) { o.(*format.Template).Text = text })
		if err != nil {
			return
		}
		want := strings.NewReplacer("${value}", "abc", "${type}", "Bearer", "${name}", "orders",
			"${issuedAt}", "2026-11-23T03:05:06Z", "${expiresAt}", "2026-11-23T04:05:06Z").Replace(text)
		if got := encode(t, made, token("abc")); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	})
}
