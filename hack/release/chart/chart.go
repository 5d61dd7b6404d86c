// Package chart packs a Helm chart for a release, as an archive and as an OCI layout.
package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Release is what a packed chart states.
type Release struct {
	// Version is the product's, such as v0.1.0; the chart's is the same without the v.
	Version string
	// Digest is that of the image, such as sha256:...
	Digest string
	// Created is the time that files have.
	Created time.Time
}

// Chart is a packed chart.
type Chart struct {
	Name, Version string
	// Metadata is Chart.yaml as JSON, Archive the chart itself.
	Metadata, Archive []byte
}

// Pack packs the chart of a folder with the release's versions and digest in it.
func Pack(folder string, r Release) (*Chart, error) {
	var archive bytes.Buffer
	compressed := gzip.NewWriter(&archive)
	files := tar.NewWriter(compressed)
	c := &Chart{Version: strings.TrimPrefix(r.Version, "v")}
	add := func(name string, content []byte) error {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: r.Created.UTC(), Format: tar.FormatPAX}
		if err := files.WriteHeader(header); err != nil {
			return err
		}
		_, err := files.Write(content)
		return err
	}
	definition, err := os.ReadFile(filepath.Join(folder, "Chart.yaml"))
	if err != nil {
		return nil, err
	}
	if definition, err = r.definition(definition); err != nil {
		return nil, err
	}
	if c.Metadata, err = yaml.YAMLToJSON(definition); err != nil {
		return nil, fmt.Errorf("Chart.yaml: %w", err)
	}
	var named struct{ Name string }
	if err := json.Unmarshal(c.Metadata, &named); err != nil || named.Name == "" {
		return nil, fmt.Errorf("Chart.yaml has no name: %w", err)
	}
	c.Name = named.Name
	// Helm reads the definition first.
	if err := add(path.Join(c.Name, "Chart.yaml"), definition); err != nil {
		return nil, err
	}
	err = filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		inside, err := filepath.Rel(folder, name)
		if err != nil || inside == "Chart.yaml" {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if inside == "values.yaml" {
			if content, err = r.values(content); err != nil {
				return err
			}
		}
		return add(path.Join(c.Name, filepath.ToSlash(inside)), content)
	})
	if err != nil {
		return nil, err
	}
	if err := files.Close(); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	c.Archive = archive.Bytes()
	return c, nil
}

func (r Release) definition(text []byte) ([]byte, error) {
	text, err := replace(text, `(?m)^version: .*$`, "version: "+strings.TrimPrefix(r.Version, "v"))
	if err != nil {
		return nil, fmt.Errorf("Chart.yaml: %w", err)
	}
	if text, err = replace(text, `(?m)^appVersion: .*$`, "appVersion: "+r.Version); err != nil {
		return nil, fmt.Errorf("Chart.yaml: %w", err)
	}
	return text, nil
}

func (r Release) values(text []byte) ([]byte, error) {
	text, err := replace(text, `(?m)^  digest: ""$`, `  digest: "`+r.Digest+`"`)
	if err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	return text, nil
}

// replace changes the one line that a pattern matches.
func replace(text []byte, pattern, by string) ([]byte, error) {
	line := regexp.MustCompile(pattern)
	if n := len(line.FindAllIndex(text, -1)); n != 1 {
		return nil, fmt.Errorf("%d lines match %s, and not one", n, pattern)
	}
	return line.ReplaceAllLiteral(text, []byte(by)), nil
}
