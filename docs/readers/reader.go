// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package readers is a reader to copy.
package readers

import (
	"net/http"
	"os"
)

// Bearer sends the token in the file with each request: use it as the Transport of an http.Client. It reads the file anew
// each time, which costs microseconds. As long as nothing was published it returns an error that is fs.ErrNotExist: answer
// "not ready" and try again at the next request; do not exit.
type Bearer struct {
	Path string
	Base http.RoundTripper
}

// RoundTrip sends a copy of the request, with the token that is published now.
func (b Bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	token, err := os.ReadFile(b.Path)
	if err != nil {
		if request.Body != nil {
			_ = request.Body.Close() // as http.RoundTripper demands
		}
		return nil, err
	}
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+string(token)) // nothing is trimmed: renewd writes no line end
	return b.Base.RoundTrip(request)
}
