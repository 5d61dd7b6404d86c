// Command scale measures the webhook in a control plane with ever more policies and
// Services in it: what a review costs over TLS, what the process needs, and how long it takes
// to be ready. The constant handler is measured beside it each time, so that what else the
// machine does shows.
//
// Services are stored while the webhook is not installed, and Knative does not run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/bench/cluster"
	"github.com/kubetorch/webhook/bench/load"
	"github.com/kubetorch/webhook/bench/ours"
	"github.com/kubetorch/webhook/bench/reviews"
	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

const (
	clients = 8
	// stored and created are the namespaces of the Services that are there before and of
	// those that are created to be measured.
	stored, created = "default", "created"
)

var policies = schema.GroupVersionResource{Group: "policy.kubetorch.com", Version: "v1alpha1", Resource: "computepolicies"}

func main() {
	serving := flag.String("serve", "", "serve as a server to compare with: constant")
	binary := flag.String("binary", "../bin/kubetorch-webhook", "the built webhook")
	count := flag.Int("count", 10, "how often each is measured")
	each := flag.Duration("time", 300*time.Millisecond, "a third of the time that one measurement takes")
	most := flag.Int("services", 10000, "the most Services")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *serving != "" {
		err = load.Serve(ctx, *serving)
	} else {
		err = run(ctx, *binary, (*count+1)/2, 3**each, *most)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// scene is what the measurements need.
type scene struct {
	c        *cluster.Cluster
	clients  []dynamic.Interface
	webhook  *cluster.Webhook
	constant *load.Server
	rounds   int
	each     time.Duration
}

func run(ctx context.Context, binary string, rounds int, each time.Duration, most int) (err error) {
	c, err := cluster.Start(ctx, binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	s := &scene{c: c, rounds: rounds, each: each}
	if s.clients, err = c.Clients(16); err != nil {
		return err
	}
	constant, stop, err := load.Start("constant")
	if err != nil {
		return err
	}
	defer stop()
	s.constant = constant
	have := 0
	store := func(n int) error {
		progress("storing Services up to %d", n)
		_, err := cluster.Create(ctx, s.clients, reviews.Find("admit"), stored, have, n)
		have = n
		return err
	}
	if err := cluster.Namespace(ctx, s.clients[0], created); err != nil {
		return err
	}
	if err := store(10); err != nil {
		return err
	}
	if s.webhook, err = c.Webhook(ctx); err != nil {
		return err
	}
	if err := s.resources(ctx, "10 Services without a policy"); err != nil {
		return err
	}
	for _, manifest := range [][]byte{ours.Policy(), ours.Budget()} {
		if err := c.Apply(ctx, manifest); err != nil {
			return err
		}
	}
	if err := s.counted(ctx); err != nil {
		return err
	}
	for _, n := range []int{1, 10, 100} {
		if err := s.unrelated(ctx, n-1); err != nil {
			return err
		}
		if err := s.measure(ctx, "policies", n); err != nil {
			return err
		}
	}
	if err := s.unrelated(ctx, 0); err != nil {
		return err
	}
	for _, n := range []int{10, most / 10, most} {
		if err := c.Uninstall(ctx, s.webhook); err != nil {
			return err
		}
		if err := store(n); err != nil {
			return err
		}
		if s.webhook, err = c.Webhook(ctx); err != nil {
			return err
		}
		if err := s.ready(ctx, n); err != nil {
			return err
		}
		if err := s.counted(ctx); err != nil {
			return err
		}
		if err := s.resources(ctx, fmt.Sprintf("%d Services", n)); err != nil {
			return err
		}
		if err := s.measure(ctx, "services", n); err != nil {
			return err
		}
		if err := s.charge(ctx, n); err != nil {
			return err
		}
	}
	if err := s.unrelated(ctx, 99); err != nil {
		return err
	}
	if _, err := s.webhook.Again(ctx); err != nil {
		return err
	}
	if err := s.counted(ctx); err != nil {
		return err
	}
	return s.resources(ctx, fmt.Sprintf("%d Services and 100 policies", most))
}

// ready restarts the webhook and prints how long it took to be ready.
func (s *scene) ready(ctx context.Context, services int) error {
	for range max(s.rounds, 3) {
		took, err := s.webhook.Again(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("BenchmarkReady/services=%d 1 %.1f ready-ms\n", services, float64(took.Microseconds())/1e3)
	}
	return nil
}

// resources prints the memory and the CPU time of a webhook that nobody asks, and the most
// memory since it started.
func (s *scene) resources(ctx context.Context, state string) error {
	progress("idle with %s", state)
	pid := s.webhook.Process().PID()
	if err := s.webhook.Settled(ctx); err != nil {
		return err
	}
	before, err := load.CPU(pid)
	if err != nil {
		return err
	}
	const idle = 15 * time.Second
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(idle):
	}
	after, err := load.CPU(pid)
	if err != nil {
		return err
	}
	resident, peak, err := load.Memory(pid)
	if err != nil {
		return err
	}
	fmt.Printf("BenchmarkIdle/state=%s 1 %.1f rss-MiB %.1f rss-peak-MiB %.1f cpu-ms/s\n", strings.ReplaceAll(state, " ", "-"),
		resident, peak, float64((after-before).Milliseconds())/idle.Seconds())
	return nil
}

// measure prints what reviews cost with a number of something, beside the constant handler.
func (s *scene) measure(ctx context.Context, what string, n int) error {
	if err := s.webhook.Settled(ctx); err != nil {
		return err
	}
	for round := range s.rounds {
		progress("%d %s: round %d of %d", n, what, round+1, s.rounds)
		for _, name := range []string{"expand", "admit"} {
			for _, server := range []*load.Server{s.constant, s.webhook.Server()} {
				if err := ctx.Err(); err != nil {
					return err
				}
				f, err := server.Measure(reviews.Find(name).Dry(), clients, s.each)
				if err != nil {
					return err
				}
				fmt.Print(f.Line(fmt.Sprintf("Growth/review=%s/%s=%d/server=%s", name, what, n, server.Name)))
			}
		}
	}
	return nil
}

// charge creates and deletes Services through the API server, which the webhook expands,
// judges and charges to the budget, and prints what each cost it.
func (s *scene) charge(ctx context.Context, n int) error {
	const creates = 200
	rounds := min(s.rounds, 3)
	for round := range rounds {
		progress("%d Services charged among %d: round %d of %d", creates, n, round+1, rounds)
		before, err := load.CPU(s.webhook.Process().PID())
		if err != nil {
			return err
		}
		took, err := cluster.Create(ctx, s.clients[:clients], reviews.Find("expand"), created, 0, creates)
		if err != nil {
			return err
		}
		after, err := load.CPU(s.webhook.Process().PID())
		if err != nil {
			return err
		}
		slices.Sort(took)
		fmt.Printf("BenchmarkCharge/part=charge/services=%d %d %.2f p50-ms %.2f p99-ms %.4f cpu-s/10k\n", n, creates,
			ms(took[creates/2]), ms(took[creates*99/100]), 10000*(after-before).Seconds()/creates)
		if err := cluster.Clear(ctx, s.clients[0], created); err != nil {
			return err
		}
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// unrelated has a number of policies that select other workloads.
func (s *scene) unrelated(ctx context.Context, n int) error {
	progress("%d policies that select other workloads", n)
	var like v1alpha1.ComputePolicy
	if err := yaml.Unmarshal(ours.Policy(), &like); err != nil {
		return err
	}
	client := s.clients[0].Resource(policies)
	have, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	names := map[string]bool{like.Name: true}
	var manifest []byte
	for i := range n {
		p := ours.Unrelated(&like, i)
		names[p.Name] = true
		text, err := yaml.Marshal(p)
		if err != nil {
			return err
		}
		manifest = append(append(manifest, text...), "---\n"...)
	}
	for _, o := range have.Items {
		if !names[o.GetName()] {
			if err := client.Delete(ctx, o.GetName(), metav1.DeleteOptions{}); err != nil {
				return err
			}
		}
	}
	if n == 0 {
		return nil
	}
	return s.c.Apply(ctx, manifest)
}

// counted waits until claims on the budget may rise.
func (s *scene) counted(ctx context.Context) error {
	if _, _, err := s.c.Kubectl(ctx, nil, "wait", "gpubudget/cluster", "--for=condition=Counted", "--timeout=3m"); err != nil {
		return err
	}
	return s.c.AwaitCases(ctx, s.webhook.Server())
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "== scale: "+format+"\n", args...)
}
