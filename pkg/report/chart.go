package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// Size of a chart, in the units of its view box.
const (
	chartWidth, chartHeight = 800., 240.
	left, right, above      = 48., 8., 10.
	below                   = 24.
)

// Line is a value over time that holds until the next one.
type Line struct {
	Name   string
	Values []float64
}

// Chart is a picture of lines over time.
type Chart struct {
	Caption string
	SVG     template.HTML
	Legend  []LegendEntry
}

// LegendEntry shows how a line is drawn.
type LegendEntry struct {
	Key  template.HTML
	Text string
}

// lineChart draws lines whose values stand for every many seconds each, shades spans, and marks a limit
// (0 is none).
type lineChart struct {
	caption, unit string
	seconds       float64
	every         float64
	lines         []Line
	shaded        [][2]float64
	limit         float64
}

func (c lineChart) chart() *Chart {
	most := c.limit
	for _, l := range c.lines {
		for _, v := range l.Values {
			most = max(most, v)
		}
	}
	top, tick := scale(most)
	x := func(seconds float64) float64 { return left + (chartWidth-left-right)*seconds/max(c.seconds, 1) }
	y := func(v float64) float64 { return above + (chartHeight-above-below)*(1-v/top) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, chartWidth, chartHeight, html.EscapeString(c.caption+", up to "+decimal(most, 2)+" "+c.unit))
	for _, s := range c.shaded {
		fmt.Fprintf(&b, `<rect class="shade" x="%.1f" y="%g" width="%.1f" height="%g"/>`, x(s[0]), above, max(x(s[1])-x(s[0]), 1), chartHeight-above-below)
	}
	for v := 0.; v <= top+tick/2; v += tick {
		fmt.Fprintf(&b, `<line class="axis" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text x="%g" y="%.1f" text-anchor="end">%s</text>`,
			left, chartWidth-right, y(v), y(v), left-6, y(v)+4, decimal(v, 3))
	}
	for s, step := 0., timeTick(c.seconds); s <= c.seconds+1e-6; s += step {
		anchor := "middle"
		if s > c.seconds-step/2 {
			anchor = "end"
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="%s">%s</text>`, x(s), chartHeight-6, anchor, clock(s))
	}
	if c.limit > 0 {
		fmt.Fprintf(&b, `<line class="limit" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/>`, left, chartWidth-right, y(c.limit), y(c.limit))
	}
	for i, l := range c.lines {
		fmt.Fprintf(&b, `<path class="%s" d="%s"/>`, lineClass(i), stairs(l.Values, c.every, c.seconds, x, y))
	}
	b.WriteString(`</svg>`)
	return &Chart{Caption: c.caption + " (" + c.unit + ")", SVG: template.HTML(b.String()), Legend: c.legend()}
}

// lineStyles is how many colours there are, and how many ways to dash a line.
const lineStyles = 6

// lineClass draws each of up to 36 lines of a picture in its own way, and each of up to six in its own
// colour and dash.
func lineClass(i int) string {
	return fmt.Sprintf("series l%d d%d", i%lineStyles+1, (i+i/lineStyles)%lineStyles+1)
}

func (c lineChart) legend() []LegendEntry {
	var all []LegendEntry
	for i, l := range c.lines {
		all = append(all, LegendEntry{template.HTML(fmt.Sprintf(`<svg viewBox="0 0 32 10" aria-hidden="true"><line class="%s" x1="0" x2="32" y1="5" y2="5"/></svg>`, lineClass(i))), l.Name})
	}
	if c.limit > 0 {
		all = append(all, LegendEntry{`<svg viewBox="0 0 32 10" aria-hidden="true"><line class="limit" x1="0" x2="32" y1="5" y2="5"/></svg>`, "max-scale " + decimal(c.limit, 0)})
	}
	if len(c.shaded) > 0 {
		all = append(all, LegendEntry{`<svg viewBox="0 0 32 10" aria-hidden="true"><rect class="shade" width="32" height="10"/></svg>`, "panic mode"})
	}
	return all
}

// stairs is the path of values that hold until the next one. What lies on one line is one piece.
func stairs(values []float64, every, seconds float64, x, y func(float64) float64) string {
	var b strings.Builder
	last := math.NaN()
	for i, v := range values {
		if v == last {
			continue
		}
		if i == 0 {
			fmt.Fprintf(&b, "M%.1f %.1f", x(0), y(v))
		} else {
			fmt.Fprintf(&b, "H%.1fV%.1f", x(float64(i)*every), y(v))
		}
		last = v
	}
	if len(values) > 0 {
		fmt.Fprintf(&b, "H%.1f", x(seconds))
	}
	return b.String()
}

// scale rounds the top of an axis up, and tells how far ticks are apart.
func scale(most float64) (top, tick float64) {
	if most <= 0 {
		return 1, 1
	}
	tick = math.Pow(10, math.Floor(math.Log10(most)))
	for _, f := range []float64{0.2, 0.25, 0.5, 1, 2} {
		if most/(tick*f) <= 5 {
			tick *= f
			break
		}
	}
	return math.Ceil(most/tick-1e-9) * tick, tick
}

// timeTick is how far ticks of a time axis are apart, in seconds.
func timeTick(seconds float64) float64 {
	for _, t := range []float64{10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800} {
		if seconds/t <= 8 {
			return t
		}
	}
	return 2592000
}

// clock is a time from the start: 1:30 is an hour and a half, 45s less than a minute.
func clock(seconds float64) string {
	s := int64(seconds)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s%60 != 0:
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/3600, s/60%60)
}
