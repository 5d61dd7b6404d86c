package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/kubetorch/webhook/pkg/simulate"
)

// statistic is a figure of a simulation.
type statistic struct {
	name     string
	value    func(simulate.Simulation) float64
	decimals int
}

var rows = []statistic{
	{"peak pods", func(r simulate.Simulation) float64 { return float64(r.PeakPods) }, 0},
	{"pod-hours", func(r simulate.Simulation) float64 { return r.PodHours }, 2},
	{"GPU-hours", func(r simulate.Simulation) float64 { return r.GPUHours }, 2},
	{"pods started", func(r simulate.Simulation) float64 { return float64(r.PodStarts) }, 0},
	{"cold starts", func(r simulate.Simulation) float64 { return float64(r.ColdStarts) }, 0},
	{"requests", func(r simulate.Simulation) float64 { return float64(r.Requests) }, 0},
	{"requests that waited", func(r simulate.Simulation) float64 { return float64(r.WaitedRequests) }, 0},
	{"seconds waited, all requests", func(r simulate.Simulation) float64 { return r.WaitSeconds }, 2},
	{"longest wait of 99 %, seconds", func(r simulate.Simulation) float64 { return r.WaitP99 }, 2},
	{"longest wait, seconds", func(r simulate.Simulation) float64 { return r.WaitMax }, 2},
	{"requests unserved at the end", func(r simulate.Simulation) float64 { return float64(r.Unserved) }, 0},
	{"minutes in panic mode", panicMinutes, 1},
	{"pod-hours cut off by max-scale", func(r simulate.Simulation) float64 {
		if r.CutOff == nil {
			return 0
		}
		return r.CutOff.PodHours
	}, 2},
}

func panicMinutes(r simulate.Simulation) float64 {
	sum := 0.
	for _, s := range r.PanicSpans {
		sum += s.To - s.From
	}
	return sum / 60
}

// label tells results apart: by the workload, and by the file where two have the same.
func label(results []simulate.Simulation, i int) string {
	for j, r := range results {
		if j != i && r.Workload == results[i].Workload {
			return results[i].Workload + " (" + results[i].Manifest + ")"
		}
	}
	return results[i].Workload
}

// remarks word what kept a workload from pods, and what it is beyond.
func remarks(r simulate.Simulation) []string {
	var all []string
	for _, reason := range r.Refused {
		all = append(all, "refused as it is written: "+reason)
	}
	if len(r.Lowered) > 0 {
		var with []string
		for _, name := range slices.Sorted(maps.Keys(r.Lowered)) {
			with = append(with, name+" "+r.Lowered[name])
		}
		all = append(all, "simulated with "+strings.Join(with, ", ")+", which fits")
	}
	if c := r.CutOff; c != nil {
		from := ""
		if c.From != "" {
			from = " (" + c.From + ")"
		}
		missing := "the load itself needs no more, what waited did"
		if c.MostPods > 0 {
			missing = fmt.Sprintf("the load needs up to %d more, %s pod-hours", c.MostPods, decimal(c.PodHours, 2))
		}
		all = append(all, fmt.Sprintf("max-scale %d%s kept the autoscaler from more pods for %s s; %s", c.MaxScale, from, decimal(c.Seconds, 0), missing))
	}
	for _, b := range r.Beyond {
		if b.Seconds == 0 {
			all = append(all, fmt.Sprintf("its pods stay within the %d that %s allows, which its maximum is beyond", b.Pods, b.From))
			continue
		}
		all = append(all, fmt.Sprintf("beyond %s, which allows %d pods, for %s s (%s %% of the time), by up to %d pods, %s pod-hours",
			b.From, b.Pods, decimal(b.Seconds, 0), decimal(100*b.Seconds/max(r.Seconds, 1), 0), b.MostPods, decimal(b.PodHours, 2)))
	}
	return all
}

