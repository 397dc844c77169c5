// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package githubapp

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
)

// Config is the mapping below githubApp. Start from Default.
type Config struct {
	AppID          any               `yaml:"appID" required:"true" pattern:"^[A-Za-z0-9._-]+$" doc:"The app's client ID, a text, or its app ID, a number."`
	InstallationID any               `yaml:"installationID" required:"true" pattern:"^[0-9]+$" doc:"The number of the app's installation."`
	KeyFile        string            `yaml:"keyFile" required:"true" doc:"Path of a private key of the app, as GitHub hands it out."`
	APIURL         string            `yaml:"apiURL" doc:"The API: for GitHub Enterprise Server https://HOST/api/v3."`
	Repositories   []string          `yaml:"repositories" doc:"The repositories that the token is good for, by name without the owner: at most 500. Empty: all of the installation."`
	Permissions    map[string]string `yaml:"permissions" doc:"What the token may do, such as contents: read. Empty: all that the installation may."`
	HTTP           endpoint.HTTP     `yaml:"http" doc:"How the API is reached and verified."`
}

// mostRepositories is GitHub's limit for one token.
const mostRepositories = 500

// Default returns what an empty mapping means. It names no app.
func Default() Config {
	return Config{APIURL: "https://api.github.com", HTTP: endpoint.DefaultHTTP()}
}

// checker collects the mistakes that the text of a Config alone shows.
type checker struct {
	Config
	errs []error
}

func (c *checker) wrong(field, problem, help string) {
	c.errs = append(c.errs, &daemon.FieldError{Field: field, Problem: problem, Help: help})
}

// check returns every mistake.
func (c *checker) check() error {
	c.errs = c.HTTP.Check("http")
	// What identifies an app goes into a JWT and is printed.
	if app := identifier(c.AppID); app == "" || strings.Trim(app, letters+digits+"._-") != "" {
		c.wrong("appID", "is neither a client ID nor an app ID", "GitHub shows both in the settings of the app, such as Iv23liExample or 123456")
	}
	if id := identifier(c.InstallationID); id == "" || strings.Trim(id, digits) != "" {
		c.wrong("installationID", "is no number of an installation", "the last part of the URL of the installation's settings: github.com/settings/installations/12345678")
	}
	if c.KeyFile == "" {
		c.wrong("keyFile", "is empty", "the path of the private key (PEM) that GitHub made for the app")
	}
	c.api()
	c.repositories()
	for _, name := range slices.Sorted(maps.Keys(c.Permissions)) {
		if name == "" || strings.Trim(name, letters+digits+"_") != "" {
			c.wrong("permissions", "has a name that is no permission's", "as GitHub's API writes it, such as pull_requests")
		} else if level := c.Permissions[name]; level != "read" && level != "write" && level != "admin" {
			c.wrong("permissions."+name, "is unknown", "read, write or admin")
		}
	}
	return errors.Join(c.errs...)
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

func (c *checker) api() {
	c.errs = append(c.errs, c.HTTP.CheckURL("apiURL", c.APIURL))
	if strings.Contains(c.APIURL, "?") {
		c.wrong("apiURL", "holds a query", "for example https://api.github.com")
	}
	if u, err := url.Parse(c.APIURL); err == nil && strings.TrimPrefix(strings.ToLower(u.Hostname()), "www.") == "github.com" {
		c.wrong("apiURL", "is GitHub's web site, not its API", "https://api.github.com")
	}
}

func (c *checker) repositories() {
	if n := len(c.Repositories); n > mostRepositories {
		c.wrong("repositories", fmt.Sprintf("has %d names", n), fmt.Sprintf("GitHub takes %d at most", mostRepositories))
	}
	for i, name := range c.Repositories {
		if name == "" || strings.Trim(name, letters+digits+"._-") != "" {
			c.wrong(fmt.Sprintf("repositories[%d]", i), "is no name of a repository", "without its owner, who is that of the installation: hello, not octocat/hello")
		}
	}
}

// identifier returns the text of an identifier, which YAML reads as a number if it has only digits, and "" for what can be
// none.
func identifier(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	if n, ok := value.(int64); ok && n > 0 {
		return strconv.FormatInt(n, 10)
	}
	return ""
}
