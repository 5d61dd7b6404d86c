package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// part is one part of the benchmark.
type part struct {
	name string
	// tests are folders of Go tests whose benchmarks are run; their test binaries are
	// built first, each in its own module, and then run by turns, count times.
	tests []string
	// commands are run in the module's folder, once, with -count and -time.
	commands [][]string
}

// parts in the order of the page.
var parts = []part{
	{name: "engine", tests: []string{"ours", "gatekeeper"}},
}

func measure(ctx context.Context, o options) error {
	for _, name := range o.only {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("there is no part %q", name)
		}
	}
	for _, p := range parts {
		if len(o.only) > 0 && !slices.Contains(o.only, p.name) {
			continue
		}
		if err := p.run(ctx, o); err != nil {
			return fmt.Errorf("part %s: %w", p.name, err)
		}
	}
	return nil
}

// run writes the part's results, whole or not at all.
func (p part) run(ctx context.Context, o options) error {
	results := filepath.Join(o.dir, "results")
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	out, err := os.CreateTemp(results, p.name+"-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	both := io.MultiWriter(out, os.Stdout)
	binaries, err := p.build(ctx, o)
	if err != nil {
		return err
	}
	for range o.count {
		for i, binary := range binaries {
			c := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.bench=.", "-test.benchtime="+o.time.String())
			c.Dir = filepath.Join(o.dir, p.tests[i])
			if err := execute(c, both); err != nil {
				return err
			}
		}
	}
	for _, command := range p.commands {
		arguments := append(slices.Clone(command[1:]), "-count="+strconv.Itoa(o.count), "-time="+o.time.String())
		c := exec.CommandContext(ctx, command[0], arguments...)
		c.Dir = o.dir
		if err := execute(c, both); err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(out.Name(), filepath.Join(results, p.name+".txt"))
}

func (p part) build(ctx context.Context, o options) ([]string, error) {
	dir, err := filepath.Abs(filepath.Join(o.dir, "results", "bin"))
	if err != nil {
		return nil, err
	}
	var binaries []string
	for _, test := range p.tests {
		binary := filepath.Join(dir, test+".test")
		fmt.Fprintln(os.Stderr, "== building", test)
		c := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, ".")
		c.Dir = filepath.Join(o.dir, test)
		if err := execute(c, os.Stderr); err != nil {
			return nil, err
		}
		binaries = append(binaries, binary)
	}
	return binaries, nil
}

func execute(c *exec.Cmd, out io.Writer) error {
	c.Stdout, c.Stderr = out, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(c.Args, " "), err)
	}
	return nil
}
