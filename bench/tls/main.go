// Command tls measures webhooks over TLS on loopback: what a review costs the process
// that answers it, and how long the answer takes.
//
// The servers are processes of their own: the webhook and Gatekeeper on one control plane,
// with the same defaults and bounds; a bare net/http handler that reads the body and answers
// a constant, which is the limit; and controller-runtime's webhook with a handler that admits
// everything. Everything listens on loopback only and ends with the command.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kubetorch/webhook/bench/load"
)

func main() {
	serving := flag.String("serve", "", "serve as a server to compare with: constant or controller-runtime")
	binary := flag.String("binary", "../bin/kubetorch-webhook", "the built webhook")
	count := flag.Int("count", 10, "how many results: everything is measured half as often, since each is of many reviews")
	each := flag.Duration("time", 300*time.Millisecond, "a third of the time that one measurement takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *serving != "" {
		err = load.Serve(ctx, *serving)
	} else {
		err = measure(ctx, *binary, (*count+1)/2, 3**each)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tls:", err)
		os.Exit(1)
	}
}
