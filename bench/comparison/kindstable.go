package main

import (
	"fmt"
	"os"
	"strings"
)

// kindsTable formats what became of every kind, and of the mixed rounds, in Markdown.
func kindsTable(entrants []*kindsEntrant, o options) string {
	var out strings.Builder
	fmt.Fprintf(&out, "One manifest at a time, of %d pods with 8 GPUs each, %d GPUs in all, with nothing else there; %d are allowed.\n"+
		"Where it was refused, and the GPUs of the pods that were there in the end.\n\n", budget/8+1, budget+8, budget)
	row := func(cells ...string) { fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | ")) }
	head, rule := []string{""}, []string{"---"}
	for _, e := range entrants {
		head, rule = append(head, e.Name()), append(rule, "---")
	}
	row(head...)
	fmt.Fprintf(&out, "|%s|\n", strings.Join(rule, "|"))
	for i := range entrants[0].outcomes {
		cells := []string{entrants[0].outcomes[i].kind}
		for _, e := range entrants {
			cells = append(cells, fmt.Sprintf("%s, %d", e.outcomes[i].refused, e.outcomes[i].live))
		}
		row(cells...)
	}
	demand := 0
	for _, c := range randomMix(o.seed, o.mix) {
		demand += c.total()
	}
	fmt.Fprintf(&out, "\n%d objects of these kinds, CronJobs apart, in %d namespaces, %d at a time, ask for %d GPUs; %d are allowed.\n"+
		"Median (lowest to highest) of %d rounds.\n\n", o.mix, len(teams), o.clients, demand, budget, o.kindRounds)
	out.WriteString("| | version | objects admitted | refused at apply | failed | GPUs that the admitted ask for | GPUs of pods in the end | at most | admitted that lack pods |\n" +
		"|---|---|---|---|---|---|---|---|---|\n")
	for _, e := range entrants {
		column := func(value func(mixed) int) string {
			values := make([]float64, len(e.rounds))
			for i, m := range e.rounds {
				values[i] = float64(value(m))
			}
			return spread("%.0f", values)
		}
		row(e.Name(), e.version, column(func(m mixed) int { return m.admitted }), column(func(m mixed) int { return m.refused }),
			column(func(m mixed) int { return m.failed }), column(func(m mixed) int { return m.asked }),
			column(func(m mixed) int { return m.live }), column(func(m mixed) int { return m.most }), column(func(m mixed) int { return m.short }))
	}
	return out.String()
}

// replace puts a table into a page, between the comments that name it.
func replace(file, name, table string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := fmt.Sprintf("<!-- %s: written by make compare -->\n", name), fmt.Sprintf("<!-- end of %s -->", name)
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ends := strings.Cut(rest, end)
	if !found || !ends {
		return fmt.Errorf("%s has no part between %q and %q", file, strings.TrimSpace(begin), end)
	}
	return os.WriteFile(file, []byte(before+begin+"\n"+table+"\n"+end+after), 0o644)
}
