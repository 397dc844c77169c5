// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package contract

import (
	"errors"
	"slices"
	"testing"

	"github.com/renewd/renewd/daemon"
)

// Fields returns the fields that the error of a constructor complains of, sorted; none for nil. It fails the test for an
// error that is no *daemon.FieldError, or that leaves out what is wrong or what would be right.
func Fields(t *testing.T, err error) (found []string) {
	t.Helper()
	if err == nil {
		return nil
	}
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		f, ok := errors.AsType[*daemon.FieldError](e)
		if !ok || f.Problem == "" || f.Help == "" {
			t.Fatalf("%v is no field error", e)
		}
		found = append(found, f.Field)
	}
	slices.Sort(found)
	return found
}
