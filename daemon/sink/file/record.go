// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package file

import (
	"encoding/json"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/sink/internal/place"
)

// version of the document. Another one is as good as none: the issuer is asked anew.
const version = 1

// document is what the record file holds. It is written before the file it describes, so it has an entry for the token
// that is about to be published and one for the token that is there until then.
type document struct {
	Version  int            `json:"version"`
	Current  daemon.Record  `json:"current"`
	Previous *daemon.Record `json:"previous,omitempty"`
}

// parse reads a document. Bytes that are none give the zero document, which describes nothing.
func parse(data []byte) document {
	var doc document
	if json.Unmarshal(data, &doc) != nil || doc.Version != version {
		return document{}
	}
	return doc
}

// find returns the entry of the bytes with this digest, or nil.
func (doc document) find(digest string) *daemon.Record {
	switch {
	case doc.Current.File == digest:
		return &doc.Current
	case doc.Previous != nil && doc.Previous.File == digest:
		return doc.Previous
	}
	return nil
}

// entries reads the record. The error says why it must be written anew: it is missing, or its mode or owner is wrong.
func (s *Sink) entries(d *place.Dir) (document, error) {
	data, info, err := d.Read(s.record())
	if err != nil {
		return document{}, err
	}
	return parse(data), s.look().Fault("its record", info)
}
