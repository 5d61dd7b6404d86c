package main

import (
	"fmt"
	"html"
	"os"
	"strings"
)

// Sizes of the drawing, in pixels of its viewBox, and its width in characters.
const (
	lineHeight = 17
	charWidth  = 7.23 // of the monospaced fonts that are asked for, at 12 px
	margin     = 14
	bar        = 30 // with the three buttons
	columnsMax = 126
)

// pictureStyle colours a prompt, a title, a refusal and all else, on a light page and a dark one.
const pictureStyle = `<style>
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328; white-space: pre; }
.prompt { fill: #0550ae; font-weight: bold; } .title { fill: #57606a; } .refusal { fill: #cf222e; }
.back { fill: #f6f8fa; stroke: #d0d7de; } .button { fill: #d0d7de; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .prompt { fill: #79c0ff; } .title { fill: #9da7b3; } .refusal { fill: #ff7b72; }
.back { fill: #0d1117; stroke: #30363d; } .button { fill: #30363d; } }
</style>`

// picture is a terminal with lines of text as an SVG that needs nothing else. Lines are folded at
// spaces to columnsMax characters.
func picture(title string, lines []string) []byte {
	type text struct{ class, line string }
	var folded []text
	for _, line := range lines {
		for _, part := range fold(line, columnsMax) {
			folded = append(folded, text{class(line), part})
		}
	}
	width := 2*margin + charWidth*columnsMax
	height := bar + lineHeight*len(folded) + margin
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" role="img" aria-label="%s">`, width, height, html.EscapeString(title))
	fmt.Fprintf(&out, "%s\n<rect class=\"back\" x=\"0.5\" y=\"0.5\" width=\"%.0f\" height=\"%d\" rx=\"8\"/>\n", pictureStyle, width-1, height-1)
	for i := range 3 {
		fmt.Fprintf(&out, `<circle class="button" cx="%d" cy="16" r="5"/>`, 18+18*i)
	}
	out.WriteString("\n")
	for i, t := range folded {
		if t.line == "" {
			continue
		}
		fmt.Fprintf(&out, "<text%s xml:space=\"preserve\" x=\"%d\" y=\"%d\">%s</text>\n",
			t.class, margin, bar+lineHeight*i+12, html.EscapeString(t.line))
	}
	out.WriteString("</svg>\n")
	return []byte(out.String())
}

func class(line string) string {
	switch {
	case strings.HasPrefix(line, "$ "):
		return ` class="prompt"`
	case strings.HasPrefix(line, "APPLIED"):
		return ` class="title"`
	case strings.HasPrefix(line, "Error "):
		return ` class="refusal"`
	}
	return ""
}

// fold breaks a line at spaces to at most width characters; what is one word longer than that
// stays whole.
func fold(line string, width int) []string {
	var lines []string
	for len(line) > width {
		cut := strings.LastIndex(line[:width+1], " ")
		if strings.TrimSpace(line[:max(cut, 0)]) == "" {
			break
		}
		lines = append(lines, strings.TrimRight(line[:cut], " "))
		line = "    " + strings.TrimLeft(line[cut:], " ")
	}
	return append(lines, line)
}

// drawing collects what the picture of the README shows of the demo.
type drawing struct{ lines []string }

// expanded keeps an example beside the labels and the annotations that were stored for it: all
// that stands before the spec of its template.
func (d *drawing) expanded(file, applied, stored string) {
	head, _, _ := strings.Cut(stored, "\n    spec:\n")
	head = strings.Replace(head, "\n      creationTimestamp: null", "", 1)
	d.lines = append(d.lines, "$ kubectl apply -f "+file)
	d.lines = append(d.lines, strings.Split(strings.TrimRight(sideBySide(48, "APPLIED", applied, "STORED", head+"\n    spec: ..."), "\n"), "\n")...)
}

// refused keeps what kubectl said of an example.
func (d *drawing) refused(file, stderr string) {
	d.lines = append(d.lines, "", "$ kubectl apply -f "+file)
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(line, "Kubernetes default value is insecure") {
			d.lines = append(d.lines, line)
		}
	}
}

// write stores the picture; nothing is written without a path.
func (d *drawing) write(path string) error {
	if path == "" {
		return nil
	}
	return os.WriteFile(path, picture("make demo: a labelled manifest, what is stored for it, and a refusal", d.lines), 0o644)
}
