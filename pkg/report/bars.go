package report

import (
	"fmt"
	"html"
	"html/template"
	"strings"
)

// bar is a name and how much of a limit is taken.
type bar struct {
	name       string
	value, max float64
	endless    bool // the value has no limit: the bar goes to the edge
	text       string
}

// barChart draws bars one below the other: what is taken, of what there is.
func barChart(caption, unit string, bars []bar) *Chart {
	const row, label = 26., 200.
	most := 1.
	for _, b := range bars {
		if most = max(most, b.max); !b.endless {
			most = max(most, b.value)
		}
	}
	x := func(v float64) float64 { return (chartWidth - label - 110) * v / most }
	height := row*float64(len(bars)) + 6
	var out strings.Builder
	fmt.Fprintf(&out, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, chartWidth, height, html.EscapeString(caption))
	for i, b := range bars {
		if b.endless {
			b.value = most
		}
		y := row * float64(i)
		fmt.Fprintf(&out, `<text x="%g" y="%g" text-anchor="end">%s</text>`, label-8, y+18, html.EscapeString(short(b.name, 28)))
		if b.max > 0 {
			fmt.Fprintf(&out, `<rect class="room" x="%g" y="%g" width="%.1f" height="16"/>`, label, y+5, max(x(b.max), 1))
		}
		class := "bar"
		if b.endless || b.max > 0 && b.value > b.max {
			class = "bar over"
		}
		fmt.Fprintf(&out, `<rect class="%s" x="%g" y="%g" width="%.1f" height="16"/>`, class, label, y+5, x(b.value))
		fmt.Fprintf(&out, `<text x="%.1f" y="%g">%s</text>`, label+x(max(b.value, b.max))+6, y+18, html.EscapeString(b.text))
	}
	out.WriteString(`</svg>`)
	return &Chart{Caption: caption + " (" + unit + ")", SVG: template.HTML(out.String())}
}

func short(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}
