// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/renewd/renewd/daemon"
)

// HTTP is the options of http: send a request after every write, with the Note as its JSON body, straight to the
// consumer, without a proxy.
type HTTP struct {
	URL     string        `yaml:"url" required:"true" doc:"Where the request goes: http or https, without user name, password and fragment."`
	Method  string        `yaml:"method" enum:"POST,PUT,GET" doc:"The method of the request: POST, PUT, or GET, which has no body."`
	Timeout time.Duration `yaml:"timeout" doc:"The whole request ends after this time, at most 10m."`
}

type webhook struct {
	method    string
	url       func() string // a closure: the query may hold a secret
	target    string        // the URL without its query
	timeout   time.Duration
	transport *http.Transport
}

func newHTTP(options any) (Notifier, error) {
	o := *options.(*HTTP)
	var errs []error
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		errs = append(errs, &daemon.FieldError{Field: "url", Problem: "is no address that can be asked",
			Help: "http or https, a host, and neither user name, password nor fragment, such as http://localhost:8080/-/reload"})
	}
	if !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodGet}, o.Method) {
		errs = append(errs, &daemon.FieldError{Field: "method", Problem: "unknown", Help: "POST, PUT or GET"})
	}
	if err := errors.Join(append(errs, checkTimeout(o.Timeout))...); err != nil {
		return nil, err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &webhook{
		method: o.Method, url: func() string { return o.URL }, timeout: o.Timeout,
		target: (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String(),
		transport: &http.Transport{
			DisableKeepAlives: true, // between two notices lie minutes, after which a kept connection is dead
			Protocols:         &protocols, MaxResponseHeaderBytes: 64 << 10,
		},
	}, nil
}

// Notify sends the request. Any status but 2xx is an error; no redirect is followed.
func (w *webhook) Notify(ctx context.Context, n Note) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	req, err := w.request(ctx, n)
	if err != nil {
		return err
	}
	// Not by a http.Client: its errors repeat the URL with the query, and parts of the answer.
	resp, err := w.transport.RoundTrip(req)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return fmt.Errorf("no answer from %s: %w", w.target, cause)
	}
	if err != nil {
		return fmt.Errorf("no answer from %s: %.200q", w.target, err.Error())
	}
	defer func() { _ = resp.Body.Close() }() // what is left of it is not wanted
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered with status %d", w.target, resp.StatusCode)
	}
	// A short answer is taken whole, so that the consumer does not see its connection break.
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	return nil
}

func (w *webhook) request(ctx context.Context, n Note) (*http.Request, error) {
	var body io.Reader
	if w.method != http.MethodGet {
		data, err := json.Marshal(n)
		if err != nil {
			return nil, fmt.Errorf("write the note: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, w.method, w.url(), body)
	if err != nil {
		return nil, errors.New("the URL cannot be asked") // checked by New
	}
	req.Header.Set("User-Agent", "renewd")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// String returns "http", the method and the URL without its query.
func (w *webhook) String() string { return "http " + w.method + " " + w.target }
