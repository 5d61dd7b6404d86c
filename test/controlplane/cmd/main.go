// Command cmd runs a local control plane from the command line.
//
//	go run ./test/controlplane/cmd build   build the tools that tests need
//	go run ./test/controlplane/cmd tool    build some tools and print where they are
//	go run ./test/controlplane/cmd up      start it in the background
//	go run ./test/controlplane/cmd down    stop it
//
// up prints a line for the shell to evaluate; everything else is progress and
// goes to standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/kubetorch/webhook/test/controlplane"
)

const usage = `usage: go run ./test/controlplane/cmd <command> [flags]

commands:
  build  build the tools that tests need; further tools may be named
  tool   build the tools that are named and print the path of each
  up     start a control plane in the background and print how to use it
  down   stop it
`

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	cancel()
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return flag.ErrHelp
	}
	command, args := args[0], args[1:]
	switch command {
	case "build":
		return build(ctx, args)
	case "tool":
		return tool(ctx, args)
	case "up":
		return up(ctx, args)
	case superviseCommand:
		return supervise(ctx, args)
	case "down":
		return down(ctx, args)
	}
	fmt.Fprint(os.Stderr, usage)
	return fmt.Errorf("unknown command %q", command)
}

// tool prints where tools are, after building those that are missing.
func tool(ctx context.Context, names []string) error {
	paths, err := controlplane.EnsureTools(ctx, os.Stderr, names...)
	for _, name := range names {
		if err == nil {
			fmt.Println(paths[name])
		}
	}
	return err
}

// build fills the tool cache with what this repository's tests need.
func build(ctx context.Context, names []string) error {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	pods := flags.Bool("pods", false, "build what running pods takes")
	if err := flags.Parse(names); err != nil {
		return err
	}
	tools := append(controlplane.Options{HPA: true, Scheduler: true, Nodes: 1}.Tools(), controlplane.Helm, controlplane.Kustomize)
	if *pods {
		tools = controlplane.Options{HPA: true, Pods: true}.Tools()
	}
	_, err := controlplane.EnsureTools(ctx, os.Stderr, append(tools, flags.Args()...)...)
	if err == nil {
		fmt.Fprintln(os.Stderr, "the control-plane tools are built")
	}
	return err
}
