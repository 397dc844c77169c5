// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package spiffe

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/renewd/renewd/daemon"
)

// What is more is an error. A request stays below what a server must take in without being asked: one frame, and the window
// that a stream begins with (RFC 9113 §4.2, §6.9.2).
const (
	maxRequest = 8 << 10
	maxBody    = 256 << 10
	maxHeader  = 64 << 10
)

// ask makes the call on a connection of its own and returns the message of the answer. Nothing that it started outlives
// it. Errors are a *daemon.Failure.
func (s *Source) ask(ctx context.Context) ([]byte, error) {
	socket, err := new(net.Dialer).DialContext(ctx, s.at.network, s.at.address)
	if ctx.Err() != nil {
		if err == nil {
			_ = socket.Close()
		}
		return nil, interrupted(ctx, "no connection was made")
	}
	if err != nil {
		return nil, cmp.Or(s.look(), unreachable(err))
	}
	defer func() { _ = socket.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer stop()

	c := newConnection(socket)
	// What the server has said before it closed the connection can be read also when it cannot be written to.
	_, _ = socket.Write(opening(s.header(), frameMessage(s.config.request())))
	a, err := c.answer()
	if ctx.Err() != nil {
		return nil, interrupted(ctx, "no whole answer came")
	}
	if err != nil {
		return nil, lost(err)
	}
	return a.judge()
}

// header returns the header fields of the call: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, and
// SPIFFE Workload Endpoint §6 for the last, which no page of a browser can send.
func (s *Source) header() [][2]string {
	return [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/SpiffeWorkloadAPI/FetchJWTSVID"}, {":authority", "localhost"},
		{"te", "trailers"}, {"content-type", "application/grpc"},
		{"user-agent", strings.TrimSuffix("renewd/"+s.Version, "/")}, {"workload.spiffe.io", "true"},
	}
}

// frameMessage puts the prefix before a message: not compressed, and its length.
func frameMessage(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// judge returns the message of an answer that says yes. The status is looked at first, whatever came before it.
func (a *answer) judge() ([]byte, error) {
	status, err := strconv.ParseUint(a.tail["grpc-status"], 10, 31)
	switch {
	case !isGRPC(a.head["content-type"]):
		return nil, a.foreign()
	case a.tail["grpc-status"] == "":
		return nil, unavailable("the answer ends without a grpc-status")
	case err != nil:
		return nil, unavailable("the answer has a grpc-status that is no number")
	case status != 0:
		return nil, refusal(status, a.tail["grpc-message"])
	case len(a.body) == 0:
		return nil, malformed("the answer says OK and holds no message")
	case a.body[0] == 1:
		return nil, malformed("the answer is compressed, which was not asked for")
	case len(a.body) < 5 || a.body[0] != 0:
		return nil, malformed("the answer does not begin with the prefix of a gRPC message")
	}
	length, message := binary.BigEndian.Uint32(a.body[1:]), a.body[5:]
	switch {
	case uint64(length) > uint64(len(message)):
		return nil, malformed("the answer's message is shorter than its prefix says")
	case uint64(length) < uint64(len(message)):
		return nil, malformed("the answer holds more than one message")
	}
	return message, nil
}

func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// foreign returns the Failure of an answer that is HTTP, and not gRPC.
func (a *answer) foreign() error {
	status, _ := strconv.Atoi(a.head[":status"]) // 0 if it is no number
	f := unavailable("the answer is not gRPC: status %d, Content-Type %s", status, quote(a.head["content-type"]))
	f.Hint, f.Status = "compare socket with the address of the agent's Workload API", status
	switch status {
	case http.StatusNotFound:
		f.Class = daemon.ClassConfig
	case http.StatusTooManyRequests:
		f.Class = daemon.ClassThrottled
	}
	return f
}

// refusal returns the Failure of a status code of gRPC (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md).
func refusal(status uint64, message string) error {
	f := &daemon.Failure{Class: daemon.ClassUnavailable}
	names := strings.Fields("OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied ResourceExhausted " +
		"FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable DataLoss Unauthenticated")
	f.Code = fmt.Sprint("status ", status)
	if status < uint64(len(names)) {
		f.Code = names[status]
	}
	switch f.Code {
	case "InvalidArgument":
		f.Class, f.Hint = daemon.ClassConfig, "compare audiences and spiffeID with what the agent takes"
	case "Unimplemented":
		f.Class, f.Hint = daemon.ClassConfig, "this is not the Workload API, or one without JWT-SVIDs: name the agent's socket for workloads, not that for administrators"
	case "ResourceExhausted":
		f.Class = daemon.ClassThrottled
	case "PermissionDenied":
		f.Hint = "the agent knows no identity for this process yet: look at its registration entries and their selectors, and at spiffeID"
	}
	text := f.Code
	// The message is percent-encoded; one that is not is shown as it is.
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	if message != "" {
		text += ": " + quote(message)
	}
	f.Err = errors.New(text)
	return f
}

// quote prepares text of an answer for an error: printable ASCII alone, nothing that looks like a JWT, cut at 200 bytes,
// quoted.
func quote(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	// The first part of a JWT is a JSON object in base64url: mostly it begins with one of these, unless white space stands in it.
	text = regexp.MustCompile(`ey[A-DI-L][\w.-]*|[\w-]{16,}\.[\w-]{16,}\.[\w-]*`).ReplaceAllLiteralString(text, "[redacted]")
	if len(text) > 200 {
		text = text[:200] + "..."
	}
	return strconv.Quote(text)
}

// interrupted says what was waited for when ctx ended.
func interrupted(ctx context.Context, text string) error {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return unavailable("%s in time", text)
	}
	return unavailable("%s before renewd gave up", text)
}

// lost makes a Failure of what went wrong before the answer was whole.
func lost(err error) error {
	if f, ok := errors.AsType[*daemon.Failure](err); ok {
		return f
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok && errno != syscall.ECONNRESET && errno != syscall.EPIPE {
		return unavailable("the connection broke: %w", errno)
	}
	return unavailable("the connection ended before the answer was whole")
}

// unreachable makes a Failure of what kept a connection from being made.
func unreachable(err error) *daemon.Failure {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return unavailable("no connection was made")
	}
	f := unavailable("%w", errno)
	switch {
	case errors.Is(errno, fs.ErrNotExist):
		f.Hint = "the agent does not run (yet), or its socket is not mounted here: mount the directory, since a socket is made anew when the agent restarts"
	case errno == syscall.ECONNREFUSED:
		f.Hint = "the agent does not run; a socket that is mounted by itself, without its directory, stays the old one after the agent has restarted"
	case errors.Is(errno, fs.ErrPermission):
		f.Hint = "let this user write to the socket and enter its directories"
	}
	return f
}
