// Command comparison holds one rule, "the GPUs of all Knative Services stay at or below 64",
// with this repository's webhook and with other projects' policy engines, and counts what
// each admits when many clients create Services at once.
//
//	go run ./bench/comparison -binary bin/kubetorch-webhook
//
// Each contender is its real server as a local process on a control plane of its own. The
// table goes to standard output, progress to standard error.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	o := options{}
	o.bind(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := o.validate(flag.Args())
	if err == nil {
		err = run(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "comparison:", err)
		os.Exit(1)
	}
}
