// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package format

import (
	"encoding/json"
	"errors"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/claims"
)

// jsonFile is one JSON object on one line with a line end. Member names are those of RFC 6749 §5.1; there is no
// expires_in, because a file ages.
type jsonFile struct{}

var _ daemon.Decoder = jsonFile{}

func (jsonFile) Encode(t daemon.Token) ([]byte, error) {
	if t.Value.IsZero() {
		return nil, errEmpty
	}
	return line(struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		IssuedAt    string `json:"issued_at"`
		ExpiresAt   string `json:"expires_at,omitzero"` // absent: nobody said
	}{t.Value.Reveal(), t.Type, rfc3339(t.IssuedAt), rfc3339(t.ExpiresAt)})
}

// Decode reads access_token and token_type, which must be texts. Its errors hold no part of the file's values.
func (jsonFile) Decode(data []byte) (daemon.Token, error) {
	members, err := claims.Members(data)
	if err != nil {
		return daemon.Token{}, err
	}
	var value, kind string
	for _, m := range members {
		switch m.Name {
		case "access_token":
			err = json.Unmarshal(m.Value, &value)
		case "token_type":
			err = json.Unmarshal(m.Value, &kind)
		}
		if err != nil {
			return daemon.Token{}, errors.New("access_token or token_type is no text")
		}
	}
	if value == "" {
		return daemon.Token{}, errEmpty
	}
	return daemon.Token{Value: daemon.NewSecret(value), Type: kind}, nil
}
