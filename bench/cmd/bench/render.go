package main

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"golang.org/x/perf/benchmath"
)

//go:embed parts
var templates embed.FS

// render writes benchmarks.md and the plots from the results. Parts that have none stay as they are.
func render(from, docs string) error {
	if err := os.MkdirAll(filepath.Join(docs, "benchmarks"), 0o755); err != nil {
		return err
	}
	before, err := readPage(docs)
	if err != nil {
		return err
	}
	all := map[string]*results{}
	kept := map[string]string{}
	var have []string
	for _, p := range parts {
		r, err := read(filepath.Join(from, p.name+".txt"))
		if err != nil {
			return err
		}
		if len(r.lines) > 0 {
			all[p.name] = r
		}
		section, err := before.section(p.name)
		if err != nil {
			return err
		}
		if all[p.name] != nil || section != "" {
			have = append(have, p.name)
		}
		kept[p.name] = section
	}
	if len(have) == 0 {
		return fmt.Errorf("there are no results in %s", from)
	}
	var sections bytes.Buffer
	for _, name := range have {
		if all[name] == nil {
			sections.WriteString(kept[name])
		} else if err := page(&sections, name, all[name], docs, all[name].config); err != nil {
			return err
		}
		sections.WriteByte('\n')
	}
	var whole bytes.Buffer
	data := map[string]any{"Reach": reach(all, before), "Conditions": conditionsTable(have, all, before), "Sections": strings.TrimSpace(sections.String())}
	if err := page(&whole, "page", &results{}, docs, data); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, "benchmarks.md"), whole.Bytes(), 0o644)
}

// conditionsTable says of each part when and on what it was measured.
func conditionsTable(have []string, all map[string]*results, before written) string {
	var b strings.Builder
	b.WriteString("| part | commit | date | machine | count, time |\n|---|---|---|---|---|")
	for _, name := range have {
		if all[name] == nil {
			b.WriteString("\n" + before.row("`"+name+"`"))
			continue
		}
		c := all[name].config
		fmt.Fprintf(&b, "\n| `%s` | %s | %s | %s CPUs, %s, %s/%s, %s | %s, %s |", name, c["commit"], c["date"],
			c["cpus"], c["cpu"], c["goos"], c["goarch"], c["go"], c["count"], c["time"])
	}
	return b.String()
}

func page(out *bytes.Buffer, name string, r *results, docs string, data any) error {
	functions := template.FuncMap{
		"table":   r.table,
		"list":    r.list,
		"loads":   func() []string { return r.values("step-ms/create", "clients") },
		"keys":    func(key string) []string { return r.values("p50-ms", key) },
		"clients": func() []string { return r.values("p50-us", "clients") },
		"reviews": func() []string { return r.values("cpu-s/10k", "review") },
		"times":   r.times,
		"plot": func(file, title, unit, groups, bars string, where ...string) (string, error) {
			svg := r.where(where).plot(title, unit, groups, bars)
			return fmt.Sprintf("![%s](benchmarks/%s)", title, file), os.WriteFile(filepath.Join(docs, "benchmarks", file), svg, 0o644)
		},
	}
	file := name + ".md.tmpl"
	t, err := template.New(file).Funcs(functions).ParseFS(templates, "parts/"+file)
	if err != nil {
		return err
	}
	return t.Execute(out, data)
}

// table is a Markdown table of medians: a row per value of one key, a column per value of
// another, of those results that match all of where.
func (r *results) table(unit, rows, columns string, where ...string) string {
	r = r.where(where)
	return grid(rows, r.values(unit, rows), r.values(unit, columns), func(row, column string) string {
		return r.cell(unit, rows+"="+row, columns+"="+column)
	})
}

// times is like table, but of quotients to what matches base.
func (r *results) times(unit, rows, columns, base string, where ...string) string {
	r = r.where(where)
	return grid(rows, r.values(unit, rows), r.values(unit, columns), func(row, column string) string {
		value, some := r.quotient(unit, columns+"="+column, base, rows+"="+row)
		if !some {
			return none
		}
		return short(value)
	})
}

// list is a Markdown table of medians: a row per value of one key, a column per unit, of
// those results that match all of where.
func (r *results) list(rows, units string, where ...string) string {
	r = r.where(where)
	names := strings.Split(units, ",")
	var all []string
	for _, unit := range names {
		for _, row := range r.values(unit, rows) {
			if !slices.Contains(all, row) {
				all = append(all, row)
			}
		}
	}
	return grid(rows, all, names, func(row, unit string) string { return r.cell(unit, rows+"="+row) })
}

// none stands for a value that there is not.
const none = "-"

// grid is a Markdown table without the rows that have no value.
func grid(corner string, rows, columns []string, cell func(row, column string) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s |\n|---|%s", corner, strings.Join(columns, " | "), strings.Repeat("---:|", len(columns)))
	for _, row := range rows {
		var cells []string
		empty := true
		for _, column := range columns {
			cells = append(cells, cell(row, column))
			empty = empty && cells[len(cells)-1] == none
		}
		if !empty {
			fmt.Fprintf(&b, "\n| %s | %s |", row, strings.Join(cells, " | "))
		}
	}
	return b.String()
}

func (r *results) cell(unit string, match ...string) string {
	s, some := r.summary(unit, match...)
	if !some {
		return none
	}
	return strings.TrimSpace(text(s.Center, unit) + " " + around(s))
}

// around is the confidence interval where there are samples enough for one.
func around(s benchmath.Summary) string {
	if text := s.PctRangeString(); text != "∞" && text != "0%" {
		return "± " + text
	}
	return ""
}

// quotient is that of the medians of two, in those results that match all of where.
func (r *results) quotient(unit, of, to string, where ...string) (float64, bool) {
	a, has := r.where(where).summary(unit, of)
	b, hasToo := r.where(where).summary(unit, to)
	if !has || !hasToo || b.Center == 0 {
		return 0, false
	}
	return a.Center / b.Center, true
}
