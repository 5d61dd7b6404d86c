package offline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	yamlv3 "go.yaml.in/yaml/v3"
)

// problem is what is wrong with a document, at a line of it.
type problem struct {
	line int
	text string
}

// sayAt words an error of the parser about a document whose text starts at a line of its
// file: every mistake by itself.
func sayAt(err error, name string, raw []byte, start int) []error {
	problems := withoutJSON(raw)
	if len(problems) == 0 || !goWords.MatchString(err.Error()) {
		problems = append(problems, worded(err, name, raw)...)
	}
	slices.SortStableFunc(problems, func(a, b problem) int { return cmp.Compare(a.line, b.line) })
	said := make([]error, len(problems))
	for i, p := range problems {
		said[i] = fmt.Errorf("%s: line %d: %s", name, start+p.line-1, p.text)
	}
	return said
}

// goWords is how the parser speaks of what JSON has no words for.
var goWords = regexp.MustCompile(`(invalid|unsupported) map key|unsupported value: `)

// withoutJSON are the values of a document that is well-formed YAML for which JSON, and so
// Kubernetes, has no words.
func withoutJSON(raw []byte) []problem {
	var doc yamlv3.Node
	if yamlv3.Unmarshal(raw, &doc) != nil {
		return nil
	}
	var problems []problem
	var walk func(n *yamlv3.Node)
	walk = func(n *yamlv3.Node) {
		if n.Kind == yamlv3.ScalarNode && n.Tag == "!!float" && notFinite(n.Value) {
			problems = append(problems, problem{n.Line, n.Value + " is no number that an object can hold; put it in quotes if it is text"})
		}
		for i, child := range n.Content {
			if n.Kind == yamlv3.MappingNode && i%2 == 0 {
				if text := keyProblem(child); text != "" {
					problems = append(problems, problem{child.Line, text})
				}
				continue
			}
			walk(child)
		}
	}
	walk(&doc)
	return problems
}

func notFinite(text string) bool {
	text = strings.ToLower(strings.TrimLeft(text, "+-"))
	if text == ".inf" || text == ".nan" {
		return true
	}
	f, err := strconv.ParseFloat(text, 64)
	return err != nil && math.IsInf(f, 0)
}

func keyProblem(key *yamlv3.Node) string {
	const must = "; a key must be text, in quotes if it looks like something else"
	switch {
	case key.Kind == yamlv3.SequenceNode:
		return "a list is the key of an object" + must
	case key.Kind == yamlv3.MappingNode:
		return "an object is the key of an object" + must + ` ({{ x }} of a template belongs in quotes)`
	case key.Kind == yamlv3.ScalarNode && key.Tag == "!!null":
		return "null is the key of an object" + must
	}
	return ""
}

var (
	lineNumber = regexp.MustCompile(`line (\d+): `)
	twice      = regexp.MustCompile(`(?:mapping )?key (".*?") already (?:set in map|defined.*)`)
	noAnchor   = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	ownAnchor  = regexp.MustCompile(`^anchor '(.*)' value contains itself$`)
	wrongTag   = regexp.MustCompile("^cannot decode !!\\w+ `(.*)` as an? (!!\\w+)$")
)

// worded says what a parser means.
func worded(err error, name string, raw []byte) []problem {
	if i := invalidText(raw); i >= 0 {
		return []problem{{lineAt(raw, i), "is not UTF-8 text; save the file as UTF-8"}}
	}
	if isJSON(name, raw) {
		if p, ok := wordedJSON(raw); ok {
			return []problem{p}
		}
	}
	text := err.Error()
	for _, noise := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors:\n  "} {
		text = strings.ReplaceAll(text, noise, "")
	}
	if goWords.MatchString(text) {
		return []problem{{1, "has a key that is no text, or a number that is infinite"}}
	}
	var problems []problem
	for part := range strings.SplitSeq(text, "\n") {
		p := problem{line: 1, text: strings.TrimSpace(part)}
		if found := lineNumber.FindStringSubmatch(p.text); found != nil {
			p.line, _ = strconv.Atoi(found[1])
			p.text = strings.Replace(p.text, found[0], "", 1)
		}
		problems = append(problems, wordedYAML(p, raw))
	}
	return problems
}

