package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/bench/comparison/install"
	"github.com/kubetorch/webhook/test/controlplane"
)

var knativeServices = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}

// result is the outcome of one round against one contender.
type result struct {
	admitted int   // GPUs claimed by the Services that exist afterwards
	services int   // Services that exist afterwards
	refused  int   // creates that an admission webhook denied
	failed   int   // creates that failed in any other way
	failure  error // one of those
	seconds  float64
}

// race fires creates at an API server.
type race struct {
	// requestTimeout is the API server's.
	requestTimeout time.Duration

	client  dynamic.Interface // for everything but the creates
	clients []dynamic.Interface
}

// newRace connects a number of clients, each by a connection of its own.
func newRace(cluster *controlplane.ControlPlane, requestTimeout time.Duration, clients int) (*race, error) {
	r := &race{requestTimeout: requestTimeout}
	for i := range clients + 1 {
		config := cluster.RESTConfig()
		config.WarningHandler = rest.NoWarnings{} // Knative warns of nearly every pod
		// Clients share connections unless they dial by themselves.
		config.Dial = (&net.Dialer{}).DialContext
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return nil, fmt.Errorf("connecting client %d: %w", i, err)
		}
		r.clients = append(r.clients, client)
	}
	r.client, r.clients = r.clients[0], r.clients[1:]
	return r, nil
}

func (r *race) services(client dynamic.Interface) dynamic.ResourceInterface {
	return client.Resource(knativeServices).Namespace(metav1.NamespaceDefault)
}

// run creates a Service for every claim and counts what exists afterwards.
func (r *race) run(ctx context.Context, claims []claim) (result, error) {
	var (
		out     result
		mu      sync.Mutex
		workers sync.WaitGroup
		next    = make(chan int)
		started = time.Now()
	)
	for _, client := range r.clients {
		workers.Go(func() {
			for i := range next {
				o := claims[i].service(fmt.Sprintf("claim-%03d", i))
				_, err := r.services(client).Create(ctx, o, metav1.CreateOptions{})
				mu.Lock()
				switch {
				case err == nil:
				case denied(err):
					out.refused++
				default:
					out.failed++
					out.failure = err
				}
				mu.Unlock()
			}
		})
	}
	for i := range claims {
		next <- i
	}
	close(next)
	workers.Wait()
	out.seconds = time.Since(started).Seconds()

	// What was given up may still be stored until the API server gives it up, too.
	if out.failed > 0 {
		select {
		case <-time.After(r.requestTimeout):
		case <-ctx.Done():
		}
	}
	list, err := r.services(r.client).List(ctx, metav1.ListOptions{})
	if err != nil {
		return out, err
	}
	for i := range list.Items {
		c, err := claimOf(&list.Items[i])
		if err != nil {
			return out, err
		}
		out.admitted += c.total()
		out.services++
	}
	if out.services == 0 && out.failure != nil {
		return out, fmt.Errorf("nothing was admitted: %w", out.failure)
	}
	return out, nil
}

// denied tells whether an admission webhook has refused, rather than not answered.
func denied(err error) bool {
	return strings.Contains(err.Error(), "denied the request")
}

// inForce waits until the rule holds with nothing admitted: a claim of just the whole budget
// passes a dry run, and one GPU more is refused.
func (r *race) inForce(ctx context.Context) error {
	return install.Await(ctx, "the rule to be in force", func(ctx context.Context) error {
		for c, allowed := range map[claim]bool{{gpus: 8, maxScale: budget / 8}: true, {gpus: 1, maxScale: budget + 1}: false} {
			_, err := r.services(r.client).Create(ctx, c.service("probe"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			switch {
			case err != nil && !denied(err):
				return err
			case allowed && err != nil:
				return fmt.Errorf("%d GPUs are refused: %w", c.total(), err)
			case !allowed && err == nil:
				return fmt.Errorf("%d GPUs are admitted", c.total())
			}
		}
		return nil
	})
}

// clear deletes all Services.
func (r *race) clear(ctx context.Context) error {
	if err := r.services(r.client).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		return fmt.Errorf("deleting the Services: %w", err)
	}
	return install.Await(ctx, "the Services to be gone", func(ctx context.Context) error {
		list, err := r.services(r.client).List(ctx, metav1.ListOptions{})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("%d are left", len(list.Items))
		}
		return err
	})
}
