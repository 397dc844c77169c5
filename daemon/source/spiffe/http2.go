// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package spiffe

import (
	"bufio"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"golang.org/x/net/http2/hpack"

	"github.com/renewd/renewd/daemon"
)

// The frames of RFC 9113 §6, and their flags.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePush         = 0x5
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindow       = 0x8
	frameContinuation = 0x9

	flagAck        = 0x1 // of SETTINGS and PING
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	maxFrame = 16 << 10 // of a frame's payload (RFC 9113 §4.2): we do not ask for more
	maxTotal = 1 << 20  // of all that a server sends, so that empty frames do not last either
	maxAside = 100      // settings, PINGs and answers 1xx: who has us acknowledge more and reads none would have us wait
	stream   = 1        // the only one
)

// opening returns all that is sent unasked: the preface, our settings, and the request. That may leave before the server's
// settings are known, and fits into every window, so that nobody has to wait for anything.
func opening(header [][2]string, body []byte) []byte {
	settings := []byte{0, 2, 0, 0, 0, 0} // ENABLE_PUSH: no
	settings = binary.BigEndian.AppendUint32(append(settings, 0, 4), maxTotal)
	settings = binary.BigEndian.AppendUint32(append(settings, 0, 6), maxHeader)
	var fields []byte
	for _, f := range header {
		fields = appendField(fields, f[0], f[1])
	}
	b := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	b = appendFrame(b, frameSettings, 0, 0, settings)
	// The windows of the stream and of the connection hold more than is ever read, so that none has to be opened later.
	b = appendFrame(b, frameWindow, 0, 0, binary.BigEndian.AppendUint32(nil, maxTotal))
	b = appendFrame(b, frameHeaders, flagEndHeaders, stream, fields)
	return appendFrame(b, frameData, flagEndStream, stream, body)
}

