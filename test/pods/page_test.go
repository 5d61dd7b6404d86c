package pods

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubetorch/webhook/test/controlplane"
)

// Tables of docs/scaling.md. Each stands there between <!-- NAME --> and <!-- end -->.
const (
	steadyTable = "steady"
	shrinkTable = "shrink"
	otherTable  = "other"
	budgetTable = "budget"
	adoptTable  = "adopt"
)

var headings = map[string][]string{
	steadyTable: {
		"example", "parameters", "load", "pods expected", "pods at the end", "at most", "requests that a pod held at most",
		"answers", "median and 99th percentile",
	},
	shrinkTable: {
		"case", "as the guide writes it", "pods", "the first went after", "the last went after", "pods then", "why then",
		"first request to no pod", "answers",
	},
	otherTable:  {"case", "observed"},
	budgetTable: {"budget", "churn", "GPUs in use at most", "status.overlap at most", "programs that used a GPU", "admitted, refused, failed for want of the webhook"},
	adoptTable:  {"step", "observed"},
}

// observed are the rows of all tables, by table and first cell.
var observed = struct {
	sync.Mutex
	rows map[string]map[string][]string
}{rows: map[string]map[string][]string{}}

// record notes a row of a table, unless the test has failed. It goes after what is asserted.
func record(t *testing.T, table string, row []string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "observed: %s\n", strings.Join(row, " | "))
	if t.Failed() {
		return
	}
	observed.Lock()
	defer observed.Unlock()
	if observed.rows[table] == nil {
		observed.rows[table] = map[string][]string{}
	}
	observed.rows[table][row[0]] = row
}

var generated = regexp.MustCompile(`(?s)<!-- ([a-z]+) -->\n.*?<!-- end -->`)

// writePage replaces the rows of a page's tables that were recorded.
func writePage(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	observed.Lock()
	defer observed.Unlock()
	replaced := generated.ReplaceAllStringFunc(string(text), func(block string) string {
		name := generated.FindStringSubmatch(block)[1]
		body := markdown(name, block)
		switch {
		case name == "machine":
			body = fmt.Sprintf("%d cores, shared with other work; %s.\n", runtime.NumCPU(), time.Now().UTC().Format(time.DateOnly))
		case name == "pictures":
			body = pictures(strings.TrimSuffix(file, ".md"))
		case body == "":
			return block
		}
		return "<!-- " + name + " -->\n" + body + "<!-- end -->"
	})
	return os.WriteFile(file, []byte(replaced), 0o644)
}

// pictures are links to those of a folder beside the page.
func pictures(dir string) string {
	files, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, file := range files {
		name := filepath.Base(file)
		fmt.Fprintf(&b, "![%s](%s/%s)\n", strings.ReplaceAll(strings.TrimSuffix(name, ".svg"), "-", " "), filepath.Base(dir), name)
	}
	return b.String()
}

// markdown is a table with the rows that were recorded and the other ones that it had, or ""
// if nothing was recorded.
func markdown(name, before string) string {
	if len(observed.rows[name]) == 0 {
		return ""
	}
	rows := maps.Clone(observed.rows[name])
	for line := range strings.Lines(before) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if len(cells) == len(headings[name]) && cells[0] != headings[name][0] && cells[0] != "---" && rows[cells[0]] == nil {
			rows[cells[0]] = cells
		}
	}
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(headings[name])
	line(slices.Repeat([]string{"---"}, len(headings[name])))
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		line(rows[key])
	}
	return b.String()
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// drawIf draws how many pods there were, for the page, if that is to be written and the test
// has not failed.
func drawIf(t *testing.T, name string, samples []sample, zero, begin, end time.Time, what string) {
	t.Helper()
	if !*page || t.Failed() {
		return
	}
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		t.Error(err)
		return
	}
	file := filepath.Join(root, "docs", "scaling", strings.Trim(notInNames.ReplaceAllString(strings.ToLower(name), "-"), "-")+".svg")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Error(err)
		return
	}
	text := draw(name, what, samples, begin.Sub(zero), end.Sub(zero))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Error(err)
	}
}

// Of a picture, in pixels.
const (
	width, height       = 640, 240
	left, right         = 50, 20
	top, bottom         = 50, 40
	plotWidth           = width - left - right
	plotHeight          = height - top - bottom
	axis, text          = "#57606a", "#24292f"
	loadColour          = "#dbeafe"
	readyColour, living = "#0969da", "#bf8700"
)

// draw is a picture of ready and live pods over time, with the time of the load behind them.
func draw(name, what string, samples []sample, begin, end time.Duration) string {
	if len(samples) == 0 {
		return ""
	}
	total, most := samples[len(samples)-1].at, 1
	for _, s := range samples {
		most = max(most, s.Live)
	}
	x := func(at time.Duration) float64 { return left + plotWidth*at.Seconds()/total.Seconds() }
	y := func(pods int) float64 { return top + plotHeight*(1-float64(pods)/float64(most+1)) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="%s">`+"\n", width, height, text)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", x(begin), top, max(x(end)-x(begin), 0), plotHeight, loadColour)
	fmt.Fprintf(&b, `<text x="%d" y="20" font-size="14" font-weight="bold">%s</text>`+"\n", left, name)
	fmt.Fprintf(&b, `<text x="%d" y="38">pods over time; <tspan fill="%s">ready</tspan>, `+
		`<tspan fill="%s">not told to end</tspan>; blue ground: %s</text>`+"\n", left, readyColour, living, what)
	for pods := range most + 1 {
		if pods%max(1, most/5) == 0 {
			fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%d</text><path d="M%d %.1fh%d" stroke="#d0d7de"/>`+"\n",
				left-8, y(pods)+4, pods, left, y(pods), plotWidth)
		}
	}
	step := 10 * time.Second
	for total/step > 8 {
		step *= 2
	}
	for at := time.Duration(0); at <= total; at += step {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%.0f s</text>`+"\n", x(at), height-20, at.Seconds())
	}
	line := func(colour string, width float64, value func(sample) int) {
		fmt.Fprintf(&b, `<path fill="none" stroke="%s" stroke-width="%.1f" d="M%.1f %.1f`, colour, width, x(samples[0].at), y(value(samples[0])))
		last := value(samples[0])
		for _, s := range samples {
			if v := value(s); v != last {
				fmt.Fprintf(&b, "H%.1fV%.1f", x(s.at), y(v))
				last = v
			}
		}
		fmt.Fprintf(&b, "H%.1f\"/>\n", x(total))
	}
	line(living, 1.5, func(s sample) int { return s.Live })
	line(readyColour, 2.5, func(s sample) int { return s.Ready })
	fmt.Fprintf(&b, `<path d="M%d %dv%dh%d" fill="none" stroke="%s"/>`+"\n</svg>\n", left, top, plotHeight, plotWidth, axis)
	return b.String()
}
