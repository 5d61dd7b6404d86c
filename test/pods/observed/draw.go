package observed

import (
	"cmp"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Picture shows numbers of pods over time, with a load behind them.
type Picture struct {
	// Name of what is shown, and What the ground behind it stands for.
	Name, What string
	// Load is when there was some, and how much of the most there was.
	Load  []Span
	Lines []Line
}

// Span is a time with a load.
type Span struct {
	From, To time.Duration
	Height   float64 // from 0 to 1
}

// Line is a number of pods over time.
type Line struct {
	Name    string
	Samples []Sample
	Value   Value
	Colour  string
	Width   float64
	Dashed  bool
}

// Colours of ready pods and of all that have not been told to end.
const (
	ReadyColour = "#0969da"
	LiveColour  = "#bf8700"
)

// Of ready and live pods, how they are drawn.
func lines(samples []Sample) []Line {
	return []Line{
		{Name: "not told to end", Samples: samples, Value: Live, Colour: LiveColour, Width: 1.5},
		{Name: "ready", Samples: samples, Value: Ready, Colour: ReadyColour, Width: 2.5},
	}
}

// Observed is the picture of samples, with a load from begin to end.
func Observed(name, what string, samples []Sample, begin, end time.Duration) Picture {
	return Picture{Name: name, What: what, Load: []Span{{From: begin, To: end, Height: 1}}, Lines: lines(samples)}
}

// Beside is the picture of real pods and simulated ones.
func Beside(name, what string, load []Span, observed, simulated []Sample) Picture {
	p := Picture{Name: name, What: what, Load: load, Lines: lines(observed)}
	for _, l := range lines(simulated) {
		l.Name, l.Dashed = "simulated", true
		p.Lines = append(p.Lines, l)
	}
	return p
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// Write draws the picture into a folder.
func (p Picture) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(p.Name), "-"), "-")
	return os.WriteFile(filepath.Join(dir, name+".svg"), []byte(p.SVG()), 0o644)
}

// Of a picture, in pixels.
const (
	width, height = 640, 240
	left, right   = 50, 20
	top, bottom   = 50, 40
	plotWidth     = width - left - right
	plotHeight    = height - top - bottom
)

const (
	axisColour, gridColour, textColour = "#57606a", "#d0d7de", "#24292f"
	loadColour                         = "#dbeafe"
)

// scales turn times and pods into places.
type scales struct {
	total time.Duration
	most  int
}

func (s scales) x(at time.Duration) float64 { return left + plotWidth*at.Seconds()/s.total.Seconds() }

func (s scales) y(pods int) float64 { return top + plotHeight*(1-float64(pods)/float64(s.most+1)) }

// SVG is the picture.
func (p Picture) SVG() string {
	s := scales{total: time.Second, most: 1}
	for _, l := range p.Lines {
		if len(l.Samples) > 0 {
			s.total = max(s.total, l.Samples[len(l.Samples)-1].At)
			s.most = max(s.most, Most(l.Samples, l.Value))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="%s">`+"\n",
		width, height, textColour)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	for _, l := range p.Load {
		from, to := s.x(max(l.From, 0)), s.x(min(l.To, s.total))
		fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n",
			from, top+plotHeight*(1-l.Height), max(to-from, 0), plotHeight*l.Height, loadColour)
	}
	fmt.Fprintf(&b, `<text x="%d" y="20" font-size="14" font-weight="bold">%s</text>`+"\n", left, html.EscapeString(p.Name))
	fmt.Fprintf(&b, `<text x="%d" y="38">pods over time; %s; blue ground: %s</text>`+"\n", left, p.legend(), html.EscapeString(p.What))
	s.grid(&b)
	for _, l := range slices.SortedStableFunc(slices.Values(p.Lines), func(a, b Line) int { return cmp.Compare(a.Width, b.Width) }) {
		s.line(&b, l)
	}
	fmt.Fprintf(&b, `<path d="M%d %dv%dh%d" fill="none" stroke="%s"/>`+"\n</svg>\n", left, top, plotHeight, plotWidth, axisColour)
	return b.String()
}

// legend names the lines in their colours, and says once what dashes are.
func (p Picture) legend() string {
	var names []string
	dashed := ""
	for _, l := range slices.Backward(p.Lines) {
		if l.Dashed {
			dashed = "; dashed: " + l.Name
			continue
		}
		names = append(names, fmt.Sprintf(`<tspan fill="%s">%s</tspan>`, l.Colour, html.EscapeString(l.Name)))
	}
	return strings.Join(names, ", ") + html.EscapeString(dashed)
}

// steps are those that the axis of time may have.
var steps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second,
	80 * time.Second, 3 * time.Minute, 5 * time.Minute,
}

func (s scales) grid(b *strings.Builder) {
	for pods := range s.most + 1 {
		if pods%max(1, s.most/5) == 0 {
			fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%d</text><path d="M%d %.1fh%d" stroke="%s"/>`+"\n",
				left-8, s.y(pods)+4, pods, left, s.y(pods), plotWidth, gridColour)
		}
	}
	step := steps[len(steps)-1]
	for _, shorter := range slices.Backward(steps) {
		if s.total/shorter <= 8 {
			step = shorter
		}
	}
	for at := time.Duration(0); at <= s.total; at += step {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%.0f s</text>`+"\n", s.x(at), height-20, at.Seconds())
	}
}

func (s scales) line(b *strings.Builder, l Line) {
	if len(l.Samples) == 0 {
		return
	}
	dashes := ""
	if l.Dashed {
		dashes = ` stroke-dasharray="5 4"`
	}
	last := l.Value(l.Samples[0])
	fmt.Fprintf(b, `<path fill="none" stroke="%s" stroke-width="%.1f"%s d="M%.1f %.1f`, l.Colour, l.Width, dashes, s.x(l.Samples[0].At), s.y(last))
	for _, sample := range l.Samples {
		if v := l.Value(sample); v != last {
			fmt.Fprintf(b, "H%.1fV%.1f", s.x(sample.At), s.y(v))
			last = v
		}
	}
	fmt.Fprintf(b, "H%.1f\"/>\n", s.x(l.Samples[len(l.Samples)-1].At))
}
