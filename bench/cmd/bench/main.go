// Command bench runs the parts of the benchmark and renders docs/benchmarks.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options of a run.
type options struct {
	count  int
	time   time.Duration
	only   []string
	render bool
	// dir is the module's folder, docs where the page goes.
	dir, docs string
}

func run(ctx context.Context) error {
	o := options{}
	only := ""
	flag.IntVar(&o.count, "count", 10, "how many times everything is measured")
	flag.DurationVar(&o.time, "time", 300*time.Millisecond, "how long one benchmark runs each time")
	flag.StringVar(&only, "parts", "", "run only these parts, separated by commas")
	flag.BoolVar(&o.render, "render", false, "render the page from the results that are there, without a run")
	flag.StringVar(&o.dir, "dir", ".", "folder of the benchmark's module")
	flag.StringVar(&o.docs, "docs", "../docs", "folder that gets benchmarks.md and benchmarks/")
	flag.Parse()
	if o.count < 1 || o.time <= 0 || flag.NArg() > 0 {
		return fmt.Errorf("-count must be at least 1, -time above 0, and there are no arguments")
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	if !o.render {
		if err := measure(ctx, o); err != nil {
			return err
		}
	}
	return render(filepath.Join(o.dir, "results"), o.docs)
}
