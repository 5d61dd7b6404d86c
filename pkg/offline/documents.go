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
	for i := 1; ; i++ {
		raw, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		d := Document{Source: fmt.Sprintf("%s, document %d", name, i), Raw: bytes.TrimSpace(raw)}
		if len(d.Raw) == 0 {
			continue
		}
		json, err := yaml.YAMLToJSONStrict(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.Source, err)
		}
		if err := onlyOne(raw); err != nil {
			return nil, fmt.Errorf("%s: %w", d.Source, err)
		}
		if string(bytes.TrimSpace(json)) != "null" {
			if d.Object, err = manifest.Decode(json); err != nil {
				return nil, fmt.Errorf("%s: %w", d.Source, err)
			}
		}
		for _, o := range flatten([]Document{d}) {
			if manifest.Text(o.Object, "kind") == "" || manifest.Text(o.Object, "apiVersion") == "" {
				return nil, fmt.Errorf("%s: has no apiVersion or no kind, so it is no Kubernetes object%s", o.Source, kustomizationHint(name))
			}
		}
		docs = append(docs, d)
	}
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
