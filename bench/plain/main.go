// Command plain measures what the webhook costs pods that it has nothing to do with: without
// devices, and without its labels. It creates them at a real API server that asks the webhook
// and that asks nobody, by turns, and reads from the API server's own metrics what admission
// took; then it stores ever more of them, and reads what the webhook was asked and what it needs.
//
// Nodes and Knative do not run, so that pods stay as they were created.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/bench/cluster"
	"github.com/kubetorch/webhook/bench/comparison/install"
)

// The namespaces: of pods that are created and deleted, of those that stay, and of those with GPUs.
const (
	turns   = "turns"
	stays   = "stays"
	devices = "devices"
)

const budget = `
apiVersion: policy.kubetorch.com/v1alpha1
kind: GPUBudget
metadata: {name: everything}
spec: {max: 1000000}
`

// requestTimeout is long enough for a machine that stores 50,000 pods beside its other work.
const requestTimeout = 30 * time.Second

type options struct {
	binary                       string
	rounds, creates              int
	most, workloads, podsPerEach int
}

func main() {
	o := options{}
	flag.StringVar(&o.binary, "binary", "../bin/kubetorch-webhook", "the built webhook")
	count := flag.Int("count", 10, "how many results: everything is measured half as often, since each is of many requests")
	flag.Duration("time", 0, "has no effect")
	flag.IntVar(&o.creates, "creates", 1000, "how many pods are created each time")
	flag.IntVar(&o.most, "pods", 50000, "the most pods that are stored")
	flag.IntVar(&o.workloads, "workloads", 1000, "how many workloads with GPUs there are in the end")
	flag.IntVar(&o.podsPerEach, "replicas", 10, "how many pods each of them has")
	flag.Parse()
	o.rounds = (*count + 1) / 2
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "plain:", err)
		os.Exit(1)
	}
}

// bench is what the measurements need.
type bench struct {
	options
	c            *cluster.Cluster
	client       dynamic.Interface
	clients      []dynamic.Interface
	webhook      *cluster.Webhook
	registration *cluster.Registration
}

func run(ctx context.Context, o options) (err error) {
	c, err := cluster.StartPatient(ctx, o.binary, requestTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	all, err := c.Clients(17)
	if err != nil {
		return err
	}
	b := &bench{options: o, c: c, client: all[0], clients: all[1:]}
	for _, name := range []string{turns, stays, devices} {
		if err := b.namespace(ctx, name); err != nil {
			return err
		}
	}
	if b.webhook, err = c.Webhook(ctx); err != nil {
		return err
	}
	if err := c.Apply(ctx, []byte(budget)); err != nil {
		return err
	}
	if err := b.counted(ctx); err != nil {
		return err
	}
	if b.registration, err = c.Registration(ctx, b.client); err != nil {
		return err
	}
	if err := b.byTurns(ctx); err != nil {
		return err
	}
	return b.grow(ctx)
}

// namespace makes a namespace and waits until pods can be created in it.
func (b *bench) namespace(ctx context.Context, name string) error {
	if err := cluster.Namespace(ctx, b.client, name); err != nil {
		return err
	}
	probe := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	return install.Await(ctx, "a service account in "+name, func(ctx context.Context) error {
		o, err := plain(name, 0)
		if err == nil {
			_, err = b.client.Resource(pods).Namespace(name).Create(ctx, o, probe)
		}
		return err
	})
}

// counted waits until the budget is in force.
func (b *bench) counted(ctx context.Context) error {
	_, _, err := b.c.Kubectl(ctx, nil, "wait", "gpubudget/everything", "--for=condition=Counted", "--timeout=3m")
	return err
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "== plain: "+format+"\n", args...)
}
