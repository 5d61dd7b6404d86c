package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kubetorch/webhook/test/controlplane"
)

// entrant is a contender that is installed.
type entrant struct {
	contender
	version string
	race    *race
	results []result
}

// run runs the parts and prints their tables, or puts them into a page.
func run(ctx context.Context, o options) error {
	for _, part := range o.partNames() {
		var text string
		var err error
		switch part {
		case raceName:
			text, err = runRace(ctx, o)
		case kindsName:
			text, err = runKinds(ctx, o)
		}
		fmt.Println(text)
		if err != nil {
			return fmt.Errorf("part %s: %w", part, err)
		}
		if o.page != "" {
			if err := replace(o.page, part, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// runRace installs all contenders, each on a control plane of its own, and then lets them take
// turns, so that whatever else the machine does meets all of them.
func runRace(ctx context.Context, o options) (text string, err error) {
	var tools []string
	contenders := o.contenders(raceName)
	for _, c := range contenders {
		tools = append(tools, c.Tools()...)
	}
	paths, err := controlplane.EnsureTools(ctx, os.Stderr, tools...)
	if err != nil {
		return "", err
	}
	var entrants []*entrant
	for _, c := range contenders {
		e, stop, enterErr := enter(ctx, o, c, paths)
		if enterErr != nil {
			return "", fmt.Errorf("%s: %w", c.Name(), enterErr)
		}
		defer func() { err = errors.Join(err, stop()) }()
		entrants = append(entrants, e)
	}
	claims := randomClaims(o.seed, o.creates)
	for round := range o.rounds {
		for _, e := range entrants {
			if err := e.round(ctx, claims, round); err != nil {
				return "", fmt.Errorf("%s: %w", e.Name(), err)
			}
		}
	}
	return table(entrants, claims, o.clients), nil
}

// enter installs a contender. Its control plane runs until stop is called.
func enter(ctx context.Context, o options, c contender, tools map[string]string) (_ *entrant, stop func() error, err error) {
	options := c.Options()
	options.KeepLogs = o.keepLogs
	progress("%s: starting", c.Name())
	cluster, err := controlplane.Start(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, cluster.Stop())
		}
	}()
	if o.keepLogs {
		progress("%s: logs are in %s", c.Name(), cluster.LogDir())
	}
	e := &entrant{contender: c}
	if e.version, err = c.Install(ctx, cluster, tools, serviceRules); err != nil {
		return nil, nil, err
	}
	if e.race, err = newRace(cluster, cmp.Or(options.RequestTimeout, time.Minute), o.clients); err != nil {
		return nil, nil, err
	}
	if err := e.race.inForce(ctx); err != nil {
		return nil, nil, err
	}
	progress("%s: %s holds the rule", c.Name(), e.version)
	return e, cluster.Stop, nil
}

// round lets one contender judge all claims, and clears up.
func (e *entrant) round(ctx context.Context, claims []claim, round int) error {
	if err := e.race.inForce(ctx); err != nil {
		return err
	}
	r, err := e.race.run(ctx, claims)
	if err != nil {
		return err
	}
	e.results = append(e.results, r)
	progress("%s: round %d: %d GPUs of %d admitted in %d Services, %d refused, %d failed, %.1f s",
		e.Name(), round+1, r.admitted, budget, r.services, r.refused, r.failed, r.seconds)
	if r.failure != nil {
		progress("%s: one of the failures: %v", e.Name(), r.failure)
	}
	return e.race.clear(ctx)
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
