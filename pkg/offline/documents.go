// Package offline does without a cluster what the webhook does in one: it reads
// manifests, policies and Knative ConfigMaps from files and expands the manifests.
package offline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	goyaml "go.yaml.in/yaml/v2"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// Document is one YAML or JSON document of a file.
type Document struct {
	// Source names the file and the place in it.
	Source string
	// Raw is the text as it was read.
	Raw []byte
	// Object is what it says; nil for a document that holds comments only.
	Object manifest.Object
}

// ReadDocuments reads files, folders (their .yaml, .yml and .json files, as kubectl
// does, not those of folders below) and "-" for stdin. The error names all that is wrong;
// the documents beside it are those that nothing is wrong with.
func ReadDocuments(paths []string, stdin io.Reader) ([]Document, error) {
	var docs []Document
	var problems []error
	for _, path := range paths {
		files := []string{path}
		if path != "-" {
			info, err := os.Stat(path)
			if err == nil && info.IsDir() {
				files, err = manifests(path)
			}
			if err != nil {
				problems = append(problems, err)
				continue
			}
		}
		for _, file := range files {
			read, err := readFile(file, stdin)
			docs = append(docs, read...)
			problems = append(problems, Problems(err)...)
		}
	}
	return docs, utilerrors.NewAggregate(problems)
}

// Problems takes an error apart into the problems that it names.
func Problems(err error) []error {
	var parts []error
	switch all := err.(type) {
	case nil:
		return nil
	case utilerrors.Aggregate:
		parts = all.Errors()
	case interface{ Unwrap() []error }:
		if parts = all.Unwrap(); errors.Join(parts...).Error() != err.Error() {
			return []error{err} // there are words around them
		}
	default:
		return []error{err}
	}
	var apart []error
	for _, part := range parts {
		apart = append(apart, Problems(part)...)
	}
	return apart
}

// Within says of every problem that an error names where it is.
func Within(where string, err error) error {
	problems := Problems(err)
	for i, p := range problems {
		problems[i] = fmt.Errorf("%s: %w", where, p)
	}
	return utilerrors.NewAggregate(problems)
}

func manifests(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, ext) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no .yaml, .yml or .json files", dir)
	}
	return files, nil
}

func readFile(name string, stdin io.Reader) ([]Document, error) {
	var content []byte
	var err error
	if name == "-" {
		if stdin == nil {
			return nil, errors.New("standard input cannot be read here: name a file")
		}
		name = "stdin"
		content, err = io.ReadAll(stdin)
	} else {
		content, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, err
	}
	return Parse(name, content)
}

var commented = regexp.MustCompile(`(?m)^---[ \t]*(#.*)$`)

// Parse splits a file into documents and reads each. A key that stands twice in one
// object is an error. The error names all that is wrong; the documents beside it are those
// that nothing is wrong with.
func Parse(name string, content []byte) ([]Document, error) {
	var docs []Document
	// A comment behind a separator is the next document's; the reader would drop it.
	reader := utilyaml.NewYAMLReader(newReader(commented.ReplaceAll(content, []byte("---\n$1"))))
	place := places{content: content, line: 1}
	var lines []int
	var problems []error
	several := false
	for {
		raw, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		d := Document{Raw: bytes.TrimSpace(raw)}
		if len(d.Raw) == 0 {
			continue
		}
		several = several || len(lines)+len(problems) > 0
		line := place.of(d.Raw)
		if d.Object, err = readDocument(raw); err != nil {
			above, _, _ := bytes.Cut(raw, d.Raw)
			blank := bytes.Count(above, []byte("\n"))
			problems = append(problems, sayAt(err, name, raw, line-blank)...)
			continue
		}
		docs, lines = append(docs, d), append(lines, line)
	}
	kept := docs[:0]
	for i, d := range docs {
		if d.Source = name; several {
			d.Source = fmt.Sprintf("%s, line %d", name, lines[i])
		}
		nameless := false
		for _, o := range flatten([]Document{d}) {
			if manifest.Text(o.Object, "kind") == "" || manifest.Text(o.Object, "apiVersion") == "" {
				problems, nameless = append(problems, fmt.Errorf("%s: has no apiVersion or no kind, so it is no Kubernetes object%s", o.Source, kustomizationHint(name))), true
			}
		}
		if !nameless {
			kept = append(kept, d)
		}
	}
	return kept, utilerrors.NewAggregate(problems)
}

// ParseObject reads a file that holds one object of any kind, and nil if it holds comments only.
func ParseObject(name string, content []byte) (manifest.Object, error) {
	o, err := readDocument(content)
	if err != nil {
		return nil, utilerrors.NewAggregate(sayAt(err, name, content, 1))
	}
	return o, nil
}

// readDocument reads one document; nil for one that holds comments only.
func readDocument(raw []byte) (manifest.Object, error) {
	json, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, err
	}
	if err := onlyOne(raw); err != nil {
		return nil, err
	}
	if string(bytes.TrimSpace(json)) == "null" {
		return nil, nil
	}
	return manifest.Decode(json)
}

// places finds the lines at which the documents of a file start, one after the other.
type places struct {
	content []byte // behind the last one
	line    int    // at which that starts
}

func (p *places) of(document []byte) int {
	at := bytes.Index(p.content, document)
	if at < 0 {
		return p.line
	}
	line := p.line + bytes.Count(p.content[:at], []byte("\n"))
	p.line, p.content = line+bytes.Count(document, []byte("\n")), p.content[at+len(document):]
	return line
}

// onlyOne refuses a document behind whose end there is more, which the parser would pass
// over: JSON objects one after the other, or YAML after "...".
func onlyOne(raw []byte) error {
	decoder := goyaml.NewDecoder(bytes.NewReader(raw))
	var v any
	if err := decoder.Decode(&v); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := decoder.Decode(&v); !errors.Is(err, io.EOF) {
		return errors.New("holds several objects; separate them with ---")
	}
	return nil
}

func kustomizationHint(name string) string {
	if base := filepath.Base(name); strings.HasPrefix(base, "kustomization.") {
		return "; run kustomize build and pass its output with -f -"
	}
	return ""
}
