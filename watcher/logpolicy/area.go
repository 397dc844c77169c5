// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"slices"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
)

// Area is a part of the program that logs under its own name, which is also the name of its logger. The area "token"
// stands for all tokens; "token.NAME" for one needs no declaration.
type Area struct{ Name, Covers string }

func areaNames(areas []Area) []string {
	var list []string
	for _, a := range areas {
		list = append(list, a.Name)
	}
	return list
}

// parentOf returns the nearest dotted ancestor; that of a name without a dot is "", the root.
func parentOf(name string) string { return name[:max(0, strings.LastIndexByte(name, '.'))] }

// layer is one setting of an area's level.
type layer struct {
	kind  string // built-in, file, --log-level, temporary, admin
	area  string // "" is the root
	level Level
	until time.Time // zero: for good
}

// layers is everything that decides levels.
type layers struct {
	policy *policy
	file   bool       // the policy came from a file, so that its level may be said to
	flag   *Level     // --log-level
	since  time.Time  // what "for" counts from
	admin  []override // in the order they were set
	now    time.Time
}

// override is a temporary level.
type override struct {
	area  string
	level Level
	until time.Time
}

// of returns the settings for an area and its ancestors, the deciding one first. For one area the admin socket beats the
// file; the area's own settings beat those of its ancestors; at the root --log-level beats the file's level.
func (l *layers) of(area string) []layer {
	var list []layer
	for name := area; ; name = parentOf(name) {
		for _, o := range slices.Backward(l.admin) {
			if o.area == name && o.until.After(l.now) {
				list = append(list, layer{"admin", name, o.level, o.until})
			}
		}
		if name == "" {
			break
		}
		if a, ok := l.entry(name); ok && a.Level != nil {
			kind, until := "file", a.ends(l.since)
			if !until.IsZero() {
				kind = "temporary"
			}
			list = append(list, layer{kind, name, *a.Level, until})
		}
	}
	if l.flag != nil {
		list = append(list, layer{"--log-level", "", *l.flag, time.Time{}})
	}
	if l.file {
		list = append(list, layer{"file", "", l.policy.Level, time.Time{}})
	}
	return append(list, layer{"built-in", "", Warning, time.Time{}})
}

// entry returns the entry of an area, unless its time has ended.
func (l *layers) entry(name string) (area, bool) {
	a, ok := l.policy.Areas[name]
	until := a.ends(l.since)
	return a, ok && (until.IsZero() || until.After(l.now))
}

// handlers returns the names of the handlers of an area, sorted.
func (l *layers) handlers(area string) []string {
	for name := area; name != ""; name = parentOf(name) {
		if a, ok := l.entry(name); ok && a.Handlers != nil {
			return slices.Compact(slices.Sorted(slices.Values(a.Handlers)))
		}
	}
	var list []string
	for name, h := range l.policy.Handlers {
		if h.ByDefault {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// temporary returns the temporary levels in force.
func (l *layers) temporary() []override {
	list := []override{}
	for name := range l.policy.Areas {
		if a, ok := l.entry(name); ok && !a.ends(l.since).IsZero() {
			level := l.of(name)[0].level
			if a.Level != nil {
				level = *a.Level
			}
			list = append(list, override{name, level, a.ends(l.since)})
		}
	}
	for _, o := range l.admin {
		if o.until.After(l.now) {
			list = append(list, o)
		}
	}
	return list
}

// node is what holds for one area, worked out.
type node struct {
	area    string
	level   zapcore.Level
	outputs []*output
	lines   *lineCounts
}

// tree is the nodes of all areas that can have their own. The root is always among them, as "".
type tree map[string]*node

// newTree works out the nodes of areas.
func newTree(l *layers, areas []string, outputs map[string]*output, counts *counters) tree {
	t := tree{}
	for _, name := range append(areas, "") {
		n := &node{area: name, level: zapcore.Level(l.of(name)[0].level), lines: counts.of(name)}
		for _, h := range l.handlers(name) {
			n.outputs = append(n.outputs, outputs[h])
		}
		t[name] = n
	}
	return t
}

// find returns the node of a logger's name: its own or that of its nearest ancestor.
func (t tree) find(name string) *node {
	for ; name != ""; name = parentOf(name) {
		if n, ok := t[name]; ok {
			return n
		}
	}
	return t[""]
}

// least returns the lowest level of any node.
func (t tree) least() zapcore.Level {
	least := zapcore.Level(Off)
	for _, n := range t {
		least = min(least, n.level)
	}
	return least
}
