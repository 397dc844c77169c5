// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package spiffe

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/renewd/renewd/daemon"
)

// FuzzSVIDs reads any bytes as the message of an answer. What is read can be written and read again.
func FuzzSVIDs(f *testing.F) {
	f.Add(message([2]string{orders, "a.b.c"}, [2]string{"", ""}))
	f.Add([]byte{0x10, 0xff, 0x01, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4, 0x08, 0x05, 0x7a, 1, 'x', 0x0a, 0})
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{0x0b, 0x0c})
	f.Add([]byte{0x02, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseSVIDs(data)
		if err != nil {
			if list != nil {
				t.Error("a list beside an error")
			}
			return
		}
		var plain [][2]string
		for _, v := range list {
			plain = append(plain, [2]string{v.id, v.token.Reveal()})
		}
		again, err := parseSVIDs(message(plain...))
		if err != nil || !slices.EqualFunc(list, again, func(a, b svid) bool { return a.id == b.id && a.token.Equal(b.token) }) {
			t.Errorf("%d became %d: %v", len(list), len(again), err)
		}
	})
}

// FuzzAnswer reads any bytes as what a server sends. It ends, and what it says holds no control character.
func FuzzAnswer(f *testing.F) {
	body := appendFrame(nil, frameData, 0, 1, frameMessage(message([2]string{orders, "a.b.c"})))
	f.Add(slices.Concat(settings, ok, body, done))
	f.Add(slices.Concat(settings, trailersOnly("grpc-status", "7", "grpc-message", "a%0Ab")))
	f.Add(slices.Concat(settings, bomb()))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Add(slices.Concat(settings, ok, body[:12]))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := newConnection(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(data), io.Discard})
		a, err := c.answer()
		if err == nil {
			_, err = a.judge()
		} else {
			err = lost(err)
		}
		if err == nil {
			return
		}
		if daemon.ClassOf(err) == "" || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q", err)
		}
		if c.total > maxTotal+maxFrame+9 || a != nil && len(a.body) > maxBody {
			t.Error("too much was read")
		}
	})
}
