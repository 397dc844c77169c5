// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package format

import (
	"errors"
	"strings"

	"github.com/renewd/renewd/daemon"
)

// Env is the options of env: one line NAME=TOKEN with a line end, for ". FILE" in a shell, EnvironmentFile of systemd and
// --env-file of containers.
type Env struct {
	Name string `yaml:"name" required:"true" doc:"The name of the variable: letters, digits and _, not a digit first."`
}

// env refuses what one of its readers would change. There is no quoting: containers take quotes as part of the value.
type env struct{ name string }

func newEnv(options any, _ Context) (daemon.Format, error) {
	name := options.(*Env).Name
	if name == "" || within("name", name, letters+digits+"_") != nil || strings.ContainsAny(name[:1], digits) {
		return nil, &daemon.FieldError{Field: "name", Problem: "is no name of a variable", Help: "letters, digits and _, not a digit first"}
	}
	return env{name}, nil
}

func (e env) Encode(t daemon.Token) ([]byte, error) {
	if t.Value.IsZero() {
		return nil, errEmpty
	}
	token := t.Value.Reveal()
	if err := within("the token", token, b64token+"!"); err != nil {
		return nil, err
	}
	if strings.HasPrefix(token, "~") {
		return nil, errors.New("the token begins with ~, which a shell replaces by a home directory")
	}
	return []byte(e.name + "=" + token + "\n"), nil
}
