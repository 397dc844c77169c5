// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package strict

import (
	"fmt"
	"slices"
	"strings"
)

// suggest is Suggest, unless the text must not be shown: then only what is known is said.
func (v Value) suggest(text string, names []string) string {
	if !v.shown() {
		return Known(names)
	}
	return Suggest(text, names)
}

// Known lists names for a help line.
func Known(names []string) string {
	if len(names) == 1 {
		return "write " + names[0]
	}
	return "one of " + strings.Join(names, ", ")
}

// Suggest returns the help for a word that is none of names: those that differ by a typing mistake, else all of them.
func Suggest(word string, names []string) string {
	near := nearest(word, names)
	if len(near) == 0 {
		return Known(names)
	}
	help := "did you mean " + strings.Join(near, " or ") + "?"
	if len(names) <= 20 {
		help += "  " + Known(names)
	}
	return help
}

// nearest returns the quoted names that are least far from word: at most two edits and a third of its length, or
// different only in case. Ties are sorted.
func nearest(word string, names []string) []string {
	runes := []rune(word)
	best, near := min(2, len(runes)/3), []string(nil)
	for _, name := range slices.Sorted(slices.Values(names)) {
		n := 0
		if !strings.EqualFold(word, name) {
			n = distance(runes, []rune(name), best)
		}
		if n < best {
			best, near = n, nil
		}
		if n == best || n == 0 {
			near = append(near, fmt.Sprintf("%q", name))
		}
	}
	return near
}

// distance returns the Damerau-Levenshtein distance (adjacent letters swapped count once), or more than most.
func distance(a, b []rune, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	var before, row []int
	next := make([]int, len(b)+1)
	for j := range next {
		next[j] = j
	}
	for i := range a {
		before, row = row, next
		next = make([]int, len(b)+1)
		next[0] = i + 1
		for j := range b {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
	}
	return next[len(b)]
}
