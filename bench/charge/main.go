// Command charge creates objects at a real API server in a namespace without a quota, in one
// with a ResourceQuota and in one under a GPUBudget, by turns, with one and with several
// clients and replicas of the webhook, and with ever more claims in the budget's ledger.
//
// The webhook is installed throughout and asked about every object, so that what a budget adds
// is the charge. Knative does not run, and kube-controller-manager stands still while objects
// are created, so that nothing else is made of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/bench/cluster"
	"github.com/kubetorch/webhook/bench/comparison/install"
	"github.com/kubetorch/webhook/bench/load"
	"github.com/kubetorch/webhook/test/controlplane"
)

const manifests = `
apiVersion: v1
kind: Namespace
metadata: {name: free}
---
apiVersion: v1
kind: Namespace
metadata: {name: quota}
---
apiVersion: v1
kind: Namespace
metadata: {name: budget, labels: {budget: "true"}}
---
apiVersion: v1
kind: Namespace
metadata: {name: claims, labels: {budget: "true"}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: quota, namespace: quota}
spec:
  hard:
    count/services.serving.knative.dev: "1000000"
    count/jobs.batch: "1000000"
    requests.nvidia.com/gpu: "1000000"
`

const budget = `
apiVersion: policy.kubetorch.com/v1alpha1
kind: GPUBudget
metadata: {name: budget}
spec:
  max: 1000000
  namespaceSelector: {matchLabels: {budget: "true"}}
`

// namespaces by what limits them.
var namespaces = []struct{ limit, name string }{{"none", "free"}, {"ResourceQuota", "quota"}, {"GPUBudget", "budget"}}

var (
	budgets = schema.GroupVersionResource{Group: "policy.kubetorch.com", Version: "v1alpha1", Resource: "gpubudgets"}
	quotas  = schema.GroupVersionResource{Version: "v1", Resource: "resourcequotas"}
)

func main() {
	o := options{}
	flag.StringVar(&o.binary, "binary", "../bin/kubetorch-webhook", "the built webhook")
	count := flag.Int("count", 10, "how many results: everything is measured a third as often, since each is of many requests")
	flag.Duration("time", 0, "has no effect")
	flag.IntVar(&o.creates, "creates", 300, "how many objects 64 clients create each time; fewer create fewer")
	flag.StringVar(&o.kinds, "kinds", "Service,Job,Pod", "the kinds of objects")
	flag.StringVar(&o.clients, "clients", "1,8,64", "the numbers of clients")
	flag.StringVar(&o.replicas, "replicas", "1,3", "the numbers of replicas")
	flag.StringVar(&o.claims, "claims", "10,1000,10000", "the numbers of claims in the ledger")
	flag.Parse()
	o.rounds = (*count + 2) / 3
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "charge:", err)
		os.Exit(1)
	}
}

type options struct {
	binary                           string
	rounds, creates                  int
	kinds, clients, replicas, claims string
}

// bench is what the measurements need.
type bench struct {
	options
	c        *cluster.Cluster
	client   dynamic.Interface
	all      []dynamic.Interface
	replicas []*cluster.Webhook
	running  []*cluster.Webhook
}

