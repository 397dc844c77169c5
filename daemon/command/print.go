// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"encoding/json"
	"fmt"
)

// print writes a result to standard output.
func (a *app) print(text []byte) error {
	if _, err := a.stdout.Write(text); err != nil {
		return &exit{code: exitOther, err: err}
	}
	return nil
}

// printJSON writes a result as JSON.
func (a *app) printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return &exit{code: exitOther, err: err}
	}
	return a.print(append(text, '\n'))
}

// plural writes a number with what is counted.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprint(n, " ", noun, "s")
}
