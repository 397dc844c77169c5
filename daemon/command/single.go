// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/renewd/renewd/daemon/config/strict"
)

// flagsName is what mistakes call the configuration that the flags of a single token make.
const flagsName = "flags"

// single is one token from flags alone. They are texts: the flags are written as a configuration, and read and checked as
// any other one.
type single struct {
	flags *pflag.FlagSet
	lines []line
}

// line is one line of the document, and the flag that it came from.
type line struct{ flag, text string }

// The flags of a single token, in the order of the configuration: the key that each stands for, by section.
var (
	sourceFlags = []flagKey{
		{"sign-key", "keyFile", "sign tokens with the key in this `file`"},
		{"reissue-key", "keyFile", "re-issue the token that is published, with the key in this `file`"},
		{"source-file", "path", "re-publish the token in this `file`"},
	}
	optionFlags = map[string][]flagKey{
		"sign": {
			{"algorithm", "algorithm", "JWS `algorithm` of --sign-key (default ES256) or --reissue-key (default HS256)"},
			{"key-id", "keyID", "`kid` of the signed token: auto, none or a text"},
			{"claims", "claims", "claims of the signed token, a JSON `object`"},
			{"ttl", "ttl", "`life` of the signed token, such as 30m"},
		},
		"reissue": {
			{"algorithm", "algorithm", ""},
			{"seed-file", "seedFile", "`file` with the first token to re-issue, as long as none is published"},
			{"extend", "extend", "`life` of a re-issued token, from now on, such as 30m"},
		},
		"file": {},
	}
	refreshFlags = []flagKey{
		{"refresh-at", "at", "refresh `window` as a share of the life: 80% or 70%-80%"},
		{"refresh-before", "before", "refresh at the latest this `time` before expiry, such as 5m"},
		{"refresh-interval", "interval", "never wait longer than this `time`, such as 10m"},
		{"keep", "keep", "how much `life` readers are promised, such as 2m"},
		{"spread", "spread", "`true` or false: whether the first refresh after a start is drawn from nearly the whole life (default true)"},
		{"outage", "outage", "an `outage` of the issuer to survive, such as 10m: the window moves earlier if it must"},
	}
	publishFlags = []flagKey{
		{"out", "file", "publish the token to this `file`"},
		{"format", "format", "`form` of the file: raw, json, header or execcredential (default raw)"},
		{"mode", "mode", "`mode` of the file, such as 0644 (default 0600)"},
	}
)

type flagKey struct{ flag, key, usage string }

func kindOf(sourceFlag string) string {
	return map[string]string{"sign-key": "sign", "reissue-key": "reissue", "source-file": "file"}[sourceFlag]
}

// allFlags returns the flags of a single token, each once.
func allFlags() []flagKey {
	list := slices.Concat(sourceFlags, optionFlags["sign"], optionFlags["reissue"], refreshFlags, publishFlags)
	return slices.DeleteFunc(list, func(k flagKey) bool { return k.usage == "" })
}

func addSingle(f *pflag.FlagSet) {
	for _, k := range allFlags() {
		f.String(k.flag, "", k.usage)
	}
}

// given reports whether a flag of a single token was given: on the command line only, or also by its variable.
func (s single) given(commandLine bool) bool {
	return slices.ContainsFunc(allFlags(), func(k flagKey) bool {
		flag := s.flags.Lookup(k.flag)
		return flag != nil && (flag.Changed || !commandLine && given(flag))
	})
}

func (s single) get(name string) string { return s.flags.Lookup(name).Value.String() }

// document writes the flags as a configuration, one flag a line.
func (s *single) document() ([]byte, error) {
	var kind string
	for _, k := range sourceFlags {
		if s.get(k.flag) == "" {
			continue
		}
		if kind != "" {
			return nil, &exit{code: exitUsage, err: errors.New("--sign-key, --reissue-key and --source-file exclude each other")}
		}
		kind = kindOf(k.flag)
	}
	if kind == "" || s.get("out") == "" {
		return nil, &exit{
			code: exitUsage, err: errors.New("one token by flags needs a source and --out"),
			help: "for example --sign-key KEY --ttl 30m --out ./token",
		}
	}
	s.line("", "version: 1")
	s.line("", "tokens:")
	s.line("", "  - name: token")
	s.line("", "    source:")
	s.line("", "      "+kind+":")
	if kind == "sign" && s.get("algorithm") == "" {
		s.line("algorithm", "        algorithm: ES256")
	}
	for _, k := range sourceFlags {
		if kindOf(k.flag) == kind {
			s.value("        ", k)
		}
	}
	if err := s.options(kind); err != nil {
		return nil, err
	}
	s.line("", "    refresh:")
	for _, k := range refreshFlags {
		if k.flag != "spread" {
			s.value("      ", k)
			continue
		}
		spread := cmp.Or(s.get("spread"), "true")
		if spread != "true" && spread != "false" {
			return nil, &exit{code: exitUsage, err: fmt.Errorf("--spread: %.40q is neither true nor false", spread)}
		}
		s.line("spread", "      spread: "+spread)
	}
	s.line("", "    publish:")
	s.value("      - ", publishFlags[0])
	for _, k := range publishFlags[1:] {
		s.value("        ", k)
	}
	var text []byte
	for _, l := range s.lines {
		text = append(text, l.text+"\n"...)
	}
	return text, nil
}

// options writes what the kind takes, and refuses what it does not.
func (s *single) options(kind string) error {
	taken := map[string]bool{}
	for _, k := range optionFlags[kind] {
		taken[k.flag] = true
		if k.flag != "claims" {
			s.value("        ", k)
			continue
		}
		if text := s.get("claims"); text != "" {
			if !json.Valid([]byte(text)) {
				return &exit{code: exitUsage, err: errors.New("--claims is not JSON"), help: `for example --claims '{"iss":"orders","aud":["billing"]}'`}
			}
			s.line("claims", "        claims: "+dollars(text))
		}
	}
	for other, list := range optionFlags {
		for _, k := range list {
			if other != kind && !taken[k.flag] && s.get(k.flag) != "" {
				return &exit{code: exitUsage, err: fmt.Errorf("--%s does not go with this source", k.flag)}
			}
		}
	}
	return nil
}

func (s *single) value(before string, k flagKey) {
	if text := s.get(k.flag); text != "" {
		s.line(k.flag, before+k.key+": "+strconv.Quote(dollars(text)))
	}
}

func (s *single) line(flag, text string) { s.lines = append(s.lines, line{flag, text}) }

// dollars keeps what a shell has expanded from being expanded again.
func dollars(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// explain says the mistakes of the configuration that the flags made in terms of the flags.
func (s single) explain(err error) error {
	mistakes, ok := errors.AsType[*strict.Error](err)
	if !ok {
		return err
	}
	var list []string
	for _, p := range mistakes.Problems {
		flag := ""
		if p.Line <= len(s.lines) {
			flag = s.lines[p.Line-1].flag
		}
		text := p.Text
		if flag != "" {
			text = "--" + flag + ": " + text
		}
		if p.Help != "" {
			text += "\n  help: " + p.Help
		}
		list = append(list, text)
	}
	return errors.New(strings.Join(list, "\n"))
}
