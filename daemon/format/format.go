// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package format turns a token into the bytes of a file that some program reads as it is. It does not write files, and
// it does not check tokens beyond what a format cannot carry: the daemon has checked them before.
package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon"
)

// Kind is one format as the configuration knows it.
type Kind struct {
	// Default returns a pointer to the struct of the format's options, filled with their defaults. Nil: no options.
	Default func() any

	// New checks the text of options, a pointer as Default returns it, and nil where Default is nil. Errors are joined
	// *daemon.FieldError of the fields of options.
	New func(options any, c Context) (daemon.Format, error)
}

// Context is what a format has to know of the token that it is used for.
type Context struct {
	Name string        // of the token in the configuration
	Keep time.Duration // the life that readers are promised of every token that they read
}

// Kinds returns every format by its name in the configuration. To add one, write its file and its line here.
func Kinds() map[string]Kind {
	return map[string]Kind{
		"raw":            {nil, plain(raw{})},
		"json":           {nil, plain(jsonFile{})},
		"header":         {nil, plain(header{})},
		"execcredential": {nil, newExecCredential},
		"netrc":          {func() any { return &Netrc{} }, newNetrc},
		"dockerconfig":   {func() any { return &DockerConfig{} }, newDockerConfig},
		"env":            {func() any { return &Env{} }, newEnv},
		"template":       {func() any { return &Template{} }, newTemplate},
	}
}

// plain is the New of a format without options.
func plain(f daemon.Format) func(any, Context) (daemon.Format, error) {
	return func(any, Context) (daemon.Format, error) { return f, nil }
}

const (
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"

	// b64token is what most tokens are made of (RFC 6750 §2.1).
	b64token = letters + digits + "-._~+/="
)

// within refuses a text that has other characters than allowed. The error shows neither the text nor the character.
func within(what, text, allowed string) error {
	if i := strings.IndexFunc(text, func(c rune) bool { return !strings.ContainsRune(allowed, c) }); i >= 0 {
		return fmt.Errorf("%s has a character at position %d that this format cannot carry", what, i+1)
	}
	return nil
}

// scheme returns the word in front of the token in an Authorization header. Servers differ in whether its case counts
// (RFC 9110 §11.1 says it does not), so it is written as RFC 6750 writes it.
func scheme(t daemon.Token) (string, error) {
	if t.Type == "" || strings.EqualFold(t.Type, "Bearer") {
		return "Bearer", nil
	}
	return "", fmt.Errorf("a token of type %.200q does not go into an Authorization header", t.Type)
}

// rfc3339 writes a time in whole seconds, rounded down, so that nothing is said to live longer than it does. It returns
// "" for the zero time.
func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// line marshals v as one line of JSON with a line end. Its characters are not escaped for HTML.
func line(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
