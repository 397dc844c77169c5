// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package spiffe

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/renewd/renewd/daemon"
)

const canary = "canary-5f1f"

// agent answers every connection by play, which may write what no server would, and returns its URI. The connection ends
// when play returns.
func agent(t testing.TB, play func(net.Conn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var task sync.WaitGroup
	task.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			task.Go(func() {
				defer func() { _ = c.Close() }()
				play(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		task.Wait()
	})
	return "unix://" + path
}

// says answers with exactly these bytes, once the request is there.
func says(chunks ...[]byte) func(net.Conn) {
	return func(c net.Conn) {
		request(c)
		for _, chunk := range chunks {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
		_ = c.(*net.UnixConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c) // until the client has gone, so that nothing it sends is lost
	}
}

// forever says the same until the client has gone.
func forever(begin, again []byte) func(net.Conn) {
	return func(c net.Conn) {
		request(c)
		_, err := c.Write(begin)
		for err == nil {
			_, err = c.Write(again)
		}
	}
}

// hangs says something, and then nothing until the client has gone.
func hangs(chunks ...[]byte) func(net.Conn) {
	return func(c net.Conn) {
		for _, chunk := range chunks {
			_, _ = c.Write(chunk)
		}
		_, _ = io.Copy(io.Discard, c)
	}
}

// request reads a request: the preface, and frames up to the end of the stream.
func request(c io.Reader) (header []hpack.HeaderField, body []byte) {
	preface := make([]byte, 24)
	if _, err := io.ReadFull(c, preface); err != nil || string(preface) != "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
		return nil, nil
	}
	for {
		var h [9]byte
		if _, err := io.ReadFull(c, h[:]); err != nil {
			return nil, nil
		}
		payload := make([]byte, binary.BigEndian.Uint32(append([]byte{0}, h[:3]...)))
		if _, err := io.ReadFull(c, payload); err != nil {
			return nil, nil
		}
		switch h[3] {
		case frameHeaders:
			header, _ = hpack.NewDecoder(0, nil).DecodeFull(payload)
		case frameData:
			return header, payload
		}
	}
}

func f(kind, flags byte, stream uint32, payload ...byte) []byte {
	return appendFrame(nil, kind, flags, stream, payload)
}

// block encodes header fields as servers do: indexed, and with the code of Huffman.
func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

var (
	settings = f(frameSettings, 0, 0, 0, 5, 0, 0, 64, 0)
	ok       = f(frameHeaders, flagEndHeaders, 1, block(":status", "200", "content-type", "application/grpc")...)
	done     = f(frameHeaders, flagEndHeaders|flagEndStream, 1, block("grpc-status", "0", "grpc-message", "")...)
)

// trailersOnly is the answer of a server that says no before it says anything else.
func trailersOnly(fields ...string) []byte {
	fields = append([]string{":status", "200", "content-type", "application/grpc"}, fields...)
	return f(frameHeaders, flagEndHeaders|flagEndStream, 1, block(fields...)...)
}

func message(svids ...[2]string) []byte {
	var b []byte
	for _, v := range svids {
		b = appendText(b, 1, string(appendText(appendText(nil, 1, v[0]), 2, v[1])))
	}
	return b
}

// answers is the whole of an ordinary answer.
func answers(svids ...[2]string) func(net.Conn) {
	return says(settings, ok, f(frameData, 0, 1, frameMessage(message(svids...))...), done)
}

func jwt(payload string) string {
	b := base64.RawURLEncoding
	return b.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + b.EncodeToString([]byte(payload)) + "." + b.EncodeToString([]byte("sig"))
}

// good is a token as SPIRE makes it, for the audience orders.
func good(sub string) string {
	now := time.Now()
	return jwt(fmt.Sprintf(`{"sub":%q,"aud":["orders"],"iat":%d,"exp":%d}`, sub, now.Add(-time.Minute).Unix(), now.Add(time.Hour).Unix()))
}

const orders = "spiffe://example.org/orders"

func source(t testing.TB, uri string, change ...func(*Config)) *Source {
	t.Helper()
	c := Default()
	c.Socket, c.Audiences = uri, []string{"orders"}
	for _, f := range change {
		f(&c)
	}
	s, err := New(c, "")
	if err != nil {
		t.Fatal(err)
	}
	s.Version = "test"
	return s
}

// asks makes one attempt within a minute.
func asks(t testing.TB, s *Source) (daemon.Token, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return s.Token(ctx)
}
