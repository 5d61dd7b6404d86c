// Command kubetorch-webhook expands labelled manifests into annotated Knative
// Services and enforces compute policy.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/kubetorch/webhook/pkg/cmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cmd.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
