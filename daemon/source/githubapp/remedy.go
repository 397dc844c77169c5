// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package githubapp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/claims"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
)

// explain tells a limit of requests from a refusal, and adds the remedy that follows from what was asked.
func (s *Source) explain(err error, answer *endpoint.Answer) error {
	f, ok := errors.AsType[*daemon.Failure](err)
	if !ok || answer == nil {
		return err
	}
	limited := f.Status == http.StatusForbidden || f.Status == http.StatusTooManyRequests
	if limited && answer.Header.Get("X-Ratelimit-Remaining") == "0" {
		f.Class = daemon.ClassThrottled
		if f.RetryAt.IsZero() {
			f.RetryAt = resetOf(answer)
		}
	}
	if f.Hint == "" && f.Class == daemon.ClassRefused {
		f.Hint = s.remedy(f.Status, answer)
	}
	return err
}

// resetOf returns when requests are counted anew, which GitHub writes by its own clock. It is zero for what makes no sense.
func resetOf(answer *endpoint.Answer) time.Time {
	at, ok := claims.NumericDate(json.RawMessage(strconv.Quote(answer.Header.Get("X-Ratelimit-Reset"))))
	if !answer.Date.IsZero() {
		at = answer.Received.Add(at.Sub(answer.Date))
	}
	if !ok || !at.After(answer.Received) {
		return time.Time{}
	}
	return at
}

func (s *Source) remedy(status int, answer *endpoint.Answer) string {
	switch status {
	case http.StatusUnauthorized:
		if answer.ClocksDiffer() {
			return "set the clock: GitHub takes an assertion only if it is of now by its own one; " + answer.Clocks()
		}
		return fmt.Sprintf("see whether the key in %q is one of app %q, and whether the app still has it", s.config.KeyFile, s.app)
	case http.StatusForbidden:
		return fmt.Sprintf("see whether installation %s is suspended, and whether its owner allows this address", s.installation)
	case http.StatusNotFound:
		return fmt.Sprintf("see whether installation %s is one of app %q, and whether apiURL is right: on GitHub Enterprise Server it ends with /api/v3", s.installation, s.app)
	case http.StatusUnprocessableEntity:
		return fmt.Sprintf("installation %s does not have all of repositories and permissions that are asked for", s.installation)
	}
	return "see whether apiURL is that of GitHub's API, and what lies between"
}
