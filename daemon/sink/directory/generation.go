// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package directory

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"slices"
	"strconv"

	"github.com/renewd/renewd/daemon/sink/internal/place"
)

// file is one file of a generation as it was found.
type file struct {
	data []byte
	info fs.FileInfo
}

// generation is what was found behind ..data.
type generation struct {
	name   string          // of its directory
	info   fs.FileInfo     // of its directory
	number int64           // in its token.json; 0 if that cannot be read
	files  map[string]file // those that are there
	doc    document        // the zero document if there is no record
	record fs.FileInfo     // of the record; nil if there is none
}

// current reads the generation in force. The error is fs.ErrNotExist if there is none.
func (s *Sink) current(d *place.Dir) (generation, error) {
	g := generation{files: map[string]file{}}
	name, err := dataTarget(d)
	if err != nil {
		return g, err
	}
	sub, err := d.Open(name)
	if err != nil {
		return g, err
	}
	defer sub.Close()
	info, err := sub.Root().Stat(".")
	if err != nil {
		return g, err
	}
	g.name, g.info = name, info
	if data, info, err := sub.Read(recordName); err == nil {
		g.doc, g.record = parse(data), info
	}
	for _, name := range s.expected(g.doc) {
		if data, info, err := sub.Read(name); err == nil {
			g.files[name] = file{data, info}
		}
	}
	var meta metadata
	if json.Unmarshal(g.files[metaName].data, &meta) == nil {
		g.number = meta.Generation
	}
	return g, nil
}

// expected returns the names of what was written and of what should have been, token and token.json first.
func (s *Sink) expected(doc document) []string {
	names := s.names()
	for _, name := range slices.Sorted(maps.Keys(doc.Files)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// holds reports whether the generation consists of these files and no others, each with the mode and owner it should have.
func (s *Sink) holds(g generation, files map[string][]byte) bool {
	if len(g.files) != len(files) || !maps.Equal(g.doc.Files, digests(files)) || s.dirLook().Fault("it", g.info) != nil {
		return false
	}
	for name, data := range files {
		f, found := g.files[name]
		if !found || !bytes.Equal(f.data, data) || s.look().Fault(name, f.info) != nil {
			return false
		}
	}
	return true
}

// recordRight reports whether mode and owner of the record are right.
func (s *Sink) recordRight(g generation) bool {
	return g.record != nil && s.look().Fault("it", g.record) == nil
}

// fault returns what is not as it was written, or nil.
func (s *Sink) fault(d *place.Dir, g generation) error {
	for _, name := range s.expected(g.doc) {
		f, found := g.files[name]
		label := "the file " + strconv.Quote(name)
		if !found {
			return &place.Refusal{Text: label + " is missing", Hint: "let nothing but renewd delete there", Err: fs.ErrNotExist}
		}
		if place.Digest(f.data) != g.doc.Files[name] {
			return place.Altered(label)
		}
		if err := s.look().Fault(label, f.info); err != nil {
			return err
		}
	}
	if manifest(g.doc.Files) != g.doc.Current.File || g.doc.Files[tokenName] != g.doc.Current.Token {
		return place.Altered("the list of files")
	}
	if err := s.look().Fault("its record", g.record); err != nil {
		return err
	}
	if err := s.dirLook().Fault("the directory "+g.name, g.info); err != nil {
		return err
	}
	return s.unlinked(d)
}
