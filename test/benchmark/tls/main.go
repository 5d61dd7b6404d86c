// Command tls measures webhooks over TLS on loopback: what a review costs the process
// that answers it, and how long the answer takes.
//
//	go run ./test/benchmark/tls -binary bin/kubetorch-webhook
//
// The subjects are processes of their own: the webhook (serve --standalone, which is the
// handler of a cluster without one), a bare net/http handler that reads the body and
// answers a constant, which is the limit, and controller-runtime's webhook with a handler
// that allows everything. Every answer's status and verdict are checked. Everything
// listens on loopback only and ends with the command.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	serving := flag.String("serve", "", "serve as a subject: constant or controller-runtime")
	binary := flag.String("binary", "bin/kubetorch-webhook", "the built webhook")
	policies := flag.String("policy", "examples/policy.yaml", "the policy of the webhook")
	each := flag.Duration("each", 2*time.Second, "how long each measurement runs")
	flag.Parse()
	var err error
	if *serving != "" {
		err = serve(*serving)
	} else {
		err = measure(*binary, *policies, *each)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
