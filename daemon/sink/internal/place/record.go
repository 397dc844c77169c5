// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package place

import "github.com/renewd/renewd/daemon"

// Encode returns the bytes of t in a format. None, or more than Read would read back, is a Refusal.
func Encode(format daemon.Format, t daemon.Token) ([]byte, error) {
	data, err := format.Encode(t)
	if err != nil {
		return nil, err
	}
	switch {
	case len(data) == 0:
		return nil, &Refusal{Text: "the format returned no bytes", Hint: "check the template or the options of the format"}
	case len(data) > MaxBytes:
		return nil, &Refusal{Text: "the format returned more than 1 MiB", Hint: "check the template or the options of the format"}
	}
	return data, nil
}

// Same reports whether two records say the same. Times are compared as instants: a zone or a monotonic reading does not
// survive the disk.
func Same(a, b daemon.Record) bool {
	if !a.IssuedAt.Equal(b.IssuedAt) || !a.ExpiresAt.Equal(b.ExpiresAt) {
		return false
	}
	a.IssuedAt, a.ExpiresAt = b.IssuedAt, b.ExpiresAt
	return a == b
}

// Published returns the token that a record describes, without its Value.
func Published(r daemon.Record) daemon.Token {
	return daemon.Token{Type: r.Type, IssuedAt: r.IssuedAt, ExpiresAt: r.ExpiresAt}
}

// Altered is the Refusal of bytes that are not those that were written.
func Altered(what string) error {
	return &Refusal{Text: what + " does not match its record (altered or truncated)",
		Hint: "let nothing but renewd write there; renewd writes it anew"}
}

// NoRecord is the Refusal of a token whose record is missing or cannot be understood.
func NoRecord() error {
	return &Refusal{Text: "no record beside it", Hint: "let nothing delete renewd's hidden files; the issuer is asked anew"}
}
