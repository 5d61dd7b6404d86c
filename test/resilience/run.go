package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/test/controlplane"
)

//go:embed policy.yaml
var policy string

const (
	// quiet is how long every verdict must have been right before all counts as well again.
	quiet = 3 * time.Second
	// recovery is how long that may take.
	recovery = 2 * time.Minute
)

// outcome is what a trial did to the admissions.
type outcome struct {
	trial
	requests int
	seconds  float64
	failed   int
	// standing are the failed ones that were under way while the control stood still.
	standing int
	causes   []string
	outage   time.Duration // longest time in which none was answered rightly
	slowest  time.Duration // of those that did not fail
	control  control
}

// control is what happened meanwhile to requests that no webhook was asked about.
type control struct {
	requests, failed int
	outage, slowest  time.Duration
}

func run(ctx context.Context, o options) (err error) {
	source, err := commit(ctx)
	if err != nil {
		return err
	}
	cluster, hook, err := start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	config := cluster.RESTConfig()
	config.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	l, beside := newLoad(client), newControl(client)
	if err := inForce(ctx, l); err != nil {
		return err
	}

	loading, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { l.run(loading, o.rate/2) })
	running.Go(func() { beside.run(loading, o.rate/2) })
	defer running.Wait()
	defer stop()
	if err := settle(ctx, l); err != nil {
		return fmt.Errorf("before the first trial: %w", err)
	}
	var outcomes []outcome
	scene := &scene{options: o, cluster: cluster, hook: hook, client: client}
	for _, t := range trials(o) {
		if !strings.Contains(t.name, o.only) {
			continue
		}
		progress("%s", t.name)
		result, err := try(ctx, t, scene, l, beside)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		progress("%s: %d of %d requests failed, for %s, %d of them while the control stood still: %s", t.name,
			result.failed, result.requests, result.outage.Round(time.Millisecond), result.standing, strings.Join(result.causes, ", "))
		outcomes = append(outcomes, result)
	}
	fmt.Print(table(o, outcomes))
	if o.page != "" {
		err = writePage(o, source, outcomes)
	}
	return errors.Join(err, verdict(outcomes))
}

// start runs a control plane with the webhook as it is shipped, and a policy.
func start(ctx context.Context, o options) (_ *controlplane.ControlPlane, _ *controlplane.Webhook, err error) {
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		return nil, nil, err
	}
	cluster, err := controlplane.Start(ctx, controlplane.Options{KeepLogs: o.keepLogs, Log: os.Stderr})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, cluster.Stop())
		}
	}()
	if o.keepLogs {
		progress("logs are in %s", cluster.LogDir())
	}
	hook, err := cluster.InstallWebhook(ctx, controlplane.WebhookOptions{
		Binary: o.binary, Manifests: filepath.Join(root, "deploy"), Replicas: o.replicas,
		// A third of what the manifests say: the load balancer here looks ten times a second.
		// An API server learns of a new caBundle much faster than in the 5 minutes that a
		// replica gives it, too.
		ExtraArgs: []string{"--shutdown-delay", "3s", "--ca-overlap", overlap.String()},
	})
	if err != nil {
		return nil, nil, err
	}
	_, _, err = cluster.Kubectl(ctx, strings.NewReader(policy), "apply", "-f", "-")
	return cluster, hook, err
}

// inForce waits until the policy holds.
func inForce(ctx context.Context, l *load) error {
	return await(ctx, "the policy to be in force", recovery, func() bool {
		return l.send(8).failure == "" && l.send(9).failure == ""
	})
}

func settle(ctx context.Context, l *load) error {
	begin := time.Now()
	return await(ctx, "admissions to be well again", recovery, func() bool {
		return time.Since(begin) > quiet && l.settled(time.Now(), quiet)
	})
}

// try does what the trial is about while the load goes on, and waits until all is well.
func try(ctx context.Context, t trial, s *scene, l, beside *load) (outcome, error) {
	begin := time.Now()
	if err := t.do(ctx, s); err != nil {
		return outcome{}, err
	}
	if err := settle(ctx, l); err != nil {
		return outcome{}, err
	}
	requests := l.since(begin)
	r := outcome{trial: t, requests: len(requests), seconds: time.Since(begin).Seconds()}
	r.causes, r.failed = count(requests)
	r.outage, r.slowest = longest(requests)
	others := beside.since(begin)
	r.control.requests = len(others)
	_, r.control.failed = count(others)
	r.control.outage, r.control.slowest = longest(others)
	spans := standstills(others)
	for _, q := range requests {
		if q.failure != "" && q.during(spans) {
			r.standing++
		}
	}
	return r, nil
}

// longest is the longest outage, from the first request of a row that failed until the next that
// did not was sent, and how long the slowest took that did not fail.
func longest(requests []request) (outage, slowest time.Duration) {
	slices.SortFunc(requests, bySent)
	var down time.Time
	for _, q := range requests {
		switch {
		case q.failure == "":
			slowest = max(slowest, q.took)
			if !down.IsZero() {
				outage = max(outage, q.sent.Sub(down))
			}
			down = time.Time{}
		case down.IsZero():
			down = q.sent
		}
	}
	return outage, slowest
}

// verdict fails if an admission was wrong, or failed where none may while the control went on.
func verdict(outcomes []outcome) error {
	var errs []error
	for _, r := range outcomes {
		if ours := r.failed - r.standing; ours > 0 && r.seamless {
			errs = append(errs, fmt.Errorf("%s: %d requests failed while the control went on, and none may", r.name, ours))
		}
		for _, cause := range r.causes {
			if strings.HasPrefix(cause, "admitted") {
				errs = append(errs, fmt.Errorf("%s: %s", r.name, cause))
			}
		}
	}
	return errors.Join(errs...)
}

// await polls until done.
func await(ctx context.Context, what string, timeout time.Duration, done func() bool) error {
	deadline := time.Now().Add(timeout)
	for !done() {
		if time.Now().After(deadline) {
			return fmt.Errorf("waiting for %s: not within %s", what, timeout)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
