// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

const (
	answerTimeout = 5 * time.Second
	maxAnswer     = 64 << 20 // bytes; a report has about 700 for each token
)

// ErrNoDaemon is wrapped by the errors of a Client that could not connect.
var ErrNoDaemon = errors.New("no daemon answers")

// Client asks a running daemon. Reading goes to the socket and, if nobody can be reached there, to the listener; orders go
// to the socket alone. Each call takes at most five seconds. The zero value reaches nobody. Safe for concurrent use.
//
// Errors wrap ErrNoDaemon if no connection came about and ErrUnknown if the daemon does not know the name.
type Client struct {
	Socket string // path of the admin socket; empty: there is none
	Listen string // status.listen of the configuration; empty: there is none
}

// Status returns the report.
func (c *Client) Status(ctx context.Context) (Report, error) {
	var report Report
	data, err := c.read(ctx, "/status")
	if err == nil {
		err = json.Unmarshal(data, &report)
	}
	if err == nil && report.Time.IsZero() {
		err = errors.New("what answers is no daemon: its report has no time")
	}
	if err != nil {
		return Report{}, fmt.Errorf("get status: %w", err)
	}
	return report, nil
}

// Live returns nil if the daemon says that its loops go on.
func (c *Client) Live(ctx context.Context) error {
	if _, err := c.read(ctx, "/livez"); err != nil {
		return fmt.Errorf("ask for life: %w", err)
	}
	return nil
}

// Refresh asks for an attempt now, for one token or, with "", for all. It does not wait for the attempt.
func (c *Client) Refresh(ctx context.Context, token string) error {
	path := "/refresh"
	if token != "" {
		path += "?token=" + url.QueryEscape(token)
	}
	if _, err := c.order(ctx, http.MethodPost, path, nil); err != nil {
		return fmt.Errorf("ask for a refresh: %w", err)
	}
	return nil
}

// SetLevel sets a temporary level; d 0 ends it. It returns what the daemon's SetLevel returned.
func (c *Client) SetLevel(ctx context.Context, area, level string, d time.Duration) (json.RawMessage, error) {
	body, err := json.Marshal(levelOrder{Level: level, For: d.String()})
	if err != nil {
		return nil, err
	}
	answer, err := c.order(ctx, http.MethodPut, "/levels/"+url.PathEscape(area), body)
	if err != nil {
		return nil, fmt.Errorf("set level: %w", err)
	}
	return answer, nil
}

// Levels returns which setting decides the level of an area, as text; "" asks about all areas.
func (c *Client) Levels(ctx context.Context, area string) (string, error) {
	path := "/levels"
	if area != "" {
		path += "?area=" + url.QueryEscape(area)
	}
	answer, err := c.order(ctx, http.MethodGet, path, nil)
	if err != nil {
		return "", fmt.Errorf("explain levels: %w", err)
	}
	return string(answer), nil
}

// read asks the socket, then the listener.
func (c *Client) read(ctx context.Context, path string) ([]byte, error) {
	data, err := c.order(ctx, http.MethodGet, path, nil)
	if !errors.Is(err, ErrNoDaemon) || c.Listen == "" {
		return data, err
	}
	data, second := exchange(ctx, target{"tcp", c.Listen}, http.MethodGet, path, nil)
	if errors.Is(second, ErrNoDaemon) && c.Socket != "" {
		return nil, errors.Join(err, second)
	}
	return data, second
}

// order asks the socket.
func (c *Client) order(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	if c.Socket == "" {
		return nil, fmt.Errorf("%w: no admin socket is configured", ErrNoDaemon)
	}
	if err := checkSocketPath(c.Socket); err != nil {
		return nil, err
	}
	return exchange(ctx, target{"unix", c.Socket}, method, path, body)
}

type target struct{ network, address string }

// exchange makes one request on a connection of its own.
func exchange(ctx context.Context, to target, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	// The server takes localhost for its name on every listener.
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// Neither a proxy of the environment nor a redirect may lead elsewhere.
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, to.network, to.address)
		},
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, to.unreached(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", to.address, err)
	}
	if response.StatusCode/100 == 2 {
		return data, nil
	}
	// %#q shows the quotes of a message as they are, and still escapes what a terminal would obey.
	err = fmt.Errorf("answer of %s: %d: %#q", to.address, response.StatusCode, quotable(string(bytes.TrimSpace(data))))
	if response.StatusCode == http.StatusNotFound {
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return nil, err
}

// unreached says why there was no answer, and whether there was a connection.
func (to target) unreached(err error) error {
	cause := err
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		cause = errno
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("%w at %s: %w", ErrNoDaemon, to.address, cause)
	}
	return fmt.Errorf("no answer from %s: %w", to.address, cause)
}
