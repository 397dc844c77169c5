// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package format

import (
	"errors"

	"github.com/renewd/renewd/daemon"
)

var errEmpty = errors.New("no token")

// raw is the token and nothing else: no line end, because many readers put the bytes into a header as they are.
type raw struct{}

var _ daemon.Decoder = raw{}

func (raw) Encode(t daemon.Token) ([]byte, error) {
	if t.Value.IsZero() {
		return nil, errEmpty
	}
	return []byte(t.Value.Reveal()), nil
}

// Decode returns a Token whose Type is empty: the bytes do not say it.
func (raw) Decode(data []byte) (daemon.Token, error) {
	if len(data) == 0 {
		return daemon.Token{}, errEmpty
	}
	return daemon.Token{Value: daemon.NewSecret(string(data))}, nil
}
