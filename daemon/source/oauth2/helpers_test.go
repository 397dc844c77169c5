// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2_test

import (
	"errors"
	"testing"

	"github.com/renewd/renewd/daemon"
)

func failure(t testing.TB, err error) *daemon.Failure {
	t.Helper()
	f, ok := errors.AsType[*daemon.Failure](err)
	if !ok {
		t.Fatalf("no Failure: %v", err)
	}
	return f
}
