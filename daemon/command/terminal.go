// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"cmp"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// screen is what can be shown where the results go. Only a terminal has colors, and only one that wants them.
type screen struct {
	terminal, color bool
	unicode         bool // beyond ASCII, by the locale
	columns, rows   int  // 80 columns where nobody says; rows is 0 outside a terminal
}

func screenOf(out io.Writer) screen {
	locale := strings.ToLower(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")))
	s := screen{columns: 80, unicode: strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")}
	file, ok := out.(*os.File)
	if !ok {
		return s
	}
	if _, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS); err != nil {
		return s
	}
	s.terminal = true
	// https://no-color.org: set, to whatever but nothing.
	s.color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	s.rows = 24
	if size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
		s.columns, s.rows = int(size.Col), int(size.Row)
	}
	return s
}

// unread reports whether out is a pipe or a socket whose other end is closed.
func unread(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(file.Fd())}} // errors are told without being asked for
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// The colors by what they mean (ECMA-48 §8.3.117).
const (
	good  = "32" // green
	doubt = "33" // yellow
	bad   = "1;31"
	faint = "2"
)

// paint colors a text where there are colors.
func (s screen) paint(color, text string) string {
	if !s.color || color == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// visible shows what a terminal would obey: the texts of issuers and files come from outside. Line ends stay.
func visible(text string) string {
	isHarmful := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
	if !strings.ContainsFunc(text, isHarmful) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if isHarmful(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			out.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}
