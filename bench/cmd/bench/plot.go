package main

import (
	"bytes"
	"fmt"
	"html"
)

var colours = []string{"#2a6fbb", "#c25b3f", "#6a9a3b", "#8a63b0", "#b8962e", "#5b8a8a"}

// plot draws a group of horizontal bars for each value of groups, a bar for each of bars:
// the medians, with their 95 % confidence as a line.
func (r *results) plot(title, unit, groups, bars string) []byte {
	const (
		left, right, top = 120, 110, 40
		width, bar, gap  = 760, 16, 14
	)
	names := r.values(unit, bars)
	most := 0.0
	for _, g := range r.values(unit, groups) {
		for _, n := range names {
			if s, some := r.summary(unit, groups+"="+g, bars+"="+n); some {
				most = max(most, s.Center)
			}
		}
	}
	if most == 0 {
		most = 1
	}
	scale := func(v float64) float64 { return min(v/most, 1.05) * (width - left - right) }
	var b bytes.Buffer
	y := top
	for _, g := range r.values(unit, groups) {
		start := y
		for i, n := range names {
			s, some := r.summary(unit, groups+"="+g, bars+"="+n)
			if !some {
				continue
			}
			w := scale(s.Center)
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", left, y, w, bar-2, colours[i%len(colours)])
			if around(s) != "" {
				fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#222"/>`+"\n", left+scale(s.Lo), left+scale(s.Hi), y+bar/2-1, y+bar/2-1)
			}
			fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`+"\n", left+w+6, y+bar-4, text(s.Center, unit))
			y += bar
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-8, (start+y)/2+4, html.EscapeString(g))
		y += gap
	}
	x := left
	for i, n := range names {
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="10" height="10" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n", x, y, colours[i%len(colours)], x+14, y+10, html.EscapeString(n))
		x += 150
	}
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n"+
		`<rect width="100%%" height="100%%" fill="#fff"/>`+"\n"+`<text x="%d" y="22" font-size="14">%s</text>`+"\n", width, y+24, left, html.EscapeString(title))
	return append(append([]byte(head), b.Bytes()...), "</svg>\n"...)
}
