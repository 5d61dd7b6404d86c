package main

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/template"

	"golang.org/x/perf/benchmath"
)

//go:embed parts
var templates embed.FS

// render writes benchmarks.md and the plots from the results.
func render(from, docs string) error {
	if err := os.MkdirAll(filepath.Join(docs, "benchmarks"), 0o755); err != nil {
		return err
	}
	var sections bytes.Buffer
	machine := map[string]string{}
	for _, p := range parts {
		r, err := read(filepath.Join(from, p.name+".txt"))
		if err != nil {
			return err
		}
		if len(r.lines) == 0 {
			continue
		}
		for key, value := range r.config {
			if key != "pkg" {
				machine[key] = value
			}
		}
		if err := page(&sections, p.name, r, docs, nil); err != nil {
			return err
		}
	}
	var whole bytes.Buffer
	if err := page(&whole, "page", &results{}, docs, map[string]any{"Machine": machine, "CPUs": runtime.NumCPU(), "Go": runtime.Version(), "Sections": sections.String()}); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, "benchmarks.md"), whole.Bytes(), 0o644)
}

func page(out *bytes.Buffer, name string, r *results, docs string, data any) error {
	functions := template.FuncMap{
		"table": r.table,
		"ratio": r.ratio,
		"plot": func(file, title, unit, groups, bars string) (string, error) {
			svg := r.plot(title, unit, groups, bars)
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
// another.
func (r *results) table(unit, rows, columns string) string {
	var b strings.Builder
	names := r.values(unit, columns)
	fmt.Fprintf(&b, "| %s |%s\n|---|%s", rows, " "+strings.Join(names, " | ")+" |", strings.Repeat("---:|", len(names)))
	for _, row := range r.values(unit, rows) {
		fmt.Fprintf(&b, "\n| %s |", row)
		for _, column := range names {
			cell := "-"
			if s, some := r.summary(unit, rows+"="+row, columns+"="+column); some {
				cell = text(s.Center, unit)
				if spread := around(s); spread != "" {
					cell += " " + spread
				}
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
	}
	return b.String()
}

// around is the confidence interval where there are samples enough for one.
func around(s benchmath.Summary) string {
	if text := s.PctRangeString(); text != "∞" && text != "0%" {
		return "± " + text
	}
	return ""
}

// ratio is the quotient of the medians of two engines in one case.
func (r *results) ratio(unit, where, of, to string) (string, error) {
	a, has := r.summary(unit, where, of)
	b, hasToo := r.summary(unit, where, to)
	if !has || !hasToo || b.Center == 0 {
		return "", fmt.Errorf("no %s of %s for %s and %s", unit, where, of, to)
	}
	return fmt.Sprintf("%.2f", a.Center/b.Center), nil
}
