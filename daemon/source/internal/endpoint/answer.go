// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/claims"
)

// Answer is what came back. All times are on the wall clock.
type Answer struct {
	Status   int
	Header   http.Header
	Object   Object    // the body; the zero Object if it is not one JSON object
	Asked    time.Time // just before the request was written: the start of a token's life
	Received time.Time // when the body was whole
	Date     time.Time // by the server's clock; zero if it did not say

	secrets []daemon.Secret
}

// Inner returns a member of the answer that is an object, as Object.Object does. The error holds no secret.
func (a *Answer) Inner(name string) (Object, error) {
	inner, err := a.Object.Object(name)
	if err != nil {
		return Object{}, fmt.Errorf("member %q: %s", name, a.problem(errors.Unwrap(err)))
	}
	return inner, nil
}

// problem says why text is no object, and no more of it than a name.
func (a *Answer) problem(err error) string {
	if e, ok := errors.AsType[*claims.RepeatedError](err); ok {
		return "the member " + a.Quote(e.Name) + " appears twice"
	}
	return err.Error()
}

// Object is a JSON object whose members have exact names and appear once. It shows nothing when it is printed. The zero
// value has no members.
type Object struct {
	member func(name string) json.RawMessage
}

// Member returns a member's value, and nil for one that is absent or null.
func (o Object) Member(name string) json.RawMessage {
	if o.member == nil {
		return nil
	}
	if value := o.member(name); string(value) != "null" {
		return value
	}
	return nil
}

// Text returns a member that is a string, and "" for any other.
func (o Object) Text(name string) string {
	var s string
	if json.Unmarshal(o.Member(name), &s) != nil {
		return ""
	}
	return s
}

// Object returns a member that is an object, and the zero Object for any other. The error says that one of its members
// appears twice, or that it is no object, without any of its content.
func (o Object) Object(name string) (Object, error) {
	value := o.Member(name)
	if value == nil {
		return Object{}, nil
	}
	inner, err := ParseObject(value)
	if err != nil {
		return Object{}, fmt.Errorf("member %q: %w", name, err)
	}
	return inner, nil
}

// ParseObject reads one JSON object after an optional byte order mark, and nothing behind it. Errors hold no value.
func ParseObject(data []byte) (Object, error) {
	members, err := claims.Members(bytes.TrimPrefix(data, []byte("\ufeff")))
	if err != nil {
		return Object{}, err
	}
	return Object{func(name string) json.RawMessage {
		for _, m := range members {
			if m.Name == name {
				return m.Value
			}
		}
		return nil
	}}, nil
}
