package report

import (
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/kubetorch/webhook/pkg/simulate"
)

// pictureStyle is that of a picture by itself, in light and dark.
const pictureStyle = `<style>
text { fill: #57606a; font: 12px system-ui, sans-serif; } .axis { stroke: #d0d7de; } rect.back { fill: #ffffff; }
.series { fill: none; stroke-width: 2; }
.l1 { stroke: #0550ae; } .l2 { stroke: #b35900; } .l3 { stroke: #1a7f37; } .l4 { stroke: #8250df; } .l5 { stroke: #bf3989; } .l6 { stroke: #1b7c83; }
.d2 { stroke-dasharray: 7 3; } .d3 { stroke-dasharray: 2 3; } .d4 { stroke-dasharray: 10 3 2 3; } .d5 { stroke-dasharray: 14 4; } .d6 { stroke-dasharray: 7 3 2 3 2 3; }
.limit { stroke: #cf222e; stroke-dasharray: 4 4; } .shade { fill: #cf222e22; }
@media (prefers-color-scheme: dark) {
text { fill: #9da7b3; } .axis { stroke: #30363d; } rect.back { fill: #0d1117; }
.l1 { stroke: #79c0ff; } .l2 { stroke: #ffa657; } .l3 { stroke: #7ee787; } .l4 { stroke: #d2a8ff; } .l5 { stroke: #ff9bce; } .l6 { stroke: #56d4dd; } }
</style>`

// Picture writes the pods of all results over time as an SVG by itself, with what each of them
// holds below it.
func Picture(w io.Writer, results []simulate.Simulation) error {
	chart := together(results).Chart
	height := chartHeight + 24*float64(len(results))
	head := fmt.Sprintf(`viewBox="0 0 %g %g"`, chartWidth, chartHeight)
	svg := strings.Replace(string(chart.SVG), head, fmt.Sprintf(`xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g"`, chartWidth, height), 1)
	open, rest, _ := strings.Cut(svg, ">")
	var legend strings.Builder
	for i, r := range results {
		y := chartHeight + 24*float64(i) + 12
		fmt.Fprintf(&legend, `<line class="%s" x1="%g" x2="%g" y1="%g" y2="%g"/><text x="%g" y="%g">%s: %s GPU-hours, peak %d pods, %d cold starts, 99 %% of requests wait up to %s s</text>`,
			lineClass(i), left, left+32, y, y, left+42, y+4, template.HTMLEscapeString(label(results, i)), decimal(r.GPUHours, 1), r.PeakPods, r.ColdStarts, decimal(r.WaitP99, 1))
	}
	_, err := fmt.Fprintf(w, "%s>%s<rect class=\"back\" width=\"%g\" height=\"%g\"/>%s%s</svg>\n", open, pictureStyle, chartWidth, height, strings.TrimSuffix(rest, "</svg>"), legend.String())
	return err
}
