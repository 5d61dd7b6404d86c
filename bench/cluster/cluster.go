// Package cluster is the control plane that parts of the benchmark run on: a kube-apiserver
// with etcd, Knative's types without Knative, this repository's webhook and Gatekeeper.
package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/bench/comparison/install"
	"github.com/kubetorch/webhook/bench/load"
	"github.com/kubetorch/webhook/bench/reviews"
	"github.com/kubetorch/webhook/test/controlplane"
)

// short is a request timeout of the API server. A budget is in force only after it.
const short = 5 * time.Second

// Cluster is a control plane that runs.
type Cluster struct {
	*controlplane.ControlPlane
	binary, root string
	timeout      time.Duration
}

// Start starts one with a short request timeout. The webhook's binary is for Webhook.
func Start(ctx context.Context, binary string) (*Cluster, error) {
	return StartPatient(ctx, binary, short)
}

// StartPatient starts one whose API server has a request timeout. A budget is in force only after it.
func StartPatient(ctx context.Context, binary string, requestTimeout time.Duration) (*Cluster, error) {
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("the webhook is not built: %w", err)
	}
	fmt.Fprintln(os.Stderr, "== starting a control plane")
	c, err := controlplane.Start(ctx, controlplane.Options{KnativeTypes: true, RequestTimeout: requestTimeout})
	if err != nil {
		return nil, err
	}
	return &Cluster{c, binary, root, requestTimeout}, nil
}

// Apply applies a manifest.
func (c *Cluster) Apply(ctx context.Context, text []byte) error {
	return install.ApplyText(ctx, c.ControlPlane, text)
}

// PID is that of one of its processes by name, 0 if it does not run.
func (c *Cluster) PID(name string) int {
	for _, p := range c.Processes() {
		if p.Name() == name {
			return p.PID()
		}
	}
	return 0
}

// Webhook is this repository's, with one replica.
type Webhook struct{ *controlplane.Replica }

// Webhook installs the webhook as it is shipped.
func (c *Cluster) Webhook(ctx context.Context) (*Webhook, error) {
	replicas, err := c.Webhooks(ctx, 1)
	if err != nil {
		return nil, err
	}
	return replicas[0], nil
}

// Webhooks installs the webhook as it is shipped, with a number of replicas.
func (c *Cluster) Webhooks(ctx context.Context, replicas int) ([]*Webhook, error) {
	w, err := c.InstallWebhook(ctx, controlplane.WebhookOptions{
		Binary: c.binary, Manifests: filepath.Join(c.root, "deploy"), Replicas: replicas,
		ExtraArgs: []string{"--api-request-timeout", c.timeout.String(), "--log-level", "error"},
	})
	if err != nil {
		return nil, err
	}
	all := make([]*Webhook, len(w.Replicas))
	for i, r := range w.Replicas {
		all[i] = &Webhook{r}
	}
	return all, nil
}

// Uninstall stops the webhook and has the API server ask nobody.
func (c *Cluster) Uninstall(ctx context.Context, replicas ...*Webhook) error {
	for _, w := range replicas {
		if err := w.Process().Stop(); err != nil {
			return err
		}
	}
	_, _, err := c.Kubectl(ctx, nil, "delete", "mutatingwebhookconfiguration,validatingwebhookconfiguration", "kubetorch-webhook")
	return err
}

// Server is the webhook's running process.
func (w *Webhook) Server() *load.Server {
	return &load.Server{Name: "ours", Address: w.Address, PID: w.Process().PID(), Mutate: "/mutate", Validate: "/validate", Decides: true}
}

// Again stops the webhook, starts it again, and tells how long it took to be ready.
func (w *Webhook) Again(ctx context.Context) (time.Duration, error) {
	if err := w.Process().Stop(); err != nil {
		return 0, err
	}
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- w.Restart(ctx) }()
	for {
		if w.Ready(ctx) == nil {
			return time.Since(began), <-ended
		}
		select {
		case err := <-ended:
			return time.Since(began), err
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Settled waits until a webhook that nobody asks has done what it does after a start or a
// change, with pauses between; at most a minute, since what it does all the time is part of its cost.
func (w *Webhook) Settled(ctx context.Context) error {
	pid := w.Process().PID()
	const look, quiet = 2 * time.Second, 5
	seen := 0
	for range 30 {
		before, err := load.CPU(pid)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
		after, err := load.CPU(pid)
		if err != nil {
			return err
		}
		if seen++; after-before >= look/50 {
			seen = 0
		}
		if seen == quiet {
			break
		}
	}
	return nil
}

// Gatekeeper installs Gatekeeper with the defaults and bounds of the in-process benchmark.
// An API server asks it about one namespace only, if that is not empty.
func (c *Cluster) Gatekeeper(ctx context.Context, namespace string) (*load.Server, string, error) {
	tools, err := controlplane.EnsureTools(ctx, os.Stderr, controlplane.Gatekeeper)
	if err != nil {
		return nil, "", err
	}
	fmt.Fprintln(os.Stderr, "== installing Gatekeeper")
	g, err := install.Gatekeeper(ctx, c.ControlPlane, install.GatekeeperOptions{Binary: tools[controlplane.Gatekeeper], Mutation: true, Namespace: namespace})
	if err != nil {
		return nil, "", err
	}
	for _, file := range []string{"template.yaml", "constraint.yaml"} {
		text, err := os.ReadFile(filepath.Join(c.root, "bench", "gatekeeper", file))
		if err != nil {
			return nil, "", err
		}
		if err := c.Apply(ctx, text); err != nil {
			return nil, "", err
		}
	}
	assign, err := os.ReadFile(filepath.Join(c.root, "bench", "gatekeeper", "assign.yaml"))
	if err != nil {
		return nil, "", err
	}
	var all bytes.Buffer
	for i, key := range reviews.Order {
		fmt.Fprintf(&all, string(assign)+"\n---\n", i, key, reviews.Defaults[key])
	}
	server := &load.Server{Name: "gatekeeper", Address: g.Address, PID: g.Process.PID(), Mutate: "/v1/mutate", Validate: "/v1/admit", Decides: true}
	return server, g.Version, c.Apply(ctx, all.Bytes())
}

// AwaitCases waits until a server answers every case as it should: its policies are in force.
// They are dry runs, which leave nothing to clear up.
func (c *Cluster) AwaitCases(ctx context.Context, s *load.Server) error {
	return install.Await(ctx, "the policies of "+s.Name, func(context.Context) error {
		var errs []error
		for _, one := range reviews.Cases() {
			errs = append(errs, s.Try(one.Dry()))
		}
		return errors.Join(errs...)
	})
}

// Clients are a number of clients, each with a connection of its own.
func (c *Cluster) Clients(n int) ([]dynamic.Interface, error) {
	var clients []dynamic.Interface
	for range n {
		config := c.RESTConfig()
		config.WarningHandler = rest.NoWarnings{}
		// Clients share connections unless they dial by themselves.
		config.Dial = (&net.Dialer{}).DialContext
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}
