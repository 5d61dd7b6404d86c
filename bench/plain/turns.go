package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/bench/cluster"
	"github.com/kubetorch/webhook/bench/comparison/install"
	"github.com/kubetorch/webhook/bench/load"
	"github.com/kubetorch/webhook/test/controlplane"
)

// The API server's own metrics: of a whole request, of a step of admission with all plug-ins, of the
// two plug-ins that ask webhooks (the conditions that keep requests away are part of them), and of calls.
const (
	requestDuration = "apiserver_request_duration_seconds"
	stepDuration    = "apiserver_admission_step_admission_duration_seconds"
	pluginDuration  = "apiserver_admission_controller_admission_duration_seconds"
	webhookDuration = "apiserver_admission_webhook_admission_duration_seconds"
)

// byTurns creates the same pods with and without the webhook. Who begins changes.
func (b *bench) byTurns(ctx context.Context) error {
	for round := range b.rounds {
		order := []bool{false, true}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, asked := range order {
			progress("round %d of %d: %d pods, webhook: %t", round+1, b.rounds, b.creates, asked)
			if err := b.set(ctx, asked); err != nil {
				return err
			}
			// What the API server compiles and opens once is no pod's cost.
			if _, err := create(ctx, b.clients, turns, 0, min(b.creates, 200)); err != nil {
				return err
			}
			if err := clear(ctx, b.client, turns); err != nil {
				return err
			}
			for _, n := range []int{1, 8} {
				if err := b.turn(ctx, asked, b.clients[:n]); err != nil {
					return err
				}
			}
		}
	}
	return b.set(ctx, true)
}

// set has the API server ask the webhook or nobody, and waits until it does so: a pod with more GPUs
// than the budget has is refused, or admitted.
func (b *bench) set(ctx context.Context, asked bool) error {
	if err := b.registration.Set(ctx, asked); err != nil {
		return err
	}
	return install.Await(ctx, "the registration", func(ctx context.Context) error {
		o, err := plain(turns, 0)
		if err != nil {
			return err
		}
		containers := o.Object["spec"].(map[string]any)["containers"].([]any)
		containers[0].(map[string]any)["resources"] = map[string]any{"limits": map[string]any{"nvidia.com/gpu": "1000001"}}
		_, err = b.client.Resource(pods).Namespace(turns).Create(ctx, o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		refused := err != nil && strings.Contains(err.Error(), "denied the request")
		switch {
		case err != nil && !refused:
			return err
		case refused != asked:
			return fmt.Errorf("a pod with too many GPUs is refused: %t", refused)
		}
		return nil
	})
}

// turn creates pods, reports that they run, deletes them, and prints what the creates cost.
func (b *bench) turn(ctx context.Context, asked bool, clients []dynamic.Interface) error {
	controllers := b.c.PID(controlplane.KubeControllerManager)
	if err := load.Pause(controllers); err != nil {
		return err
	}
	defer load.Resume(controllers)
	before, err := b.look(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	took, err := create(ctx, clients, turns, 0, b.creates)
	if err != nil {
		return err
	}
	wall := time.Since(began)
	after, err := b.look(ctx)
	if err != nil {
		return err
	}
	if err := start(ctx, b.clients, turns, b.creates); err != nil {
		return err
	}
	if err := clear(ctx, b.client, turns); err != nil {
		return err
	}
	end, err := b.look(ctx)
	if err != nil {
		return err
	}
	slices.Sort(took)
	n := float64(b.creates)
	fmt.Printf("BenchmarkPlain/webhook=%s/clients=%d %d %.1f creates/s %.3f p50-ms %.3f p99-ms %.3f apiserver-cpu-ms/create",
		map[bool]string{true: "with", false: "without"}[asked], len(clients), b.creates,
		n/wall.Seconds(), ms(took[len(took)/2]), ms(took[len(took)*99/100]), ms(after.apiCPU-before.apiCPU)/n)
	for _, m := range []struct {
		unit, name string
		match      []string
	}{
		{"request-us", requestDuration, []string{`verb="POST"`, `resource="pods"`, `subresource=""`, `dry_run=""`}},
		{"admit-us", stepDuration, []string{`operation="CREATE"`, `type="admit"`}},
		{"validate-us", stepDuration, []string{`operation="CREATE"`, `type="validate"`}},
		{"mutating-us", pluginDuration, []string{`operation="CREATE"`, `name="MutatingAdmissionWebhook"`}},
		{"validating-us", pluginDuration, []string{`operation="CREATE"`, `name="ValidatingAdmissionWebhook"`}},
	} {
		mean, err := after.api.Mean(before.api, m.name, m.match...)
		if err != nil {
			return err
		}
		fmt.Printf(" %.1f %s", 1e6*mean, m.unit)
	}
	fmt.Printf(" %g calls\n", end.calls()-before.calls())
	return nil
}

// state is what is read before and after.
type state struct {
	api    cluster.Metrics
	apiCPU time.Duration
}

func (b *bench) look(ctx context.Context) (s state, err error) {
	if s.api, err = b.c.APIMetrics(ctx); err != nil {
		return s, err
	}
	s.apiCPU, err = load.CPU(b.c.PID(controlplane.KubeAPIServer))
	return s, err
}

// calls are how often the API server has called the webhook, but about policies and budgets, which the
// webhook itself writes.
func (s state) calls() float64 {
	const name = webhookDuration + "_count"
	return s.api.Sum(name, `.kubetorch.com"`) - s.api.Sum(name, `name="policies.kubetorch.com"`)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
