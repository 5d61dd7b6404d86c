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
	"strconv"
	"strings"

	goyaml "go.yaml.in/yaml/v2"
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
// does, not those of folders below) and "-" for stdin.
func ReadDocuments(paths []string, stdin io.Reader) ([]Document, error) {
	var docs []Document
	for _, path := range paths {
		files := []string{path}
		if path != "-" {
			info, err := os.Stat(path)
			if err != nil {
				return nil, err
			}
			if info.IsDir() {
				if files, err = manifests(path); err != nil {
					return nil, err
				}
			}
		}
		for _, file := range files {
			read, err := readFile(file, stdin)
			if err != nil {
				return nil, err
			}
			docs = append(docs, read...)
		}
	}
	return docs, nil
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
		if stdin == nil {
			return nil, errors.New("there is no standard input to read")
		}
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
// object is an error.
func Parse(name string, content []byte) ([]Document, error) {
	var docs []Document
	// A comment behind a separator is the next document's; the reader would drop it.
	reader := utilyaml.NewYAMLReader(newReader(commented.ReplaceAll(content, []byte("---\n$1"))))
	place := places{content: content, line: 1}
	var lines []int
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
		line := place.of(d.Raw)
		if d.Object, err = readDocument(raw); err != nil {
			return nil, fmt.Errorf("%s: %s", name, sayAt(err, line))
		}
		docs, lines = append(docs, d), append(lines, line)
	}
	for i := range docs {
		if docs[i].Source = name; len(docs) > 1 {
			docs[i].Source = fmt.Sprintf("%s, line %d", name, lines[i])
		}
		for _, o := range flatten(docs[i : i+1]) {
			if manifest.Text(o.Object, "kind") == "" || manifest.Text(o.Object, "apiVersion") == "" {
				return nil, fmt.Errorf("%s: has no apiVersion or no kind, so it is no Kubernetes object%s", o.Source, kustomizationHint(name))
			}
		}
	}
	return docs, nil
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

var lineNumber = regexp.MustCompile(`line (\d+): `)

// sayAt words an error of the parser about a document that starts at a line of its file.
func sayAt(err error, start int) string {
	text := err.Error()
	for _, noise := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors:\n  "} {
		text = strings.ReplaceAll(text, noise, "")
	}
	if !lineNumber.MatchString(text) {
		text = fmt.Sprintf("line 1: %s", text)
	}
	text = lineNumber.ReplaceAllStringFunc(text, func(found string) string {
		n, _ := strconv.Atoi(lineNumber.FindStringSubmatch(found)[1])
		return fmt.Sprintf("line %d: ", start+n-1)
	})
	return twice.ReplaceAllString(text, "the key $1 stands twice in one object")
}

var twice = regexp.MustCompile(`(?:mapping )?key (".*?") already (?:set in map|defined.*)`)

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
