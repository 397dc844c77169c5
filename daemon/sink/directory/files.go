// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package directory

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/sink/internal/place"
)

// metadata is token.json.
type metadata struct {
	Type       string    `json:"type"`
	IssuedAt   time.Time `json:"issuedAt"`
	ExpiresAt  time.Time `json:"expiresAt,omitzero"`
	Name       string    `json:"name"`
	Generation int64     `json:"generation"` // counts the switches, across restarts
}

func (s *Sink) meta(t daemon.Token, generation int64) ([]byte, error) {
	return json.Marshal(metadata{t.Type, t.IssuedAt, t.ExpiresAt, s.Name, generation})
}

// names returns all visible names, token and token.json first.
func (s *Sink) names() []string {
	return slices.Concat([]string{tokenName, metaName}, slices.Sorted(maps.Keys(s.Files)))
}

// usable returns a Refusal for a name in Files that the layout has no room for.
func (s *Sink) usable() error {
	for name := range s.Files {
		if name == "" || name == "." || name == tokenName || name == metaName || name == recordName ||
			strings.HasPrefix(name, "..") || strings.Contains(name, "/") {
			return &place.Refusal{Text: "it cannot hold a file of the name " + strconv.Quote(name),
				Hint: "use a plain file name other than token, token.json and .renewd"}
		}
	}
	return nil
}

// encode returns the bytes of all files but token.json.
func (s *Sink) encode(t daemon.Token) (map[string][]byte, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(s.Files)+2)
	for name, format := range s.Files {
		data, err := place.Encode(format, t)
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	data, err := place.Encode(raw{}, t)
	files[tokenName] = data
	return files, err
}

// raw is the format of the file that holds the token itself.
type raw struct{}

// Encode returns the token.
func (raw) Encode(t daemon.Token) ([]byte, error) { return []byte(t.Value.Reveal()), nil }
