package main

import (
	"fmt"
	"slices"
	"strings"
)

// table formats the results of all entrants in Markdown.
func table(entrants []*entrant, claims []claim, clients int) string {
	demand := 0
	for _, c := range claims {
		demand += c.total()
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%d creates, %d at a time, ask for %d GPUs; the rule allows %d. Median (lowest to highest).\n\n",
		len(claims), clients, demand, budget)
	out.WriteString("| | version | rounds | GPUs admitted | Services admitted | refused | failed | seconds |\n|---|---|---|---|---|---|---|---|\n")
	for _, e := range entrants {
		column := func(format string, value func(result) float64) string {
			values := make([]float64, len(e.results))
			for i, r := range e.results {
				values[i] = value(r)
			}
			return spread(format, values)
		}
		fmt.Fprintf(&out, "| %s | %s | %d | %s | %s | %s | %s | %s |\n", e.Name(), e.version, len(e.results),
			column("%.0f", func(r result) float64 { return float64(r.admitted) }),
			column("%.0f", func(r result) float64 { return float64(r.services) }),
			column("%.0f", func(r result) float64 { return float64(r.refused) }),
			column("%.0f", func(r result) float64 { return float64(r.failed) }),
			column("%.1f", func(r result) float64 { return r.seconds }))
	}
	return out.String()
}

// spread formats the median and the range of at least one value. Of an even number of values
// it takes the lower of the middle two, so that it is a value that was seen.
func spread(format string, values []float64) string {
	sorted := slices.Sorted(slices.Values(values))
	median, low, high := sorted[(len(sorted)-1)/2], sorted[0], sorted[len(sorted)-1]
	if low == high {
		return fmt.Sprintf(format, low)
	}
	return fmt.Sprintf(format+" ("+format+" to "+format+")", median, low, high)
}
