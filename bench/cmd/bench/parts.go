package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// part is one part of the benchmark.
type part struct {
	name string
	// about is a line for those who wait.
	about string
	// tests are folders of Go tests whose benchmarks that match are run; their test binaries
	// are built first, each in its own module, and then run by turns, count times.
	tests []string
	match string
	// program is a folder with a command that is run once, with -count and -time.
	program string
}

// parts in the order of the page.
var parts = []part{
	{name: "engine", about: "engines in process", tests: peers, match: "^BenchmarkEngine$"},
	{name: "tls", about: "servers over TLS", program: "tls"},
	{name: "growth", about: "engines in process, growing", tests: peers, match: "^BenchmarkScale$"},
	{name: "scale", about: "the webhook in a growing cluster", program: "scale"},
	{name: "apiserver", about: "a real API server", program: "apiserver"},
	{name: "plain", about: "pods that the webhook has nothing to do with", program: "plain"},
	{name: "charge", about: "charging beside a ResourceQuota", program: "charge"},
}

var peers = []string{"ours", "gatekeeper", "kubernetes", "kyverno"}

func measure(ctx context.Context, o options) error {
	for _, name := range o.only {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("there is no part %q", name)
		}
	}
	began := time.Now()
	for _, p := range parts {
		if len(o.only) > 0 && !slices.Contains(o.only, p.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "== %s: %s (%s since the start)\n", p.name, p.about, time.Since(began).Round(time.Second))
		if err := p.run(ctx, o); err != nil {
			return fmt.Errorf("part %s: %w", p.name, err)
		}
	}
	fmt.Fprintf(os.Stderr, "== measured in %s\n", time.Since(began).Round(time.Second))
	return nil
}

// run writes the part's results, whole or not at all.
func (p part) run(ctx context.Context, o options) error {
	results := filepath.Join(o.dir, "results")
	if err := os.MkdirAll(filepath.Join(results, "bin"), 0o755); err != nil {
		return err
	}
	out, err := os.CreateTemp(results, p.name+"-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	if err := conditions(ctx, out, o); err != nil {
		return err
	}
	if p.program != "" {
		err = p.runProgram(ctx, o, out)
	} else {
		err = p.runTests(ctx, o, out)
	}
	if err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(out.Name(), filepath.Join(results, p.name+".txt"))
}

// conditions writes what was measured, when and on what, as lines of the results.
func conditions(ctx context.Context, out io.Writer, o options) error {
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*").Output()
	if err != nil {
		return fmt.Errorf("asking for the commit: %w", err)
	}
	_, err = fmt.Fprintf(out, "commit: %sdate: %s\ncpus: %d\ngo: %s\ncpu: %s\ngoos: %s\ngoarch: %s\ncount: %d\ntime: %s\n",
		commit, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), processor(), runtime.GOOS, runtime.GOARCH, o.count, o.time)
	return err
}

// processor is the model of the CPU.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func (p part) runProgram(ctx context.Context, o options, out io.Writer) error {
	binary, err := filepath.Abs(filepath.Join(o.dir, "results", "bin", p.program))
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./"+p.program)
	build.Dir = o.dir
	if err := execute(build, os.Stderr); err != nil {
		return err
	}
	c := exec.CommandContext(ctx, binary, "-count="+strconv.Itoa(o.count), "-time="+o.time.String())
	c.Dir = o.dir
	// It ends what it started first.
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = time.Minute
	return execute(c, out)
}

func (p part) runTests(ctx context.Context, o options, out io.Writer) error {
	binaries, err := p.build(ctx, o)
	if err != nil {
		return err
	}
	for round := range o.count {
		fmt.Fprintf(os.Stderr, "== %s: round %d of %d\n", p.name, round+1, o.count)
		for i, binary := range binaries {
			c := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.bench="+p.match, "-test.benchtime="+o.time.String())
			c.Dir = filepath.Join(o.dir, p.tests[i])
			if err := execute(c, out); err != nil {
				return err
			}
		}
	}
	return nil
}

// built are the tests that this run has built.
var built = map[string]bool{}

func (p part) build(ctx context.Context, o options) ([]string, error) {
	dir, err := filepath.Abs(filepath.Join(o.dir, "results", "bin"))
	if err != nil {
		return nil, err
	}
	var binaries []string
	for _, test := range p.tests {
		binary := filepath.Join(dir, test+".test")
		binaries = append(binaries, binary)
		if built[test] {
			continue
		}
		built[test] = true
		fmt.Fprintln(os.Stderr, "== building", test)
		c := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, ".")
		c.Dir = filepath.Join(o.dir, test)
		if err := execute(c, os.Stderr); err != nil {
			return nil, err
		}
	}
	return binaries, nil
}

func execute(c *exec.Cmd, out io.Writer) error {
	c.Stderr = os.Stderr
	var end tail
	c.Stdout = io.MultiWriter(out, &end)
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, end)
	}
	return nil
}

// tail keeps the end of what is written, which says why a test failed.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	*t = (*t)[max(0, len(*t)-2000):]
	return len(p), nil
}
