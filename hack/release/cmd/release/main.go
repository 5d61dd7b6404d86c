// Command release puts a release together around an image that make image has built, and
// prints the commands that push it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/kubetorch/webhook/hack/release/bundle"
	"github.com/kubetorch/webhook/hack/release/pairs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	o := bundle.Options{Programs: map[string]string{}, Annotations: map[string]string{}}
	flags.StringVar(&o.Version, "version", "", "of the release, such as v0.1.0")
	flags.StringVar(&o.Root, "root", ".", "folder of the repository")
	flags.StringVar(&o.Out, "out", "dist", "folder to write into, which has the image's layout in image")
	flags.StringVar(&o.Image, "image", "ghcr.io/kubetorch/kubetorch-webhook", "repository that the image is pushed to")
	flags.StringVar(&o.Charts, "charts", "ghcr.io/kubetorch/charts", "where charts are pushed to")
	flags.Var(pairs.Pairs(o.Annotations), "annotation", "KEY=VALUE of the chart, as often as needed")
	created := flags.Int64("created", 0, "when the release was made, in seconds since 1970")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, program := range flags.Args() {
		if err := pairs.Pairs(o.Programs).Set(program); err != nil {
			return fmt.Errorf("%s: give programs as PLATFORM=FILE: %w", program, err)
		}
	}
	o.Created = time.Unix(*created, 0)
	push, err := o.Write(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("== %s is in %s. What pushes image, chart and files:\n", o.Version, o.Out)
	for _, command := range push {
		fmt.Println("  " + command)
	}
	return nil
}
