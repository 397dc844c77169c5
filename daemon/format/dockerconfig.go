// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package format

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/renewd/renewd/daemon"
)

// DockerConfig is the options of dockerconfig: a config.json with one registry, on one line with a line end.
type DockerConfig struct {
	Host string `yaml:"host" required:"true" doc:"The registry as its clients look it up, with a port if it has one. Docker Hub is https://index.docker.io/v1/."`
	User string `yaml:"user" required:"true" doc:"The user name that the registry expects beside a token, such as oauth2accesstoken or AWS."`
}

type dockerConfig struct{ DockerConfig }

func newDockerConfig(options any, _ Context) (daemon.Format, error) {
	o := *options.(*DockerConfig)
	var errs []error
	if o.Host == "" || !visible(o.Host) {
		errs = append(errs, &daemon.FieldError{Field: "host", Problem: "is no registry", Help: "for example ghcr.io or localhost:5000"})
	}
	// Readers split the decoded auth at its first colon.
	if o.User == "" || !visible(o.User) || strings.Contains(o.User, ":") {
		errs = append(errs, &daemon.FieldError{Field: "user", Problem: "is no user name", Help: "visible ASCII characters without a colon"})
	}
	return dockerConfig{o}, errors.Join(errs...)
}

// visible reports whether s has nothing but visible ASCII characters.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

func (d dockerConfig) Encode(t daemon.Token) ([]byte, error) {
	if t.Value.IsZero() {
		return nil, errEmpty
	}
	type entry struct {
		Auth string `json:"auth"`
	}
	return line(struct {
		Auths map[string]entry `json:"auths"`
	}{map[string]entry{d.Host: {base64.StdEncoding.EncodeToString([]byte(d.User + ":" + t.Value.Reveal()))}}})
}