func appendFrame(b []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// appendField adds a literal that no table remembers (RFC 7541 §6.2.3). A length below 127 is one byte; only the value of
// user-agent could be longer, and is cut.
func appendField(b []byte, name, value string) []byte {
	value = value[:min(len(value), 126)]
	b = append(append(b, 0x10, byte(len(name))), name...)
	return append(append(b, byte(len(value))), value...)
}

// answer is what came back: the fields of the first and of the last block of headers, which are the same one if there was
// only one, and the bytes between them. Of the fields only those are kept that are looked at; one that appears twice in a
// block counts as empty.
type answer struct {
	head, tail map[string]string
	body       []byte
	ended      bool
}

// connection reads one answer. Its errors are a *daemon.Failure, or of the reader. It sends nothing but acknowledgements.
type connection struct {
	socket  io.ReadWriter
	in      *bufio.Reader
	fields  *hpack.Decoder
	block   map[string]string // the block that fields decodes
	payload []byte            // of the last frame
	total   int               // bytes read
	asides  int               // what came beside the answer, of maxAside
}

func newConnection(socket io.ReadWriter) *connection {
	c := &connection{socket: socket, in: bufio.NewReader(socket)}
	c.fields = hpack.NewDecoder(4096, func(f hpack.HeaderField) { // the size that holds where nothing else is agreed
		switch f.Name {
		case ":status", "content-type", "grpc-status", "grpc-message":
			if _, twice := c.block[f.Name]; twice {
				f.Value = ""
			}
			c.block[f.Name] = f.Value
		}
	})
	c.fields.SetMaxStringLength(maxHeader)
	return c
}

// answer reads frames until the stream ends.
func (c *connection) answer() (*answer, error) {
	a := &answer{}
	for !a.ended {
		f, err := c.next()
		if err == nil {
			err = c.take(a, f)
		}
		if err != nil {
			return nil, err
		}
	}
	return a, nil
}

// frame is one frame. Its payload is valid until the next one is read.
type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

func (f frame) has(flag byte) bool { return f.flags&flag != 0 }

// next reads a frame. The first that a server sends is SETTINGS (RFC 9113 §3.4).
func (c *connection) next() (frame, error) {
	start, _ := c.in.Peek(5) // the error comes again below
	if c.total == 0 && strings.HasPrefix(string(start), "HTTP/") {
		return frame{}, unavailable("the server speaks HTTP/1, and not gRPC")
	}
	var header [9]byte
	if _, err := io.ReadFull(c.in, header[:]); err != nil {
		return frame{}, err
	}
	f := frame{kind: header[3], flags: header[4], stream: binary.BigEndian.Uint32(header[5:]) &^ (1 << 31)}
	length := int(header[0])<<16 | int(header[1])<<8 | int(header[2])
	if c.total == 0 && (f.kind != frameSettings || f.has(flagAck)) || length > maxFrame {
		return frame{}, broken()
	}
	if c.total += len(header) + length; c.total > maxTotal {
		return frame{}, unavailable("the server sent more than %d bytes, and no whole answer", maxTotal)
	}
	c.payload = slices.Grow(c.payload[:0], length)[:length]
	_, err := io.ReadFull(c.in, c.payload)
	f.payload = c.payload
	return f, err
}

// broken is the error for what no HTTP/2 server sends.
func broken() error { return unavailable("the server does not speak HTTP/2") }

// take adds a frame to the answer, or obeys it. A server's settings and windows bound what we send, which has left, so
// they need no look; frames of unknown kinds are ignored (RFC 9113 §5.5).
func (c *connection) take(a *answer, f frame) error {
	switch f.kind {
	case frameSettings, framePing:
		return c.acknowledge(f)
	case frameGoAway:
		if f.stream != 0 || len(f.payload) < 8 {
			return broken()
		}
		if binary.BigEndian.Uint32(f.payload)&^(1<<31) < stream {
			return ended("the connection (GOAWAY)", f.payload[4:])
		}
	case frameReset:
		if f.stream != stream || len(f.payload) != 4 {
			return broken()
		}
		return ended("the call (RST_STREAM)", f.payload)
	case frameHeaders:
		return c.headers(a, f)
	case frameData:
		return a.data(f)
	case framePush, frameContinuation:
		return broken()
	}
	return nil
}

// ended is the error for a server that ends the call with a code of RFC 9113 §7.
func ended(what string, code []byte) error {
	const enhanceYourCalm = 11
	n := binary.BigEndian.Uint32(code)
	f := unavailable("the server ended %s with code %d", what, n)
	if n == enhanceYourCalm {
		f.Class = daemon.ClassThrottled
	}
	return f
}

func (c *connection) acknowledge(f frame) error {
	if f.stream != 0 || f.kind == framePing && len(f.payload) != 8 {
		return broken()
	}
	if f.has(flagAck) {
		return nil
	}
	reply := f.payload
	if f.kind == frameSettings {
		reply = nil
	}
	// Whether the answer still comes, the next read tells.
	_, _ = c.socket.Write(appendFrame(nil, f.kind, flagAck, 0, reply))
	return c.aside()
}

// aside counts what comes beside the answer.
func (c *connection) aside() error {
	if c.asides++; c.asides > maxAside {
		return unavailable("the server sent more than %d settings, PINGs and answers 1xx, and no whole answer", maxAside)
	}
	return nil
}

// data adds a frame to the body.
func (a *answer) data(f frame) error {
	payload, ok := f.unpadded()
	if f.stream != stream || a.head == nil || !ok {
		return broken()
	}
	if len(a.body)+len(payload) > maxBody {
		return malformed("the answer has more than %d bytes", maxBody)
	}
	a.body = append(a.body, payload...)
	a.ended = f.has(flagEndStream)
	return nil
}

// headers adds a block of headers, which may go on in further frames with nothing between them (RFC 9113 §6.10).
func (c *connection) headers(a *answer, f frame) error {
	block, ok := f.unpadded()
	if f.has(flagPriority) {
		ok = ok && len(block) >= 5
		block = block[min(len(block), 5):]
	}
	if f.stream != stream || !ok {
		return broken()
	}
	block, last := slices.Clone(block), f.has(flagEndStream)
	for !f.has(flagEndHeaders) {
		var err error
		if f, err = c.next(); err != nil {
			return err
		}
		if f.kind != frameContinuation || f.stream != stream {
			return broken()
		}
		if block = append(block, f.payload...); len(block) > maxHeader {
			return unavailable("the answer has more than %d bytes of headers", maxHeader)
		}
	}
	return c.decode(a, block, last)
}

// decode reads a block of headers. Blocks of a status 1xx come before the answer and are passed over.
func (c *connection) decode(a *answer, block []byte, last bool) error {
	c.block = map[string]string{}
	_, err := c.fields.Write(block)
	if err == nil {
		err = c.fields.Close()
	}
	switch status := c.block[":status"]; {
	case err != nil:
		return unavailable("the answer has headers that cannot be read")
	case a.head == nil && !last && len(status) == 3 && status[0] == '1':
		return c.aside()
	case a.head == nil:
		a.head = c.block
	case !last:
		return broken()
	}
	if last {
		a.tail = c.block
	}
	a.ended = last
	return nil
}

// unpadded returns the payload without padding (RFC 9113 §6.1), and false if there is more padding than payload.
func (f frame) unpadded() ([]byte, bool) {
	if !f.has(flagPadded) {
		return f.payload, true
	}
	if len(f.payload) == 0 || int(f.payload[0]) >= len(f.payload) {
		return nil, false
	}
	return f.payload[1 : len(f.payload)-int(f.payload[0])], true
}
