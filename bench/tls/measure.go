package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kubetorch/webhook/bench/cluster"
	"github.com/kubetorch/webhook/bench/load"
	"github.com/kubetorch/webhook/bench/ours"
	"github.com/kubetorch/webhook/bench/reviews"
)

func measure(ctx context.Context, binary string, rounds int, each time.Duration) (err error) {
	c, err := cluster.Start(ctx, binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	webhook, err := c.Webhook(ctx)
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, ours.Policy()); err != nil {
		return err
	}
	gatekeeper, version, err := c.Gatekeeper(ctx, "")
	if err != nil {
		return err
	}
	fmt.Printf("version-gatekeeper: %s\n", version)
	var servers []*load.Server
	for _, name := range load.Bare {
		s, stop, err := load.Start(name)
		if err != nil {
			return err
		}
		defer stop()
		servers = append(servers, s)
	}
	servers = append(servers, webhook.Server(), gatekeeper)
	for _, s := range servers {
		if err := c.AwaitCases(ctx, s); err != nil {
			return err
		}
		resident, err := load.Resident(s.PID)
		if err != nil {
			return err
		}
		fmt.Printf("BenchmarkTLSIdle/server=%s 1 %.1f rss-idle-MiB\n", s.Name, resident)
	}
	// Gatekeeper keeps the API server busy by itself, up to a processor, and the others would
	// be measured beside that.
	if err := load.Pause(gatekeeper.PID); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, load.Resume(gatekeeper.PID)) }()
	for round := range rounds {
		for _, clients := range []int{1, 8, 64} {
			fmt.Fprintf(os.Stderr, "== over TLS: round %d of %d, %d clients\n", round+1, rounds, clients)
			for _, one := range reviews.Cases() {
				for _, s := range servers {
					if err := ctx.Err(); err != nil {
						return err
					}
					f, err := awake(s, gatekeeper, func() (load.Figures, error) { return s.Measure(one, clients, each) })
					if err != nil {
						return err
					}
					fmt.Print(f.Line(fmt.Sprintf("TLS/case=%s/clients=%d/server=%s", one.Name, clients, s.Name)))
				}
			}
		}
	}
	return nil
}

// awake measures a server; the one that rests otherwise is woken for it.
func awake(s, resting *load.Server, measure func() (load.Figures, error)) (load.Figures, error) {
	if s != resting {
		return measure()
	}
	if err := load.Resume(s.PID); err != nil {
		return load.Figures{}, err
	}
	f, err := measure()
	return f, errors.Join(err, load.Pause(s.PID))
}
