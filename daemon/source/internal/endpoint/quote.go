// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package endpoint

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/renewd/renewd/daemon"
)

// Quote prepares text of the answer for an error: without what the request sent in secret or the answer hands out, without what
// is not printable ASCII, cut at 200 bytes, quoted.
func (a *Answer) Quote(text string) string { return strconv.Quote(cut(clean(text, a.secrets))) }

func cut(text string) string {
	const most = 200
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// clean leaves printable ASCII and no secret. The secrets are looked for twice: what is taken out may have stood inside
// one.
func clean(text string, hidden []daemon.Secret) string {
	printable := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return -1
			}
			return r
		}, s)
	}
	var secrets []string
	for _, s := range hidden {
		raw := s.Reveal()
		secrets = append(secrets, raw, url.QueryEscape(raw), url.PathEscape(raw), printable(raw))
	}
	secrets = slices.DeleteFunc(secrets, func(s string) bool { return s == "" })
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }) // the whole before its parts
	secrets = slices.Compact(secrets)                                                                       // one that stands in what takes its place would make the text longer each time
	for range 2 {
		for _, s := range secrets {
			text = strings.ReplaceAll(text, s, "[redacted]")
		}
		text = printable(text)
	}
	return text
}
