// Command apiserver creates Services at a real API server without a webhook, with this
// repository's, and with Gatekeeper's, by turns, and reads from the API server's own metrics
// what admission added.
//
// All three are namespaces of one control plane: one that no webhook covers, one that this
// repository's does, and one that Gatekeeper's does. Knative does not run, so that nothing
// else is made of a Service.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/bench/cluster"
	"github.com/kubetorch/webhook/bench/load"
	"github.com/kubetorch/webhook/bench/ours"
	"github.com/kubetorch/webhook/bench/reviews"
	"github.com/kubetorch/webhook/test/controlplane"
)

// The namespaces. The webhook's own configuration leaves out the names of system namespaces,
// so these serve for what it is not to cover.
const (
	nobodys     = "kube-node-lease"
	oursAlone   = "default"
	gatekeepers = "cert-manager"
)

func main() {
	binary := flag.String("binary", "../bin/kubetorch-webhook", "the built webhook")
	count := flag.Int("count", 10, "how many results: everything is measured half as often, since each is of many requests")
	flag.Duration("time", 0, "has no effect")
	creates := flag.Int("creates", 1000, "how many Services are created each time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *binary, (*count+1)/2, *creates); err != nil {
		fmt.Fprintln(os.Stderr, "apiserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, rounds, creates int) (err error) {
	c, err := cluster.Start(ctx, binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	all, err := c.Clients(65)
	if err != nil {
		return err
	}
	client, clients := all[0], all[1:]
	for _, name := range []string{nobodys, gatekeepers} {
		if err := cluster.Namespace(ctx, client, name); err != nil {
			return err
		}
	}
	webhook, err := c.Webhook(ctx)
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, ours.Policy()); err != nil {
		return err
	}
	gatekeeper, version, err := c.Gatekeeper(ctx, gatekeepers)
	if err != nil {
		return err
	}
	fmt.Printf("version-gatekeeper: %s\n", version)
	for _, s := range []*load.Server{webhook.Server(), gatekeeper} {
		if err := c.AwaitCases(ctx, s); err != nil {
			return err
		}
	}
	b := &bench{c: c, client: client, webhook: webhook, gatekeeper: gatekeeper, creates: creates}
	for round := range rounds {
		for _, with := range []string{"none", "ours", "gatekeeper"} {
			fmt.Fprintf(os.Stderr, "== API server: round %d of %d, %d Services, webhook: %s\n", round+1, rounds, creates, with)
			for _, n := range []int{1, 8} {
				if err := b.create(ctx, with, clients[:n]); err != nil {
					return err
				}
			}
		}
	}
	if err := c.Apply(ctx, ours.Budget()); err != nil {
		return err
	}
	if _, _, err := c.Kubectl(ctx, nil, "wait", "gpubudget/cluster", "--for=condition=Counted", "--timeout=3m"); err != nil {
		return err
	}
	rounds = min(rounds, 3)
	for round := range rounds {
		for _, n := range []int{1, 8, 64} {
			// A client alone waits for a write each time.
			creates := max(1, creates*min(n, 8)/8)
			fmt.Fprintf(os.Stderr, "== API server: round %d of %d, %d Services charged to a budget by %d clients\n", round+1, rounds, creates, n)
			if err := b.charge(ctx, clients[:n], creates); err != nil {
				return err
			}
		}
	}
	return nil
}

type bench struct {
	c          *cluster.Cluster
	client     dynamic.Interface
	webhook    *cluster.Webhook
	gatekeeper *load.Server
	creates    int
}

// create creates Services under one webhook and prints what that cost.
func (b *bench) create(ctx context.Context, with string, clients []dynamic.Interface) error {
	namespace := map[string]string{"none": nobodys, "ours": oursAlone, "gatekeeper": gatekeepers}[with]
	pid := map[string]int{"ours": b.webhook.Process().PID(), "gatekeeper": b.gatekeeper.PID}[with]
	before, err := b.look(ctx, pid)
	if err != nil {
		return err
	}
	c := reviews.Find("expand")
	if with == "none" {
		// What is stored in the end is the same.
		c = reviews.Find("admit")
	}
	began := time.Now()
	took, err := cluster.Create(ctx, clients, c, namespace, 0, b.creates)
	if err != nil {
		return err
	}
	wall := time.Since(began)
	after, err := b.look(ctx, pid)
	if err != nil {
		return err
	}
	slices.Sort(took)
	name := fmt.Sprintf("BenchmarkAPIServer/webhook=%s/clients=%d", with, len(clients))
	fmt.Printf("%s %d %.1f creates/s %.2f p50-ms %.2f p99-ms %.3f apiserver-cpu-ms/create %.3f webhook-cpu-ms/create\n", name, b.creates,
		float64(b.creates)/wall.Seconds(), ms(took[len(took)/2]), ms(took[len(took)*99/100]),
		1e3*(after.apiCPU-before.apiCPU).Seconds()/float64(b.creates), 1e3*(after.cpu-before.cpu).Seconds()/float64(b.creates))
	// The API server's own metrics: what a step of admission took, and of that each call of
	// a webhook.
	for _, of := range [][2]string{{"admit", "admit"}, {"validate", "validating"}} {
		step, kind := of[0], of[1]
		whole := after.api.Sum(stepDuration+"_sum", `operation="CREATE"`, fmt.Sprintf("type=%q", step)) -
			before.api.Sum(stepDuration+"_sum", `operation="CREATE"`, fmt.Sprintf("type=%q", step))
		fmt.Printf("%s/step=%s %d %.3f step-ms/create", name, step, b.creates, 1e3*whole/float64(b.creates))
		if with != "none" {
			call, err := after.api.Mean(before.api, webhookDuration, owners[with], `operation="CREATE"`, fmt.Sprintf("type=%q", kind))
			if err != nil {
				return err
			}
			fmt.Printf(" %.3f webhook-ms/call", 1e3*call)
		}
		fmt.Println()
	}
	return cluster.Clear(ctx, b.client, namespace)
}

// charge creates Services that are charged to a budget and prints how many admissions shared
// a write of its ledger.
func (b *bench) charge(ctx context.Context, clients []dynamic.Interface, creates int) error {
	before, err := b.look(ctx, b.webhook.Process().PID())
	if err != nil {
		return err
	}
	took, err := cluster.Create(ctx, clients, reviews.Find("expand"), oursAlone, 0, creates)
	if err != nil {
		return err
	}
	after, err := b.look(ctx, b.webhook.Process().PID())
	if err != nil {
		return err
	}
	charges := after.own.Sum("kubetorch_webhook_budget_charges_total") - before.own.Sum("kubetorch_webhook_budget_charges_total")
	writes := after.own.Sum("kubetorch_webhook_budget_writes_total", `result="stored"`) - before.own.Sum("kubetorch_webhook_budget_writes_total", `result="stored"`)
	conflicts := after.own.Sum("kubetorch_webhook_budget_writes_total", `result="conflict"`) - before.own.Sum("kubetorch_webhook_budget_writes_total", `result="conflict"`)
	if writes == 0 || int(charges) < creates {
		return fmt.Errorf("%d Services: %g charges in %g writes", creates, charges, writes)
	}
	slices.Sort(took)
	fmt.Printf("BenchmarkLedger/part=ledger/clients=%d %d %.2f charges/write %g conflicts %.2f p50-ms %.2f p99-ms\n", len(clients), creates,
		charges/writes, conflicts, ms(took[len(took)/2]), ms(took[len(took)*99/100]))
	return cluster.Clear(ctx, b.client, oursAlone)
}

// state is what is read before and after.
type state struct {
	api, own    cluster.Metrics
	cpu, apiCPU time.Duration
}

func (b *bench) look(ctx context.Context, pid int) (s state, err error) {
	if s.api, err = b.c.APIMetrics(ctx); err != nil {
		return s, err
	}
	if s.own, err = cluster.WebhookMetrics(ctx, b.webhook.Address); err != nil {
		return s, err
	}
	if s.apiCPU, err = load.CPU(b.c.PID(controlplane.KubeAPIServer)); err != nil {
		return s, err
	}
	if pid != 0 {
		s.cpu, err = load.CPU(pid)
	}
	return s, err
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// owners tell whose webhooks a metric is about, by what their names end with.
var owners = map[string]string{"ours": `.kubetorch.com"`, "gatekeeper": `.gatekeeper.sh"`}

const (
	stepDuration    = "apiserver_admission_step_admission_duration_seconds"
	webhookDuration = "apiserver_admission_webhook_admission_duration_seconds"
)
