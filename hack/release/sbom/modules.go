// Package sbom says what a program is made of: an SPDX document, and the licences of it all.
package sbom

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// Module is one module in a program.
type Module struct {
	Path, Version string
	// Sum is the hash of the module in go.sum; that of what is built here is unknown.
	Sum string
	// License is an SPDX expression; empty if none was recognised.
	License string
	// Texts are the licence files, by name.
	Texts map[string]string
}

// Programs are the modules in compiled programs, by path, each once: the first is that of the
// programs themselves. Dir finds the files of a module, as [Downloaded] does.
func Programs(dir func(Module) (string, error), paths ...string) ([]Module, error) {
	if len(paths) == 0 {
		return nil, errors.New("name a program")
	}
	var main Module
	found := map[string]Module{}
	for _, path := range paths {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading what %s is made of: %w", path, err)
		}
		main = moduleOf(&info.Main)
		found["std"] = Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}
		for _, d := range info.Deps {
			m := moduleOf(d)
			if other, there := found[m.Path]; there && other.Version != m.Version {
				return nil, fmt.Errorf("%s is in the programs as %s and as %s", m.Path, other.Version, m.Version)
			}
			found[m.Path] = m
		}
	}
	all := []Module{main}
	for _, m := range found {
		all = append(all, m)
	}
	slices.SortFunc(all[1:], func(a, b Module) int { return strings.Compare(a.Path, b.Path) })
	for i := range all {
		folder, err := dir(all[i])
		if err != nil {
			return nil, err
		}
		if err := all[i].read(folder); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func moduleOf(m *debug.Module) Module {
	if m.Replace != nil {
		m = m.Replace
	}
	return Module{Path: m.Path, Version: m.Version, Sum: m.Sum}
}

// names are how licence files begin.
var names = []string{"license", "licence", "copying", "notice", "patents"}

// read finds the licence in a module's folder.
func (m *Module) read(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("looking for the licence of %s: %w", m.Path, err)
	}
	m.Texts = map[string]string{}
	var recognised []string
	for _, entry := range entries {
		name := strings.ToLower(entry.Name())
		if entry.IsDir() || !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(name, n) }) || strings.HasSuffix(name, ".go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return err
		}
		m.Texts[entry.Name()] = string(text)
		if strings.HasPrefix(name, "notice") || strings.HasPrefix(name, "patents") {
			continue
		}
		for _, match := range licensecheck.Scan(text).Match {
			if !match.IsURL && !slices.Contains(recognised, match.ID) {
				recognised = append(recognised, match.ID)
			}
		}
	}
	if len(m.Texts) == 0 {
		return fmt.Errorf("%s %s has no licence in %s", m.Path, m.Version, folder)
	}
	slices.Sort(recognised)
	m.License = strings.Join(recognised, " AND ")
	return nil
}

// Downloaded finds modules in the go command's cache, and the main module in root.
func Downloaded(ctx context.Context, root string) (func(Module) (string, error), error) {
	c := exec.CommandContext(ctx, "go", "list", "-m", "-json", "all")
	c.Dir, c.Env = root, append(os.Environ(), "GOWORK=off")
	var errOut bytes.Buffer
	c.Stderr = &errOut
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the modules: %w: %s", err, errOut.String())
	}
	dirs := map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct {
			Path, Dir string
			Main      bool
			Replace   *struct{ Path, Dir string }
		}
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("listing the modules: %w", err)
		}
		if m.Replace != nil {
			m.Path, m.Dir = m.Replace.Path, m.Replace.Dir
		}
		dirs[m.Path] = m.Dir
	}
	out, err = exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("finding Go: %w", err)
	}
	dirs["std"] = strings.TrimSpace(string(out))
	return func(m Module) (string, error) {
		if dirs[m.Path] == "" {
			return "", fmt.Errorf("%s %s is not in the module cache: run go mod download", m.Path, m.Version)
		}
		return dirs[m.Path], nil
	}, nil
}

// Licenses is the text of all licences, each once, with the modules that it covers.
func Licenses(modules []Module) string {
	covers := map[string][]string{}
	for _, m := range modules {
		for name, text := range m.Texts {
			title := m.Path
			if m.Version != "" {
				title += " " + m.Version
			}
			text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
			covers[text] = append(covers[text], title+" ("+name+")")
		}
	}
	var texts []string
	for text := range covers {
		slices.Sort(covers[text])
		texts = append(texts, text)
	}
	slices.SortFunc(texts, func(a, b string) int { return strings.Compare(covers[a][0], covers[b][0]) })
	var all strings.Builder
	for _, text := range texts {
		fmt.Fprintf(&all, "%s\n\n%s\n\n%s\n\n", strings.Join(covers[text], "\n"), text, strings.Repeat("-", 72))
	}
	return all.String()
}
