// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package reissue

import (
	"errors"
	"fmt"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/keyfile"
)

// Config is the mapping below reissue. Start from Default.
type Config struct {
	TokenFile string        `yaml:"tokenFile" doc:"Path of the token to issue again. Empty: the first file under publish whose format is raw."`
	SeedFile  string        `yaml:"seedFile" doc:"Path of the token to begin with while tokenFile does not exist. Empty: none."`
	Algorithm string        `yaml:"algorithm" enum:"HS256,HS384,HS512,RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA" doc:"The only signature algorithm accepted. It is never taken from the token."`
	KeyFile   string        `yaml:"keyFile" required:"true" doc:"Path of the key that verifies the old token and signs the new one: a secret or a private key, in the forms that sign reads."`
	Extend    time.Duration `yaml:"extend" doc:"The new exp is this long after now, or after the old exp if that is later: 1s to 87600h."`
	Grace     time.Duration `yaml:"grace" doc:"How long after its exp a token may still be issued again: at most 87600h."`
	MaxLife   time.Duration `yaml:"maxLife" doc:"The longest time from iat to exp: at most 87600h. 0: no limit."`
}

// Default returns what an empty mapping means. KeyFile and TokenFile have no default here.
func Default() Config { return Config{Algorithm: "HS256", Extend: 30 * time.Minute} }

// maxSpan bounds what is configured and what a token may say of the future: ten years.
const maxSpan = 3650 * 24 * time.Hour

// check returns every mistake that the text alone shows.
func (c Config) check() error {
	errs := []error{keyfile.CheckAlgorithm("algorithm", c.Algorithm)}
	wrong := func(field, problem, help string) {
		errs = append(errs, &daemon.FieldError{Field: field, Problem: problem, Help: help})
	}
	if c.TokenFile == "" {
		wrong("tokenFile", "is missing", "give the path of the token, or publish a raw file")
	}
	if c.KeyFile == "" {
		wrong("keyFile", "is missing", "give the path of the key that signed the token")
	}
	if c.Extend < time.Second || c.Extend > maxSpan {
		wrong("extend", fmt.Sprintf("is %v", c.Extend), "1s to 87600h, which is ten years")
	}
	if c.Grace < 0 || c.Grace > maxSpan {
		wrong("grace", fmt.Sprintf("is %v", c.Grace), "0s to 87600h, which is ten years")
	}
	if c.MaxLife < 0 || c.MaxLife > maxSpan {
		wrong("maxLife", fmt.Sprintf("is %v", c.MaxLife), "0s, which is no limit, to 87600h, which is ten years")
	}
	return errors.Join(errs...)
}
