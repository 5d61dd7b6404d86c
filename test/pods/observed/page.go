package observed

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Page is one with tables that tests write. Each stands there between <!-- NAME --> and
// <!-- end -->. Its methods may be called from several goroutines.
type Page struct {
	// Headings of the tables, by name. The first cell of a row says which row it is.
	Headings map[string][]string
	// Machine is what stands where the page says on which machine it was observed.
	Machine string

	mu   sync.Mutex
	rows map[string]map[string][]string // by table and first cell
}

// Record notes a row of a table.
func (p *Page) Record(table string, row []string) error {
	if got, want := len(row), len(p.Headings[table]); got != want {
		return fmt.Errorf("a row of table %q has %d cells and not %d", table, got, want)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rows == nil {
		p.rows = map[string]map[string][]string{}
	}
	if p.rows[table] == nil {
		p.rows[table] = map[string][]string{}
	}
	p.rows[table][row[0]] = row
	return nil
}

var generated = regexp.MustCompile(`(?s)<!-- ([a-z]+) -->\n.*?<!-- end -->`)

// Write replaces the rows that were recorded in a file, and the list of pictures in the folder
// beside it. Other rows stay, so that several runs over parts of the tests write all of it.
func (p *Page) Write(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	replaced := generated.ReplaceAllStringFunc(string(text), func(block string) string {
		name := generated.FindStringSubmatch(block)[1]
		var body string
		switch {
		case name == "machine":
			body = p.Machine + "\n"
		case name == "pictures":
			body = pictures(strings.TrimSuffix(file, ".md"))
		case len(p.rows[name]) == 0:
			return block
		default:
			body = p.table(name, block)
		}
		return "<!-- " + name + " -->\n" + body + "<!-- end -->"
	})
	return os.WriteFile(file, []byte(replaced), 0o644)
}

// table has the rows that were recorded and the other ones that it had before.
func (p *Page) table(name, before string) string {
	headings, rows := p.Headings[name], maps.Clone(p.rows[name])
	for line := range strings.Lines(before) {
		cells := cells(line)
		if len(cells) == len(headings) && cells[0] != headings[0] && cells[0] != "---" && rows[cells[0]] == nil {
			rows[cells[0]] = cells
		}
	}
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(headings)
	line(slices.Repeat([]string{"---"}, len(headings)))
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		line(rows[key])
	}
	return b.String()
}

// cells of a line of a table; some may be empty.
func cells(line string) (list []string) {
	line, begins := strings.CutPrefix(strings.TrimSpace(line), "|")
	line, ends := strings.CutSuffix(line, "|")
	if !begins || !ends {
		return nil
	}
	for cell := range strings.SplitSeq(line, "|") {
		list = append(list, strings.TrimSpace(cell))
	}
	return list
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
