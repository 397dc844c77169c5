// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// style gives a picture its own ground, so that it can be read on any page; it follows the reader's scheme.
const style = `<style>
svg{--ground:#fff;--ink:#1f2328;--muted:#59636e;--grid:#d1d9e0;--rest:#eaeef2;--own:#0969da;--peer:#bc4c00;--good:#1a7f37;--wait:#d4a72c;--alarm:#cf222e;--shade:#ffebe9}
@media(prefers-color-scheme:dark){svg{--ground:#0d1117;--ink:#f0f6fc;--muted:#9198a1;--grid:#3d444d;--rest:#21262d;--own:#58a6ff;--peer:#f0883e;--good:#3fb950;--wait:#9e6a03;--alarm:#f85149;--shade:#3c1618}}
text{font:13px system-ui,sans-serif;fill:var(--ink)}.strong{font-weight:600}text.muted{fill:var(--muted);font-size:12px}.label{font-size:12px}
.ground{fill:var(--ground)}.grid{stroke:var(--grid);fill:none}.shade{fill:var(--shade)}.own{fill:var(--own)}.peer{fill:var(--peer)}
.rest{fill:var(--rest)}.first{fill:var(--own)}.window{fill:var(--good)}.retry{fill:var(--wait)}.promise{fill:var(--alarm)}
.line{fill:none;stroke:var(--good);stroke-width:2.5}.busy{stroke:var(--own);stroke-dasharray:7 4}.alarm{stroke:var(--alarm);stroke-dasharray:2 4}
</style>`

// drawing is an SVG in the making. Title and description are what a screen reader says.
type drawing struct {
	width, height float64
	title, desc   string
	body          strings.Builder
}

func (d *drawing) printf(format string, args ...any) {
	fmt.Fprintf(&d.body, format+"\n", args...)
}

func (d *drawing) text(class string, x, y float64, anchor, text string) {
	d.printf(`<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, class, x, y, anchor, html.EscapeString(text))
}

// mark is an entry of a legend.
type mark struct{ class, label string }

// legend draws the entries beside each other. Lines are drawn as lines, areas as boxes.
func (d *drawing) legend(x, y float64, marks []mark) {
	for _, m := range marks {
		if strings.HasPrefix(m.class, "line") {
			d.printf(`<path class="%s" d="M%.1f %.1fh26"/>`, m.class, x, y-4)
		} else {
			d.printf(`<rect class="%s" x="%.1f" y="%.1f" width="14" height="12"/>`, m.class, x+12, y-10)
		}
		d.text("label", x+32, y, "start", m.label)
		x += 56 + 6.2*float64(len(m.label))
	}
}

// panel is the load of one rule over minutes, on a logarithmic scale from 1 to most.
type panel struct {
	top      float64
	label    string
	load     []float64 // by minute, in multiples of the ideal load
	from, to int       // minutes
	most     float64
	outage   [2]int // minutes; the same twice: none
	peer     bool
}

func (d *drawing) panel(p panel) {
	const left, width, height = 60.0, 680.0, 76.0
	base := p.top + 20 + height
	x := func(minute int) float64 { return left + width*float64(minute-p.from)/float64(p.to-p.from) }
	y := func(load float64) float64 { return base - height*math.Log(max(1, load))/math.Log(p.most) }
	d.text("strong", left, p.top+10, "start", p.label)
	if p.outage[0] < p.outage[1] {
		d.printf(`<rect class="shade" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, x(p.outage[0]), base-height, x(p.outage[1])-x(p.outage[0]), height)
	}
	for n := 1.0; n <= p.most; n *= 10 {
		d.printf(`<path class="grid" d="M%.1f %.1fH%.1f"/>`, left, y(n), left+width)
		d.text("muted", left-8, y(n)+4, "end", fmt.Sprintf("%v×", n))
	}
	var path strings.Builder
	fmt.Fprintf(&path, "M%.1f %.1f", left, base)
	busiest, when := 0.0, 0
	for minute := p.from; minute < min(p.to, len(p.load)); minute++ {
		fmt.Fprintf(&path, "V%.1fH%.1f", y(p.load[minute]), x(minute+1))
		if p.load[minute] > busiest {
			busiest, when = p.load[minute], minute
		}
	}
	class := "own"
	if p.peer {
		class = "peer"
	}
	d.printf(`<path class="%s" d="%sV%.1fZ"/>`, class, path.String(), base)
	d.text("label", x(when+1)+6, y(busiest)+9, "start", fmt.Sprintf("%.0f×", busiest))
	for minute := p.from; minute <= p.to; minute += 60 {
		d.text("muted", x(minute), base+16, "middle", fmt.Sprintf("%d h", minute/60))
	}
}

func (d *drawing) String() string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %v %v" width="%v" height="%v" role="img" aria-labelledby="title desc">
<title id="title">%s</title>
<desc id="desc">%s</desc>
%s
<rect class="ground" width="100%%" height="100%%"/>
%s</svg>
`, d.width, d.height, d.width, d.height, html.EscapeString(d.title), html.EscapeString(d.desc), style, d.body.String())
}
