// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/daemon/format"
	"github.com/renewd/renewd/daemon/schedule"
	"github.com/renewd/renewd/daemon/source/sign"
)

const minimal = `version: 1
tokens:
  - name: a
    source: {sign: {keyFile: /k}}
    publish:
      - file: /run/a
`

func testLoader() Loader {
	variables := map[string]string{"RENEWD_TTL": "20m", "RENEWD_REFRESH_INTERVAL": "10m", "POD_NAME": "orders-0", "POD_NAMESPACE": "shop",
		"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
	return Loader{Lookup: func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}}
}

func load(t *testing.T, text string) *Config {
	t.Helper()
	c, err := testLoader().Load("config.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// encode returns what a format makes of a token that lives for an hour.
func encode(t *testing.T, f daemon.Format) string {
	t.Helper()
	issued := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	data, err := f.Encode(daemon.Token{Value: daemon.NewSecret("tok"), Type: "Bearer", IssuedAt: issued, ExpiresAt: issued.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func inputs(t *testing.T, s daemon.Source) []string {
	t.Helper()
	list, ok := s.(daemon.Inputs)
	if !ok {
		t.Fatalf("%T reads no files", s)
	}
	return list.Inputs()
}

func TestDefaults(t *testing.T) {
	source, err := sign.New(sign.Config{Algorithm: "ES256", KeyFile: "/k", KeyID: "auto", Type: "JWT", TTL: 30 * time.Minute, Backdate: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := format.Kinds()["raw"].New(nil, format.Context{})
	if err != nil {
		t.Fatal(err)
	}
	got := load(t, minimal).Tokens[0]
	want := Token{Name: "a", Kind: "sign", Source: source, Timeout: 30 * time.Second, Policy: schedule.Default(), Check: daemon.Check{MaxBytes: 16384},
		Publish: []Publish{{File: "/run/a", FormatName: "raw", Format: raw, Mode: 0o600, Owner: -1, Group: -1}}}
	want.SourceFingerprint, want.Fingerprint = got.SourceFingerprint, got.Fingerprint
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDirectoryAndRelativePaths(t *testing.T) {
	p := load(t, strings.Replace(minimal, "- file: /run/a", "- {directory: ./out//x/, files: {b.netrc: {netrc: {host: h, user: u}}, h: header}}\n      - file: a/../b", 1)).Tokens[0].Publish
	if len(p) != 2 || p[0].Directory != "out/x" || p[0].File != "" || len(p[0].Files) != 2 || p[0].Format != nil || p[1].File != "b" {
		t.Fatalf("%+v", p)
	}
	if got := encode(t, p[0].Files["b.netrc"]); got != "machine h login u password tok\n" {
		t.Errorf("%q", got)
	}
	if got := encode(t, p[0].Files["h"]); got != "Authorization: Bearer tok" {
		t.Errorf("%q", got)
	}
}

func TestKindsLearnOfTheirToken(t *testing.T) {
	text := strings.Replace(minimal, "sign", "reissue", 1)
	text = strings.Replace(text, "- file: /run/a", `- {file: /run/header, format: header}
      - {directory: /run/set, files: {credential: execcredential}}
      - file: out/../raw
      - file: /run/second
      - {file: /run/text, format: {template: {text: "${name} ${value}"}}}`, 1)
	got := load(t, text).Tokens[0]
	if files := inputs(t, got.Source); !slices.Equal(files, []string{"/k", "raw"}) {
		t.Errorf("reissue reads %q, not the first raw file", files)
	}
	if name := encode(t, got.Publish[4].Format); name != "a tok" {
		t.Errorf("the template says %q", name)
	}
	for keep, want := range map[string]string{"": "12:58:00Z", "    refresh: {keep: 7m}\n": "12:53:00Z"} {
		credential := encode(t, load(t, text+keep).Tokens[0].Publish[1].Files["credential"])
		if !strings.Contains(credential, `"expirationTimestamp":"2030-01-01T`+want+`"`) {
			t.Errorf("%q: %s", keep, credential)
		}
	}
	own := load(t, strings.Replace(text, "{keyFile: /k}", "{keyFile: /k, tokenFile: /t, seedFile: /s}", 1)).Tokens[0]
	if files := inputs(t, own.Source); !slices.Equal(files, []string{"/k", "/s", "/t"}) {
		t.Errorf("reissue reads %q, not what it was told", files)
	}
}

func TestVariablesReachTheKinds(t *testing.T) {
	c := load(t, strings.Replace(minimal, "{keyFile: /k}", `{keyFile: "/keys/${POD_NAME}", ttl: "${RENEWD_TTL}"}`, 1)).Tokens[0]
	if s := c.Source.(*sign.Source); s.Lifetime() != 20*time.Minute || !slices.Equal(s.Inputs(), []string{"/keys/orders-0"}) {
		t.Errorf("%v %q", s.Lifetime(), s.Inputs())
	}
}

func TestFingerprints(t *testing.T) {
	base := load(t, minimal).Tokens[0]
	for name, c := range map[string]struct {
		text          string
		source, token bool
	}{
		"comments, order, written defaults": {"# c\n" + strings.Replace(minimal, "{keyFile: /k}", "{ttl: 30m, keyFile: /k}", 1), true, true},
		"schedule":                          {minimal + "    refresh: {keep: 1m}\n", true, false},
		"key file":                          {strings.Replace(minimal, "/k", "/l", 1), false, false},
		"kind":                              {strings.Replace(minimal, "sign", "reissue", 1), false, false},
		"empty list":                        {minimal + "    notify: []\n", true, true},
		"number as text":                    {strings.Replace(minimal, "/k}", "/k, claims: {a: '1'}}", 1), false, false},
	} {
		got := load(t, c.text).Tokens[0]
		if (got.SourceFingerprint == base.SourceFingerprint) != c.source || (got.Fingerprint == base.Fingerprint) != c.token {
			t.Errorf("%s: %+v", name, got)
		}
	}
	one := load(t, strings.Replace(minimal, "/k}", "/k, claims: {a: 9007199254740993}}", 1)).Tokens[0]
	two := load(t, strings.Replace(minimal, "/k}", "/k, claims: {a: 9007199254740992}}", 1)).Tokens[0]
	if one.SourceFingerprint == two.SourceFingerprint {
		t.Error("two integers beyond 2^53 have one fingerprint")
	}
}

func TestWarnsOfAScheduleThatDoesNotFit(t *testing.T) {
	c := load(t, minimal+"    refresh:\n      outage: 29m\n")
	if len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0].String(), "config.yaml:7:5: warning: outage: 29m does not fit into a life of 30m: at most, an issuer outage of 22m can be survived") {
		t.Errorf("%v", c.Warnings)
	}
}

func TestMistakes(t *testing.T) {
	token := func(lines string) string { return minimal + "    " + lines + "\n" }
	publish := func(entry string) string { return strings.Replace(minimal, "- file: /run/a", entry, 1) }
	second := func(entry string) string {
		return minimal + "  - name: b\n    source: {file: {path: /x}}\n    publish: [" + entry + "]\n"
	}
	for _, c := range []struct{ name, text, want string }{
		{"nothing but a version", "version: 1", `the top level has no key "tokens"`},
		{"no token", "version: 1\ntokens: []", "2:9: error: tokens must have at least one token"},
		{"no publish", strings.Replace(minimal, "    publish:\n      - file: /run/a\n", "    publish: []\n", 1), "5:14: error: publish must have at least one file or directory"},
		{"name", strings.Replace(minimal, "name: a", "name: A_b", 1), "3:11: error: name is no DNS label"},
		{"long name", strings.Replace(minimal, "name: a", "name: "+strings.Repeat("a", 64), 1), "name is no DNS label"},
		{"empty name", strings.Replace(minimal, "name: a", "name: ''", 1), "name is no DNS label"},
		{"name twice", strings.Replace(second("{file: /b}"), "name: b", "name: a", 1), "7:11: error: two tokens are called \"a\"\n    7 |   - name: a\n      |           ^\n  help: the other is at 3:11"},
		{"two kinds", strings.Replace(minimal, "{sign: {keyFile: /k}}", "{sign: {keyFile: /k}, exec: {command: [x]}}", 1), "source must have exactly one kind of source, not 2"},
		{"unknown kind", strings.Replace(minimal, "sign", "singn", 1), `unknown source "singn"`},
		{"of the source", strings.Replace(minimal, "/k}", "/k, claims: {exp: 5, iat: 6}}", 1), "4:48: error: claims.exp: is written by renewd\n"},
		{"of the source, another", strings.Replace(minimal, "/k}", "/k, claims: {exp: 5, iat: 6}}", 1), "4:56: error: claims.iat: is written by renewd\n"},
		{"of the source, with help", strings.Replace(minimal, "/k}", "/k, ttl: 500ms}", 1), "4:39: error: ttl: is 500ms\n    4 |     source: {sign: {keyFile: /k, ttl: 500ms}}\n      |                                       ^^^^^\n  help: 1s to 87600h, which is ten years"},
		{"of the source, once", strings.Replace(minimal, "/k}", "/k, claims: {exp: 5}}", 1), "4:48: error: claims.exp: is written by renewd\n    4 |     source: {sign: {keyFile: /k, claims: {exp: 5}}}\n      |                                                ^\n  help: remove it; ttl says when a token expires\n1 error"},
		{"of the source, not written", strings.Replace(publish("- directory: /d"), "sign", "reissue", 1), "4:23: error: tokenFile: is missing"},
		{"of the source, in a list", strings.Replace(minimal, "sign: {keyFile: /k}", `exec: {command: [a, "b\0"]}`, 1), "4:34: error: command[1]: holds a NUL character"},
		{"of the source, by name", strings.Replace(minimal, "sign: {keyFile: /k}", `exec: {command: [a], env: {A.B: "\0"}}`, 1), "4:46: error: env.A.B: holds a NUL character"},
		{"of an assertion", strings.Replace(minimal, "sign: {keyFile: /k}", "oauth2: {issuer: https://a.test, clientID: a, assertion: {keyFile: /a, ttl: 5s}}", 1), "4:90: error: assertion.ttl: is 5s\n" +
			"    4 |     source: {oauth2: {issuer: https://a.test, clientID: a, assertion: {keyFile: /a, ttl: 5s}}}\n" + strings.Repeat(" ", 6) + "|" + strings.Repeat(" ", 90) + "^^"},
		{"of an assertion's claims", strings.Replace(minimal, "sign: {keyFile: /k}", "oauth2: {issuer: https://a.test, clientID: a, grant: jwt-bearer, grantAssertion: {keyFile: /a, claims: {aud: x}}}", 1),
			"grantAssertion.claims.aud: is written by renewd\n    4 | nt: jwt-bearer, grantAssertion: {keyFile: /a, claims: {aud: x}}}}"},
		{"an assertion instead of its file", strings.Replace(minimal, "sign: {keyFile: /k}", "oauth2: {issuer: https://a.test, clientID: a, assertion: hunter22}", 1), "assertion must be a mapping, not what is there\n"},
		{"of a format", publish("- {file: /d, format: {env: {name: 1st}}}"), "6:41: error: name: is no name of a variable"},
		{"of a further file", publish("- {directory: /d, files: {b.netrc: {netrc: {host: 'h:1', user: u}}}}"), "6:57: error: host: is no name of a server"},
		{"of a notifier", token("notify: [{http: {url: /reload}}]"), "7:27: error: url: is no address that can be asked"},
		{"of a notifier, no field", token("notify: [{signal: {}}]"), "7:23: error: needs exactly one of pidFile and process"},
		{"timeout", token("timeout: 11m"), "7:14: error: timeout must be within 1s and 10m"},
		{"floor", token("refresh: {floor: 10ms}"), "floor must be within 100ms and 1h"},
		{"negative", token("refresh: {keep: -1s}"), "keep must be within 0s and 87600h"},
		{"default life", token("refresh: {defaultTTL: 0s}"), "defaultTTL must be within 1s and 87600h"},
		{"window", token("refresh: {at: 80}"), "at must be percentages of the life, not 80"},
		{"window order", token("refresh: {at: 80%-70%}"), "at must lie within 1% and 99%, the smaller first"},
		{"window bounds", token("refresh: {at: 0.5%}"), "at must lie within 1% and 99%"},
		{"characters", token("expect: {characters: all}"), `unknown value "all" for characters`},
		{"size", token("expect: {maxBytes: 0}"), "maxBytes must be within 1 and 1048576"},
		{"exit", token("onExit: delete"), `unknown value "delete" for onExit`},
		{"notifier", token("notify: [{exec: {}}]"), `exec has no key "command"`},
		{"file and directory", publish("- {file: /a, directory: /b}"), "publish[0] must have exactly one of file and directory"},
		{"neither", publish("- mode: '0600'"), "publish[0] must have exactly one of file and directory"},
		{"empty", publish("- file: ''"), "publish[0] must have exactly one of file and directory"},
		{"slash", publish("- file: /run/"), "file must be a file, and ends in a slash"},
		{"dots", publish("- file: /run/.."), "file must end in a file name"},
		{"path with NUL", publish(`- file: "/run/\0"`), "file must not hold a NUL"},
		{"format of a directory", publish("- {directory: /d, format: raw}"), "format belongs to a file"},
		{"files of a file", publish("- {file: /d, files: {a: raw}}"), "files belong to a directory"},
		{"unknown format", publish("- {file: /d, format: rwa}"), "unknown format \"rwa\""},
		{"format wants options", publish("- {file: /d, format: netrc}"), "write {netrc: {host: …}}"},
		{"option of a format", publish("- {file: /d, format: {netrc: {hots: x, user: y}}}"), `did you mean "host"?`},
		{"name of a further file", publish("- {directory: /d, files: {a/b: raw}}"), `"a/b" is no file name`},
		{"reserved name", publish("- {directory: /d, files: {token.json: raw}}"), `"token.json" is written into every directory`},
		{"bare mode", publish("- {file: /d, mode: 0644}"), `write it in quotes: "0644"`},
		{"bare mode of another kind", publish("- {file: /d, mode: 0o644}"), `write it in quotes, such as "0640"`},
		{"mode", publish("- {file: /d, mode: '1777'}"), `mode must be permissions in octal digits, at most 0777, not "1777"`},
		{"mode for nobody", publish("- {file: /d, mode: '000'}"), `6:26: error: mode "000" does not let the owner read`},
		{"mode for all but the owner", publish("- {file: /d, mode: '0377'}"), `mode "0377" does not let the owner read`},
		{"owner", publish("- {file: /d, owner: root}"), `owner must be a number, not "root"`},
		{"owner of all", publish("- {file: /d, owner: 4294967295}"), `owner must be a number`},
		{"one path", second("{file: /run/../run/a}"), "9:22: error: published twice: both are \"/run/a\"\n    9 |     publish: [{file: /run/../run/a}]\n      |                      ^^^^^^^^^^^^^\n  help: the other is at 6:15"},
		{"inside a directory", second("{directory: /run}"), `6:15: error: published twice: "/run/a" lies inside "/run"`},
		{"deep inside a directory", second("{directory: /}"), `"/run/a" lies inside "/"`},
		{"a record", second("{file: /run/.a.renewd}"), `"/run/.a.renewd" is where the record of the other is kept`},
		{"relative and absolute", strings.Replace(second("{file: a}"), "/run/a", must(filepath.Abs("a")), 1), "published twice"},
		{"listen", minimal + "status: {listen: localhost}", "listen must be host:port"},
		{"listen by name", minimal + "status: {listen: 'localhost:http'}", "listen must be host:port"},
		{"listen without a host", minimal + "status: {listen: 9736}", "7:18: error: listen must be a text, not 9736\n    7 | status: {listen: 9736}\n      |                  ^^^^\n  help: for example 127.0.0.1:9736"},
		{"socket", minimal + "status: {socket: admin.sock}", "socket must be an absolute path"},
		{"long socket", minimal + "status: {socket: /" + strings.Repeat("a", 107) + "}", "at most 107 bytes"},
		{"end", minimal + "shutdown: {keepFor: -5s}", "keepFor must be within 0s and 87600h"},
		{"log policy", minimal + "logPolicy: /etc/", "logPolicy must be a file"},
		{"a key instead of its path", strings.Replace(minimal, "/k", `"-----BEGIN EC PRIVATE KEY-----\nhunter22"`, 1), "give the path of a file"},
		{"a token instead of its path", strings.Replace(minimal, "/k", "eyJhunter22", 1), "give the path of a file"},
		{"a token instead of the path of a token", strings.Replace(minimal, "sign: {keyFile: /k}", "file: {path: eyJhunter22}", 1), "4:27: error: path is no path"},
		{"not YAML", "version: 1\ntokens: [", "not valid YAML"},
		{"too long", strings.Repeat("#", MaxBytes+1), "16777217 bytes are too many; 16777216 are allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, err := testLoader().Load("config.yaml", []byte(c.text))
			if got := fmt.Sprint(err); config != nil || !strings.Contains(got, c.want) || strings.Contains(got, "hunter22") {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func must(path string, err error) string {
	if err != nil {
		panic(err)
	}
	return path
}

func TestAllMistakesAtOnceAndNoneInvented(t *testing.T) {
	text := `version: 2
tokens:
  - name: Bad
    source: {sign: {keyFile: /k, ttl: 30, claims: {exp: 1}}}
    publish: [{file: /a, mode: 0640}]
  - name: good
    source: {sign: {keyFile: /k, claims: {exp: 1}}}
    timeout: 0s
    publish: [{file: /a/}, {flie: /b}]
statsu: {}
`
	_, err := testLoader().Load("c", []byte(text))
	var got []string
	for line := range strings.Lines(fmt.Sprint(err)) {
		if strings.HasPrefix(line, "c:") {
			got = append(got, strings.SplitN(line, " error", 2)[0])
		}
	}
	want := "c:1:10: c:3:11: c:4:39: c:5:32: c:7:48: c:8:14: c:9:22: c:9:29: c:10:1:"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s\n%v", s, want, err)
	}
}

func TestEveryErrorOfAKindIsReported(t *testing.T) {
	c := checker{Document: strict.Decode(testLoader().options("c"), []byte(minimal), &file{})}
	c.reportAll("tokens[0].source.sign", errors.Join(
		errors.New("is odd"),
		errors.Join(&daemon.FieldError{Field: "keyFile", Problem: "is odd too", Help: "mend it"}, fmt.Errorf("check: %w", &daemon.FieldError{Problem: "is all wrong"}))))
	var got []string
	if e, ok := errors.AsType[*strict.Error](c.Err()); ok {
		for _, p := range e.Problems {
			got = append(got, fmt.Sprintf("%d:%d %s (%s)", p.Line, p.Column, p.Text, p.Help))
		}
	}
	if want := []string{"4:20 is all wrong ()", "4:20 is odd ()", "4:30 keyFile: is odd too (mend it)"}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestManyTokens(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\ntokens:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  - {name: t%d, source: {sign: {keyFile: /k}}, publish: [{file: /run/%d/token}]}\n", i, i)
	}
	if c := load(t, b.String()); len(c.Tokens) != 1000 {
		t.Error(len(c.Tokens))
	}
}

func TestWindowIsWrittenAsRead(t *testing.T) {
	for _, w := range []string{"70%-80%", "80%", "1%-99%", "72.5%", "29%-58%", "33.3%-66.7%"} {
		m := percentages().FindStringSubmatch(w)
		c := load(t, minimal+"    refresh: {at: "+w+"}\n")
		got := &window{c.Tokens[0].Policy.AtStart, c.Tokens[0].Policy.AtEnd}
		if m == nil || got.String() != w {
			t.Errorf("%s: %s", w, got)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(minimal)
	f.Add(minimal + "    refresh: {at: 5%, outage: 9999h}\n    notify: [{http: {url: x}}]\nstatus: {listen: ':0'}\n")
	f.Add("version: 1\ntokens: [{name: a, source: {}, publish: [{directory: '', files: {'': raw}}]}]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := testLoader().Load("c", []byte(text))
		if (c == nil) == (err == nil) {
			t.Errorf("%v %v", c, err)
		}
	})
}
