// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Explanation says why an area logs as it does.
type Explanation struct {
	Area     string    `json:"area"`
	Covers   string    `json:"covers,omitempty"`
	Level    Level     `json:"level"`
	Decides  Setting   `json:"decides"`
	Beaten   []Setting `json:"beaten"` // the strongest first
	Handlers []Floor   `json:"handlers"`
}

// Setting is one place that sets a level.
type Setting struct {
	Layer string    `json:"layer"` // built-in, file, --log-level, temporary, admin
	Area  string    `json:"area"`  // that it is set for; "root" is the top level
	Level Level     `json:"level"`
	Place string    `json:"place,omitempty"` // file:line:column
	Until time.Time `json:"until,omitzero"`
}

// Floor is a handler of an area.
type Floor struct {
	Handler string `json:"handler"`
	Floor   Level  `json:"floor"` // NOTSET is none
	Format  string `json:"format"`
	To      string `json:"to"` // stderr, stdout, or a path
}

// String returns the explanation as text of several lines.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, from %s", e.Area, e.Level, e.Decides)
	for _, s := range e.Beaten {
		fmt.Fprintf(&b, "\n  beats %s", s)
	}
	for _, h := range e.Handlers {
		fmt.Fprintf(&b, "\n  to %s: %s, format %s, floor %s", h.Handler, h.To, h.Format, h.Floor)
	}
	if len(e.Handlers) == 0 {
		b.WriteString("\n  to no handler")
	}
	return b.String()
}

// String returns the setting as "file:3:8 (token: INFO)".
func (s Setting) String() string {
	text := fmt.Sprintf("%s (%s: %s)", strings.TrimSpace(s.Layer+" "+s.Place), s.Area, s.Level)
	if !s.Until.IsZero() {
		text += " until " + s.Until.Format(time.RFC3339)
	}
	return text
}

// Explain explains an area of the policy in force, or all areas if the name is empty.
func (s *Switch) Explain(area string) ([]Explanation, error) {
	g := s.current.Load()
	l := g.layers
	l.now = time.Now().Round(0)
	return s.explain(g.name, &l, area, s.hider())
}

// ExplainText is Explain for a text that is not in force.
func (s *Switch) ExplainText(name string, data []byte, area string) ([]Explanation, error) {
	p, doc := s.source(name, data).parse()
	if doc.Err() != nil {
		return nil, rejected(doc, "Policy is not valid.", s.hider(p))
	}
	now := time.Now().Round(0)
	return s.explain(name, &layers{policy: p, file: true, flag: s.flag, since: now, now: now}, area, s.hider(p))
}

func (s *Switch) explain(name string, l *layers, only string, hide func(string) string) ([]Explanation, error) {
	areas := []Area{{"root", "everything that has no level of its own"}}
	if only != "" {
		known, err := s.known(only)
		if err != nil {
			return nil, err
		}
		areas = []Area{{cmp.Or(known, "root"), s.covers(known)}}
	} else {
		areas = append(areas, s.areas...)
		s.mu.Lock()
		for _, t := range s.tokens {
			areas = append(areas, Area{Name: "token." + t})
		}
		s.mu.Unlock()
	}
	var list []Explanation
	for _, a := range areas {
		list = append(list, explainOne(name, l, a, hide))
	}
	return list, nil
}

func (s *Switch) covers(area string) string {
	if i := slices.IndexFunc(s.areas, func(a Area) bool { return a.Name == area }); i >= 0 {
		return s.areas[i].Covers
	}
	return ""
}

func explainOne(name string, l *layers, a Area, hide func(string) string) Explanation {
	e := Explanation{Area: a.Name, Covers: a.Covers, Beaten: []Setting{}, Handlers: []Floor{}}
	area := strings.TrimPrefix(a.Name, "root")
	for i, layer := range l.of(area) {
		s := Setting{Layer: layer.kind, Area: cmp.Or(layer.area, "root"), Level: layer.level, Until: layer.until}
		if p, ok := l.policy.places[layer.area]; ok && (layer.kind == "file" || layer.kind == "temporary") {
			s.Place = hide(fmt.Sprintf("%s:%d:%d", name, p.line, p.column))
		}
		if i == 0 {
			e.Decides, e.Level = s, s.Level
		} else {
			e.Beaten = append(e.Beaten, s)
		}
	}
	for _, h := range l.handlers(area) {
		handler := l.policy.Handlers[h]
		to := handler.Stream
		if handler.Type == "file" {
			to = strings.TrimSuffix(handler.Path, "/") + "/" + handler.Name
		}
		e.Handlers = append(e.Handlers, Floor{hide(h), Level(handler.Level), hide(handler.Format), hide(to)})
	}
	return e
}