func invalidText(raw []byte) int {
	for i := 0; i < len(raw); {
		r, size := utf8.DecodeRune(raw[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// lineAt is the line of a text at which a byte stands.
func lineAt(text []byte, i int) int { return 1 + bytes.Count(text[:i], []byte("\n")) }

// yamlWords say what a message of the YAML parser means to who wrote the file.
var yamlWords = map[string]string{
	"mapping values are not allowed in this context":               "has a ':' where no key may stand; put the value in quotes, or indent the line as those beside it",
	"did not find expected key":                                    "is not indented as the keys that it belongs to, or a brace, bracket or quote above is not closed",
	"did not find expected '-' indicator":                          "stands among the entries of a list and does not begin with '- '; indent it as what it belongs to",
	"did not find expected ',' or '}'":                             "the object in braces needs a ',' or a '}' here",
	"did not find expected ',' or ']'":                             "the list in brackets needs a ',' or a ']' here",
	"did not find expected node content":                           "a value is missing here",
	"could not find expected ':'":                                  "is no key with a ':' behind it; indent it if it is part of the value above",
	"found unexpected end of stream":                               "the text ends within quotes: a quote that was opened above is not closed",
	"found unknown escape character":                               "has a backslash in double quotes that escapes nothing; write it twice, or use single quotes",
	"block sequence entries are not allowed in this context":       "has a '- ' behind a key; put the list on the next line",
	"map merge requires map or sequence of maps as the value":      "<< must be followed by an alias of an object, such as <<: *defaults",
	"did not find expected alphabetic or numeric character":        "has a * or & without a name; put the value in quotes",
	"found a tab character that violates indentation":              tabs,
	"found a tab character where an indentation space is expected": tabs,
	"!!binary value contains invalid base64 data":                  "is not base64, as the tag !!binary says; remove the tag",
	"control characters are not allowed":                           "has a control character; remove it, or write it as an escape in double quotes",
}

const tabs = "is indented with a tab; YAML takes spaces only"

func wordedYAML(p problem, raw []byte) problem {
	lines := strings.Split(string(raw), "\n")
	p.line = min(p.line, lineAt(raw, len(bytes.TrimRight(raw, "\n"))))
	at := ""
	if p.line >= 1 && p.line <= len(lines) {
		at = lines[p.line-1]
	}
	indentation := at[:len(at)-len(strings.TrimLeft(at, " \t"))]
	switch found := noAnchor.FindStringSubmatch(p.text); {
	case found != nil:
		p.line = lineOf(raw, "*"+found[1], p.line)
		p.text = fmt.Sprintf("*%s repeats the value of an anchor &%s, and there is none above; put it in quotes if it is text", found[1], found[1])
		return p
	case ownAnchor.MatchString(p.text):
		found = ownAnchor.FindStringSubmatch(p.text)
		p.line = lineOf(raw, "&"+found[1], p.line)
		p.text = fmt.Sprintf("the value of the anchor &%s holds *%s, itself", found[1], found[1])
		return p
	case wrongTag.MatchString(p.text):
		found = wrongTag.FindStringSubmatch(p.text)
		p.line = lineOf(raw, found[2], p.line)
		p.text = fmt.Sprintf("%q is not what its tag %s says; remove the tag", found[1], found[2])
		return p
	}
	if strings.Contains(indentation, "\t") {
		p.text = tabs
		return p
	}
	if p.text == "found character that cannot start any token" {
		p.text = "begins a value with a character that YAML reserves (a tab, @, ` or %); put the value in quotes"
		if strings.Contains(at, "\t") {
			p.text = "has a tab where a space must be"
		}
		return p
	}
	switch p.text {
	case "map merge requires map or sequence of maps as the value":
		p.line = lineOf(raw, "<<", p.line)
	case "!!binary value contains invalid base64 data":
		p.line = lineOf(raw, "!!binary", p.line)
	}
	if words, ok := yamlWords[p.text]; ok {
		p.text = words
	}
	p.text = twice.ReplaceAllString(p.text, "the key $1 stands twice in one object")
	return p
}

// lineOf is the line of a document with a text in it, else another one.
func lineOf(raw []byte, text string, otherwise int) int {
	if i := bytes.Index(raw, []byte(text)); i >= 0 {
		return lineAt(raw, i)
	}
	return otherwise
}

var jsonStart = regexp.MustCompile(`^\s*(\{\s*("|\})|\[)`)

// isJSON tells whether somebody meant to write JSON.
func isJSON(name string, raw []byte) bool {
	return filepath.Ext(name) == ".json" || jsonStart.Match(raw)
}

// jsonWords are what may stand where the parser of JSON found something else, by its words.
var jsonWords = []struct{ place, words string }{
	{"looking for beginning of object key string", "where a key in double quotes must be; a comma before a '}' is one too many"},
	{"looking for beginning of value", "where a value must begin; text is in double quotes, and a comma before a ']' is one too many"},
	{"after object key:value pair", "where a ',' or a '}' must be"},
	{"after object key", "where a ':' must be"},
	{"after array element", "where a ',' or a ']' must be"},
	{"in string literal", `within text; write a line break as \n and a tab as \t`},
	{"in string escape code", `behind a backslash; write a backslash as \\`},
	{"in \\u hexadecimal character escape", `behind \u, where four hexadecimal digits must be`},
	{"in numeric literal", "within a number"},
	{"after decimal point in numeric literal", "within a number"},
	{"in exponent of numeric literal", "within a number"},
	{"in literal", "where true, false or null must be"},
}

// wordedJSON says what is wrong about a document that should be JSON; ok is false if it is.
func wordedJSON(raw []byte) (p problem, ok bool) {
	var v any
	err := json.NewDecoder(bytes.NewReader(raw)).Decode(&v)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return problem{lineAt(raw, len(bytes.TrimRight(raw, "\n"))), "the JSON ends before its last brace, bracket or quote is closed"}, true
	}
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) || syntax.Offset < 1 || syntax.Offset > int64(len(raw)) {
		return p, false
	}
	i := int(syntax.Offset) - 1
	p.line = lineAt(raw, i)
	column := i - bytes.LastIndexByte(raw[:i], '\n')
	found, _ := utf8.DecodeRune(raw[i:])
	p.text = fmt.Sprintf("column %d: %q", column, found)
	for _, w := range jsonWords {
		if strings.Contains(syntax.Error(), w.place) {
			p.text += " stands " + w.words
			return p, true
		}
	}
	p.text += " may not stand here in JSON"
	return p, true
}
