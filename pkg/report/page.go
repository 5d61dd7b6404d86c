// Package report writes what the commands found as text tables and as HTML: one file that
// fetches nothing, with a table behind every picture.
package report

import (
	_ "embed"
	"html/template"
	"io"
	"strconv"
)

//go:embed page/page.html
var pageHTML string

//go:embed page/style.css
var style string

//go:embed page/sort.js
var script string

var page = template.Must(template.New("page").Parse(pageHTML))

// Page is an HTML document.
type Page struct {
	Title string
	// Intro are paragraphs, Notes a list below them.
	Intro, Notes []string
	Sections     []Section
}

// Section is a part of a page: words, a picture, a table.
type Section struct {
	Title string
	Text  []string
	Chart *Chart
	Table *Table
}

// Table has columns and rows of as many cells.
type Table struct {
	Caption string
	Columns []Column
	Rows    [][]Cell
}

// Column is the head of one. Numbers stand on the right.
type Column struct {
	Name   string
	Number bool
}

// Cell is a text, or a number that is sorted by its value.
type Cell struct {
	Text   string
	Number bool
	Value  float64
}

// Text is a cell with words.
func Text(s string) Cell { return Cell{Text: s} }

// Number is a cell with a number of up to so many decimals.
func Number(v float64, decimals int) Cell {
	return Cell{Text: decimal(v, decimals), Number: true, Value: v}
}

// Whole is a cell with a whole number.
func Whole(n int64) Cell {
	return Cell{Text: strconv.FormatInt(n, 10), Number: true, Value: float64(n)}
}

// decimal is a number without zeros at its end.
func decimal(v float64, decimals int) string {
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if decimals > 0 {
		for s[len(s)-1] == '0' {
			s = s[:len(s)-1]
		}
		if s[len(s)-1] == '.' {
			s = s[:len(s)-1]
		}
	}
	if s == "-0" {
		return "0"
	}
	return s
}

// columns are heads of text; a name that begins with # is one of numbers.
func columns(names ...string) []Column {
	all := make([]Column, len(names))
	for i, n := range names {
		if n[0] == '#' {
			all[i] = Column{n[1:], true}
		} else {
			all[i] = Column{n, false}
		}
	}
	return all
}

// Write writes the page.
func (p *Page) Write(w io.Writer) error {
	return page.Execute(w, struct {
		*Page
		Style  template.CSS
		Script template.JS
	}{p, template.CSS(style), template.JS(script)})
}
