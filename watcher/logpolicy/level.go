// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"fmt"
	"strings"

	"go.uber.org/zap/zapcore"

	"github.com/renewd/renewd/daemon/config/strict"
)

// Level is a level of the policy. Its numbers are zap's, so that they compare; the zero value is INFO.
type Level zapcore.Level

// The levels. CRITICAL is zap's DPanicLevel; zap's panic and fatal count as CRITICAL too.
const (
	Debug    = Level(zapcore.DebugLevel)
	Info     = Level(zapcore.InfoLevel)
	Warning  = Level(zapcore.WarnLevel)
	Error    = Level(zapcore.ErrorLevel)
	Critical = Level(zapcore.DPanicLevel)
	Off      = Level(127)

	notSet = Level(-128) // only as the floor of a handler
)

// names lists the levels with their numbers in Python; the index is the level + 1.
var names = [...]struct{ name, number string }{{"DEBUG", "10"}, {"INFO", "20"}, {"WARNING", "30"}, {"ERROR", "40"}, {"CRITICAL", "50"}}

// severities are the OpenTelemetry SeverityNumbers, with the same index.
var severities = [...]int{5, 9, 13, 17, 21}

// index returns the place of a level that a line can have in names and severities.
func (l Level) index() int { return int(min(max(l, Debug), Critical) - Debug) }

// String returns the policy's name of the level.
func (l Level) String() string {
	switch {
	case l == Off:
		return "OFF"
	case l == notSet:
		return "NOTSET"
	}
	return names[l.index()].name
}

// MarshalText returns String.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// ParseLevel reads a level's name, in any case, or its number in Python: "WARNING", "warn", "30", "OFF".
func ParseLevel(text string) (Level, error) {
	l, _, ok := parseLevel(text)
	if !ok || l == notSet {
		return Warning, fmt.Errorf("unknown level %.70q: %s", text, suggestLevel(text))
	}
	return l, nil
}

// parseLevel is ParseLevel that knows NOTSET; instead is the name to use in place of an old one.
func parseLevel(text string) (l Level, instead string, ok bool) {
	upper := strings.ToUpper(text)
	for i, n := range names {
		if upper == n.name || upper == n.number {
			return Level(i) + Debug, "", true
		}
	}
	switch upper {
	case "OFF":
		return Off, "", true
	case "NOTSET", "0":
		return notSet, "", true
	case "WARN":
		return Warning, "WARNING", true
	case "FATAL":
		return Critical, "CRITICAL", true
	}
	return Warning, "", false
}

// suggestLevel returns the help for a word that is no level.
func suggestLevel(text string) string {
	return strict.Suggest(text, []string{"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "OFF"})
}

// decodeLevel reads a level; what says of what it is, unless the key does.
func decodeLevel(v strict.Value, what string, help func(string) string) Level {
	if v.Kind() == strict.Bool {
		fail(v, "LP012", fmt.Sprintf("%s is no level", v.Show()), `write "OFF" in quotes: YAML 1.1 reads it as false`)
		return Warning
	}
	l, instead, ok := parseLevel(v.Text())
	if !ok || v.Kind() == strict.Null {
		problem := "unknown level " + v.Show()
		if what != "level" {
			problem += " for " + what
		}
		fail(v, "LP012", problem, help(v.Text()))
	}
	if instead != "" {
		v.Warn(strict.Mistake{Rule: "LP204", Problem: v.Show() + " is an old name", Help: "write " + instead})
	}
	return l
}

// DecodeValue implements strict.Custom.
func (l *Level) DecodeValue(v strict.Value) {
	if *l = decodeLevel(v, v.Label(), suggestLevel); *l == notSet {
		fail(v, "LP012", "NOTSET is the floor of a handler, not a level", suggestLevel(""))
	}
}

// Schema implements strict.Custom.
func (*Level) Schema() map[string]any {
	return map[string]any{"title": "a level", "anyOf": []any{
		map[string]any{"type": "string", "pattern": `^(?i:debug|info|warn|warning|error|critical|fatal|off|[1-5]0)$`},
		map[string]any{"enum": []int{10, 20, 30, 40, 50}}}}
}

// floor is the least level that a handler takes.
type floor Level

// DecodeValue implements strict.Custom.
func (f *floor) DecodeValue(v strict.Value) {
	*f = floor(decodeLevel(v, v.Label(), func(text string) string { return suggestLevel(text) + ", or NOTSET" }))
}

// Schema implements strict.Custom.
func (*floor) Schema() map[string]any {
	return map[string]any{"title": "a level, or NOTSET", "type": []string{"string", "integer"}}
}

// String implements strict.Custom.
func (f floor) String() string { return Level(f).String() }
