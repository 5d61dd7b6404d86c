// Command resilience sends a steady stream of admissions through a real API server to
// several replicas of the webhook, does to them what happens in a cluster's life, and tells
// which admissions failed, for how long, and whether all was well again by itself.
//
//	go run ./test/resilience -binary bin/kubetorch-webhook
//
// The table goes to standard output, progress to standard error.
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
		fmt.Fprintln(os.Stderr, "resilience:", err)
		os.Exit(1)
	}
}
