// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package githubapp_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/daemon/source/githubapp"
	"github.com/renewd/renewd/daemon/source/internal/contract"
)

func TestMistakesAreFoundWithoutFiles(t *testing.T) {
	type c = githubapp.Config
	for name, r := range map[string]struct {
		change func(*c)
		want   []string
	}{
		"nothing":            {func(*c) {}, nil},
		"an app ID":          {func(o *c) { o.AppID = int64(12) }, nil},
		"a huge one":         {func(o *c) { o.AppID = json.Number("99999999999999999999") }, []string{"appID"}},
		"a negative one":     {func(o *c) { o.AppID, o.InstallationID = int64(-1), int64(-1) }, []string{"appID", "installationID"}},
		"a fraction":         {func(o *c) { o.AppID, o.InstallationID = 1.5, 1.5 }, []string{"appID", "installationID"}},
		"none of them":       {func(o *c) { o.AppID, o.InstallationID, o.KeyFile = nil, nil, "" }, []string{"appID", "installationID", "keyFile"}},
		"a list":             {func(o *c) { o.AppID, o.InstallationID = []any{"a"}, map[string]any{} }, []string{"appID", "installationID"}},
		"a path":             {func(o *c) { o.AppID, o.InstallationID = "a/b", "1/../2" }, []string{"appID", "installationID"}},
		"a name":             {func(o *c) { o.InstallationID = "octocat" }, []string{"installationID"}},
		"Enterprise":         {func(o *c) { o.APIURL = "https://git.test/api/v3" }, nil},
		"the web site":       {func(o *c) { o.APIURL = "https://GitHub.com" }, []string{"apiURL"}},
		"no URL":             {func(o *c) { o.APIURL = "api.github.com" }, []string{"apiURL"}},
		"a token in the URL": {func(o *c) { o.APIURL = "https://t@git.test" }, []string{"apiURL"}},
		"a query":            {func(o *c) { o.APIURL = "https://git.test?a=b" }, []string{"apiURL"}},
		"plain HTTP":         {func(o *c) { o.APIURL = "http://git.test" }, []string{"apiURL"}},
		"an owner":           {func(o *c) { o.Repositories = []string{"hello", "octocat/hello", ""} }, []string{"repositories[1]", "repositories[2]"}},
		"500 repositories":   {func(o *c) { o.Repositories = slices.Repeat([]string{"a"}, 500) }, nil},
		"501 repositories":   {func(o *c) { o.Repositories = slices.Repeat([]string{"a"}, 501) }, []string{"repositories"}},
		"permissions": {func(o *c) {
			o.Permissions = map[string]string{"contents": "read", "members": "admin", "issues": "write"}
		}, nil},
		"unknown permissions": {func(o *c) { o.Permissions = map[string]string{"contents": "all", "a b": "read"} }, []string{"permissions", "permissions.contents"}},
		"half a certificate":  {func(o *c) { o.HTTP.CertFile = "/c" }, []string{"http.keyFile"}},
	} {
		o := githubapp.Default()
		o.AppID, o.InstallationID, o.KeyFile = "Iv23li.example-1_a", "12345678", "/k"
		r.change(&o)
		_, err := githubapp.New(o)
		if got := contract.Fields(t, err); !slices.Equal(got, r.want) {
			t.Errorf("%s: %q, want %q (%v)", name, got, r.want, err)
		}
	}
}

// An editor that knows the schema accepts the same texts.
func TestThePatternsOfTheSchemaAreThoseOfTheCheck(t *testing.T) {
	pattern := func(name string) *regexp.Regexp {
		f, _ := reflect.TypeFor[githubapp.Config]().FieldByName(name)
		return regexp.MustCompile(f.Tag.Get("pattern"))
	}
	for _, text := range []string{"Iv23li.example-1_a", "123456", "0", "", "a/b", "a b", "1/../2", "é", "1\n", "-1"} {
		o := githubapp.Default()
		o.AppID, o.InstallationID, o.KeyFile = text, text, "/k"
		_, err := githubapp.New(o)
		refused := contract.Fields(t, err)
		if got := pattern("AppID").MatchString(text); got == slices.Contains(refused, "appID") {
			t.Errorf("appID %q: matched %v, refused %q", text, got, refused)
		}
		if got := pattern("InstallationID").MatchString(text); got == slices.Contains(refused, "installationID") {
			t.Errorf("installationID %q: matched %v, refused %q", text, got, refused)
		}
	}
}

// An identifier of digits is a number to YAML, and a text in quotes: people write both.
func TestYAML(t *testing.T) {
	for text, says := range map[string]string{
		`{appID: Iv23liExample, installationID: 12345678, keyFile: /k}`: "",
		`{appID: 123456, installationID: "12345678", keyFile: /k}`:      "",
		`{appID: "123456", installationID: 1, keyFile: /k, apiURL: https://git.test/api/v3, repositories: [a], permissions: {contents: read},
  http: {caFile: /ca, proxy: none}}`: "",
		`{appID: 1, keyFile: /k}`:                                                            `no key "installationID"`,
		`{appID: 0123, installationID: 1, keyFile: /k}`:                                      "read as different numbers",
		`{appID: 1, installationId: 1, keyFile: /k}`:                                         `did you mean "installationID"?`,
		`{appID: 1, installationID: 1, keyFile: /k, permissions: [contents]}`:                "permissions must be a mapping",
		"{appID: 1, installationID: 1, keyFile: \"-----BEGIN RSA PRIVATE KEY-----\\nMIIE\"}": "keyFile is no path",
	} {
		o := githubapp.Default()
		err := strict.Decode(strict.Options{MaxBytes: 1 << 20}, []byte(text), &o).Err()
		if says == "" && err == nil {
			_, err = githubapp.New(o)
		}
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
