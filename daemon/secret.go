// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"log/slog"

	"go.uber.org/zap/zapcore"
)

const redacted = "[redacted]"

// Secret holds a text that must never be printed. Whatever the verb, encoder or marshaller, it shows as "[redacted]";
// below an unexported field, where fmt calls no methods, it shows as an address, because the text sits in a closure
// and not in a string that fmt could walk to. There is no hash of it either: it may be short enough to guess.
//
// The zero value holds the empty text. A Secret is immutable and safe for concurrent use.
type Secret struct{ raw func() string }

// NewSecret returns a Secret that holds s.
func NewSecret(s string) Secret { return Secret{func() string { return s }} }

// Reveal returns the text. It is the one way out: call it only where the bytes are sent, signed, checked or published.
func (s Secret) Reveal() string {
	if s.raw == nil {
		return ""
	}
	return s.raw()
}

// Equal reports whether both hold the same text, in time that does not depend on where they differ.
func (s Secret) Equal(t Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
}

// IsZero reports whether the text is empty.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Format implements fmt.Formatter: every verb prints the placeholder.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String returns the placeholder.
func (s Secret) String() string { return redacted }

// GoString returns the placeholder.
func (s Secret) GoString() string { return redacted }

// MarshalText returns the placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns the placeholder as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalLogObject writes the placeholder.
func (s Secret) MarshalLogObject(e zapcore.ObjectEncoder) error {
	e.AddString("secret", redacted)
	return nil
}

// LogValue returns the placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Digest returns the SHA-256 of the token in lower-case hexadecimal digits. Tokens are too long to guess, so the
// digest may be written to disk; what is printed is only its first eight digits.
func (t Token) Digest() string {
	sum := sha256.Sum256([]byte(t.Value.Reveal()))
	return hex.EncodeToString(sum[:])
}

// String names a token without saying it, so that two log lines or two machines can be compared: "token[sha256:1a2b3c4d]".
func (t Token) String() string {
	if t.Value.IsZero() {
		return "token[none]"
	}
	return "token[sha256:" + t.Digest()[:8] + "]"
}

// Format implements fmt.Formatter: every verb prints String.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// GoString returns String.
func (t Token) GoString() string { return t.String() }

// MarshalText returns String.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalJSON returns String as a JSON string.
func (t Token) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// MarshalLogObject writes String.
func (t Token) MarshalLogObject(e zapcore.ObjectEncoder) error {
	e.AddString("token", t.String())
	return nil
}

// LogValue returns String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
