// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package claims

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Member is one member of a JSON object, with the place of its value in the text.
type Member struct {
	Name       string
	Value      json.RawMessage
	Start, End int // of the value, as byte offsets into the text given to Members
}

// RepeatedError says that a JSON object has a member twice, so that two parsers can read it differently.
type RepeatedError struct{ Name string }

// Error names the member if it is one that JOSE registers (RFC 7515 §4.1, RFC 7517 §4, RFC 7519 §4.1). Any other name may hold what a
// hostile issuer was sent.
func (e *RepeatedError) Error() string {
	switch e.Name {
	case "alg", "typ", "cty", "kid", "crit", "kty", "use", "key_ops", "iss", "sub", "aud", "exp", "nbf", "iat", "jti":
		return fmt.Sprintf("the member %q appears twice", e.Name)
	}
	return "a member appears twice"
}

// No object that we read has more members. Each costs some hundred bytes beside its own, so that a hostile answer of short ones
// would grow to many times its size.
const maxMembers = 4096

var errMembers = fmt.Errorf("a JSON object of more than %d members", maxMembers)

// Members reads one JSON object (RFC 8259) of at most 4096 members and nothing behind it but white space. Names are exact: no
// folding of case, each at most once. Errors never hold a part of a value.
func Members(data []byte) ([]Member, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	var members []Member
	seen := map[string]bool{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, errors.New("not a JSON object")
		}
		m := Member{Name: name.(string)} // the decoder yields nothing but a string where a name stands
		if err := dec.Decode(&m.Value); err != nil {
			return nil, errors.New("not a JSON object")
		}
		switch {
		case seen[m.Name]:
			return nil, &RepeatedError{m.Name}
		case len(members) == maxMembers:
			return nil, errMembers
		}
		seen[m.Name] = true
		m.End = int(dec.InputOffset())
		m.Start = m.End - len(m.Value)
		members = append(members, m)
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("not a JSON object")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the JSON object")
	}
	return members, nil
}