func run(ctx context.Context, o options) (err error) {
	claims, err := numbers(o.claims)
	if err != nil {
		return err
	}
	c, err := cluster.Start(ctx, o.binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	all, err := c.Clients(65)
	if err != nil {
		return err
	}
	b := &bench{options: o, c: c, client: all[0], all: all[1:]}
	if err := c.Apply(ctx, []byte(manifests)); err != nil {
		return err
	}
	if err := b.quota(ctx); err != nil {
		return err
	}
	for i, n := range claims {
		if err := b.install(ctx, n, i > 0); err != nil {
			return err
		}
		if err := b.measure(ctx, n, i == 0); err != nil {
			return err
		}
	}
	return nil
}

// install stores claims while no webhook covers them, and installs the webhook.
func (b *bench) install(ctx context.Context, claims int, again bool) error {
	have := 0
	if again {
		if err := b.c.Uninstall(ctx, b.replicas...); err != nil {
			return err
		}
		list, err := b.client.Resource(kinds[0].resource).Namespace("claims").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		have = len(list.Items)
	}
	progress("storing claims up to %d", claims)
	if _, err := kinds[0].create(ctx, b.all[:16], "claims", have, claims); err != nil {
		return err
	}
	replicas, err := numbers(b.options.replicas)
	if err != nil {
		return err
	}
	if b.replicas, err = b.c.Webhooks(ctx, max(replicas[len(replicas)-1], 2)); err != nil {
		return err
	}
	b.running = b.replicas
	if again {
		return b.settled(ctx, claims)
	}
	if err := b.c.Apply(ctx, []byte(budget)); err != nil {
		return err
	}
	return b.settled(ctx, claims)
}

// quota waits until all that the ResourceQuota limits is counted. kube-controller-manager looks for
// kinds that it does not know every half a minute, and later on a busy machine.
func (b *bench) quota(ctx context.Context) (err error) {
	for range 5 {
		if err = b.counted(ctx); err == nil {
			return nil
		}
	}
	return err
}

func (b *bench) counted(ctx context.Context) error {
	return install.Await(ctx, "the ResourceQuota", func(ctx context.Context) error {
		o, err := b.client.Resource(quotas).Namespace("quota").Get(ctx, "quota", metav1.GetOptions{})
		if err != nil {
			return err
		}
		used, _, _ := unstructured.NestedMap(o.Object, "status", "used")
		if hard, _, _ := unstructured.NestedMap(o.Object, "spec", "hard"); len(used) < len(hard) {
			return fmt.Errorf("%d of %d are counted", len(used), len(hard))
		}
		return nil
	})
}

// settled waits until the ledger holds a number of claims, all of them settled.
func (b *bench) settled(ctx context.Context, claims int) error {
	return install.Await(ctx, fmt.Sprintf("%d claims in the ledger", claims), func(ctx context.Context) error {
		o, err := b.client.Resource(budgets).Get(ctx, "budget", metav1.GetOptions{})
		if err != nil {
			return err
		}
		workloads, _, _ := unstructured.NestedInt64(o.Object, "status", "workloads")
		reserved, _, _ := unstructured.NestedInt64(o.Object, "status", "reserved")
		if int(workloads) != claims || reserved != 0 {
			return fmt.Errorf("there are %d, and %d GPUs are reserved", workloads, reserved)
		}
		return nil
	})
}

// measure measures with a number of claims: everything, or Services under a budget alone, with
// one that has none beside it.
func (b *bench) measure(ctx context.Context, claims int, everything bool) error {
	replicas, err := numbers(b.options.replicas)
	if err != nil {
		return err
	}
	clients, err := numbers(b.options.clients)
	if err != nil {
		return err
	}
	for round := range b.rounds {
		for _, n := range replicas {
			if err := b.run(ctx, n); err != nil {
				return err
			}
			for _, k := range kinds {
				if !strings.Contains(b.kinds, k.name) || (!everything && k.name != kinds[0].name) {
					continue
				}
				for _, at := range clients {
					progress("round %d of %d: %d claims, %d replicas, %d clients create %ss", round+1, b.rounds, claims, n, at, k.name)
					if err := b.turn(ctx, k, claims, at); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// run has a number of replicas run.
func (b *bench) run(ctx context.Context, n int) error {
	for i, r := range b.replicas {
		var err error
		switch running := i < len(b.running); {
		case i < n && !running:
			err = r.Restart(ctx)
		case i >= n && running:
			err = r.Process().Stop()
		}
		if err != nil {
			return err
		}
	}
	b.running = b.replicas[:n]
	return nil
}

// turn creates the same objects in every namespace and prints what they cost.
func (b *bench) turn(ctx context.Context, k kind, claims, clients int) error {
	creates := max(1, b.creates*clients/(clients+8))
	for _, in := range namespaces {
		if err := b.create(ctx, k, in.limit, in.name, claims, clients, creates); err != nil {
			return err
		}
	}
	return b.settled(ctx, claims)
}

// state is what is read before and after.
type state struct {
	own, api            cluster.Metrics
	apiCPU, etcdCPU, us time.Duration
	written             int64
}

func (b *bench) look(ctx context.Context) (s state, err error) {
	if s.api, err = b.c.APIMetrics(ctx); err != nil {
		return s, err
	}
	s.own = cluster.Metrics{}
	for i, r := range b.running {
		m, err := cluster.WebhookMetrics(ctx, r.Address)
		if err != nil {
			return s, err
		}
		for line, value := range m {
			s.own[fmt.Sprintf("%s{replica=%d}", line, i)] = value
		}
		cpu, err := load.CPU(r.Process().PID())
		if err != nil {
			return s, err
		}
		s.us += cpu
	}
	if s.apiCPU, err = load.CPU(b.c.PID(controlplane.KubeAPIServer)); err != nil {
		return s, err
	}
	if s.etcdCPU, err = load.CPU(b.c.PID(controlplane.Etcd)); err != nil {
		return s, err
	}
	s.written, err = load.Written(b.c.PID(controlplane.Etcd))
	return s, err
}

func numbers(text string) (all []int, err error) {
	for one := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(one)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no list of numbers from 1 on", text)
		}
		all = append(all, n)
	}
	return all, nil
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "== charge: "+format+"\n", args...)
}
