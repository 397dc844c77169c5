// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package directory

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/sink/internal/place"
)

// version of the document. Another one is as good as none: the issuer is asked anew.
const version = 1

// recordName is the record's name within its generation, so that both switch together.
const recordName = ".renewd"

// document is what the record of a generation holds.
type document struct {
	Version  int               `json:"version"`
	Current  daemon.Record     `json:"current"`            // its File is the SHA-256 of what sha256sum prints for Files, sorted by name
	Files    map[string]string `json:"files"`              // SHA-256 of each file by name
	Replaced string            `json:"replaced,omitempty"` // the generation before, which stays
}

// parse reads a document. Bytes that are none give the zero document, which describes nothing.
func parse(data []byte) document {
	var doc document
	if json.Unmarshal(data, &doc) != nil || doc.Version != version {
		return document{}
	}
	return doc
}

// digests returns the SHA-256 of each file.
func digests(files map[string][]byte) map[string]string {
	sums := make(map[string]string, len(files))
	for name, data := range files {
		sums[name] = place.Digest(data)
	}
	return sums
}

// manifest returns the one digest of a set of files.
func manifest(sums map[string]string) string {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		b.WriteString(sums[name] + "  " + name + "\n")
	}
	return place.Digest(b.Bytes())
}