// SimulationTable writes results as a table with a column for each workload.
func SimulationTable(w io.Writer, results []simulate.Simulation, notes []string) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for i := range results {
		fmt.Fprintf(t, "\t%s", label(results, i))
	}
	if len(results) == 2 {
		fmt.Fprint(t, "\tDIFFERENCE")
	}
	fmt.Fprintln(t)
	for _, r := range rows {
		fmt.Fprint(t, r.name)
		for _, x := range results {
			fmt.Fprintf(t, "\t%s", decimal(r.value(x), r.decimals))
		}
		if len(results) == 2 {
			fmt.Fprintf(t, "\t%s", difference(r, results))
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i, r := range results {
		for _, text := range remarks(r) {
			fmt.Fprintf(w, "\n%s: %s\n", label(results, i), text)
		}
	}
	fmt.Fprintln(w)
	for _, n := range notes {
		fmt.Fprintln(w, n)
	}
	return suggestions(w, results)
}

// suggestions writes them below the table.
func suggestions(w io.Writer, results []simulate.Simulation) error {
	for i, r := range results {
		x := r.Suggestion
		if x == nil || x.None != "" {
			continue
		}
		fmt.Fprintf(w, "\nSuggestion for %s: %s.\n", label(results, i), suggested(r))
		if len(x.Changes) == 0 {
			continue
		}
		fmt.Fprintf(w, "In %s:\n", x.At)
		t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
		for _, key := range slices.Sorted(maps.Keys(x.Changes)) {
			fmt.Fprintf(t, "  %s:\t%q\n", key, x.Changes[key])
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// suggested words what comes of a suggestion.
func suggested(r simulate.Simulation) string {
	x := r.Suggestion
	unit, was, is := "GPU-hours", x.Before.GPUHours, x.After.GPUHours
	if r.GPUsPerPod == 0 {
		unit, was, is = "pod-hours", x.Before.PodHours, x.After.PodHours
	}
	switch {
	case x.None != "":
		return x.None
	case len(x.Changes) == 0:
		return fmt.Sprintf("nothing needs to be changed; 99 %% of all requests wait up to %gs (limit %gs)", x.Before.WaitP99, x.Limit)
	}
	return fmt.Sprintf("%.2f %s instead of %.2f; 99 %% of all requests wait up to %gs (limit %gs), before %gs", is, unit, was, x.After.WaitP99, x.Limit, x.Before.WaitP99)
}

// suggestionSection is that of one workload.
func suggestionSection(name string, r simulate.Simulation) Section {
	s := Section{Title: "Suggestion for " + name, Text: []string{suggested(r) + "."}}
	if x := r.Suggestion; len(x.Changes) > 0 {
		s.Table = &Table{Caption: "In " + x.At, Columns: columns("key", "value")}
		for _, key := range slices.Sorted(maps.Keys(x.Changes)) {
			s.Table.Rows = append(s.Table.Rows, []Cell{Text(key), Text(x.Changes[key])})
		}
	}
	return s
}

// difference of the second result from the first.
func difference(r statistic, results []simulate.Simulation) string {
	a, b := r.value(results[0]), r.value(results[1])
	text := decimal(b-a, r.decimals)
	if b > a {
		text = "+" + text
	}
	if a > 0 && a != b {
		text += " (" + strconv.FormatFloat((b-a)/a*100, 'f', 0, 64) + " %)"
	}
	return text
}

// Simulation writes results as HTML.
func Simulation(w io.Writer, results []simulate.Simulation, notes []string) error {
	p := Page{Title: "What manifests will do under a load", Notes: notes,
		Intro: []string{"Simulated with the code of Knative's own autoscaler. Times are hours:minutes from the moment that the revision was ready."}}
	overview := &Table{Caption: "Figures of each workload", Columns: columns("figure")}
	for i := range results {
		overview.Columns = append(overview.Columns, Column{label(results, i), true})
	}
	for _, r := range rows {
		cells := []Cell{Text(r.name)}
		for _, x := range results {
			cells = append(cells, Number(r.value(x), r.decimals))
		}
		overview.Rows = append(overview.Rows, cells)
	}
	section := Section{Title: "Overview", Table: overview}
	for i, r := range results {
		for _, text := range remarks(r) {
			section.Text = append(section.Text, label(results, i)+": "+text+".")
		}
	}
	p.Sections = append(p.Sections, section)
	for i, r := range results {
		if r.Suggestion != nil {
			p.Sections = append(p.Sections, suggestionSection(label(results, i), r))
		}
	}
	p.Sections = append(p.Sections, together(results))
	for i, r := range results {
		p.Sections = append(p.Sections, alone(label(results, i), r)...)
	}
	return p.Write(w)
}

// together draws the pods of all workloads.
func together(results []simulate.Simulation) Section {
	c := lineChart{caption: "Pods over time", unit: "pods"}
	t := &Table{Caption: "Pods over time", Columns: columns("#second")}
	for i, r := range results {
		c.seconds, c.every = max(c.seconds, r.Seconds), every(r)
		c.lines = append(c.lines, Line{label(results, i), series(r, func(p simulate.Point) float64 { return float64(p.Pods) })})
		t.Columns = append(t.Columns, Column{label(results, i), true})
	}
	for k := range results[0].Series {
		cells := []Cell{Number(results[0].Series[k].Time, 0)}
		for _, r := range results {
			cells = append(cells, Whole(int64(r.Series[k].Pods)))
		}
		t.Rows = append(t.Rows, cells)
	}
	return Section{Title: "Pods over time", Chart: c.chart(), Table: t}
}

// alone draws what one workload does.
func alone(name string, r simulate.Simulation) []Section {
	podsChart := lineChart{caption: "Pods of " + name, unit: "pods", seconds: r.Seconds, every: every(r), lines: []Line{
		{"pods, starting ones included", series(r, func(p simulate.Point) float64 { return float64(p.Pods) })},
		{"ready", series(r, func(p simulate.Point) float64 { return p.Ready })},
	}}
	if r.CutOff != nil {
		podsChart.limit = float64(r.CutOff.MaxScale)
	}
	for _, s := range r.PanicSpans {
		podsChart.shaded = append(podsChart.shaded, [2]float64{s.From, s.To})
	}
	load := lineChart{caption: "Requests of " + name, unit: "requests", seconds: r.Seconds, every: every(r), lines: []Line{
		{"coming, per second", series(r, func(p simulate.Point) float64 { return p.Requests })},
		{"served or waiting, at a time", series(r, func(p simulate.Point) float64 { return p.Concurrency })},
		{"waiting, at a time", series(r, func(p simulate.Point) float64 { return float64(p.Waiting) })},
	}}
	podRows := &Table{Caption: "Pods of " + name, Columns: columns("#second", "#desired", "#pods", "#ready", "#ending", "panic mode")}
	loadRows := &Table{Caption: "Requests of " + name, Columns: columns("#second", "#per second", "#at a time", "#waiting")}
	for _, p := range r.Series {
		panicked := "no"
		if p.Panic {
			panicked = "yes"
		}
		podRows.Rows = append(podRows.Rows, []Cell{Number(p.Time, 0), Whole(int64(p.Desired)), Whole(int64(p.Pods)), Number(p.Ready, 2), Whole(int64(p.Ending)), Text(panicked)})
		loadRows.Rows = append(loadRows.Rows, []Cell{Number(p.Time, 0), Number(p.Requests, 2), Number(p.Concurrency, 2), Whole(p.Waiting)})
	}
	return []Section{{Title: "Pods of " + name, Chart: podsChart.chart(), Table: podRows}, {Title: "Requests of " + name, Chart: load.chart(), Table: loadRows}}
}

func series(r simulate.Simulation, value func(simulate.Point) float64) []float64 {
	values := make([]float64, len(r.Series))
	for i, p := range r.Series {
		values[i] = value(p)
	}
	return values
}

// every is how many seconds a point of the series stands for.
func every(r simulate.Simulation) float64 {
	if len(r.Series) < 2 {
		return r.Seconds
	}
	return r.Series[1].Time - r.Series[0].Time
}
