package main

import (
	"os"
	"path/filepath"
	"strings"
)

// written is the page as it was written before. Of parts without results here, which are not
// committed, it keeps what it says of them.
type written string

func readPage(docs string) (written, error) {
	text, err := os.ReadFile(filepath.Join(docs, "benchmarks.md"))
	if os.IsNotExist(err) {
		return "", nil
	}
	return written(text), err
}

// section is that of a part; empty if it has none.
func (w written) section(name string) (string, error) {
	template, err := templates.ReadFile("parts/" + name + ".md.tmpl")
	if err != nil {
		return "", err
	}
	heading, _, _ := strings.Cut(string(template), "\n")
	_, rest, found := strings.Cut(string(w), "\n"+heading+"\n")
	if !found {
		return "", nil
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	return heading + "\n" + strings.TrimRight(body, "\n") + "\n", nil
}

// row is the row of a table that begins with a cell; empty if there is none.
func (w written) row(cell string) string {
	_, rest, found := strings.Cut(string(w), "\n| "+cell+" |")
	if !found {
		return ""
	}
	row, _, _ := strings.Cut(rest, "\n")
	return "| " + cell + " |" + row
}
