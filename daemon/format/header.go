// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package format

import "github.com/renewd/renewd/daemon"

// header is the line "Authorization: Bearer TOKEN" without a line end, as curl -H @file reads it.
type header struct{}

func (header) Encode(t daemon.Token) ([]byte, error) {
	if t.Value.IsZero() {
		return nil, errEmpty
	}
	s, err := scheme(t)
	if err != nil {
		return nil, err
	}
	return []byte("Authorization: " + s + " " + t.Value.Reveal()), nil
}
