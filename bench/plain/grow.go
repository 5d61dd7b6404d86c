package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/bench/cluster"
	"github.com/kubetorch/webhook/bench/comparison/install"
	"github.com/kubetorch/webhook/bench/load"
	"github.com/kubetorch/webhook/pkg/budget/usage"
	inventory "github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/test/controlplane"
)

var budgets = schema.GroupVersionResource{Group: "policy.kubetorch.com", Version: "v1alpha1", Resource: "gpubudgets"}

// grow stores ever more plain pods while the webhook is asked, and in the end workloads with GPUs
// while it is not, so that it finds them.
func (b *bench) grow(ctx context.Context) error {
	if err := b.measure(ctx, "0 plain pods", 0); err != nil {
		return err
	}
	have := 0
	for _, n := range []int{b.most / 5, b.most} {
		progress("storing plain pods up to %d", n)
		before, err := b.look(ctx)
		if err != nil {
			return err
		}
		if _, err := create(ctx, b.clients, stays, have, n); err != nil {
			return err
		}
		after, err := b.look(ctx)
		if err != nil {
			return err
		}
		have = n
		if err := b.measure(ctx, fmt.Sprintf("%d plain pods", n), after.calls()-before.calls()); err != nil {
			return err
		}
	}
	if err := b.c.Uninstall(ctx, b.webhook); err != nil {
		return err
	}
	if err := b.store(ctx); err != nil {
		return err
	}
	var err error
	if b.webhook, err = b.c.Webhook(ctx); err != nil {
		return err
	}
	return b.measure(ctx, fmt.Sprintf("%d plain pods, %d pods with GPUs of %d workloads", b.most, b.workloads*b.podsPerEach, b.workloads), 0)
}

// withGPUs is a workload whose pods have a GPU each.
const withGPUs = `{apiVersion: %s, kind: %s, metadata: {name: train-%d}, spec: {%s, template: {metadata: {labels: {app: train-%[3]d}},
  spec: {%[5]s containers: [{name: main, image: "registry.example.com/ml/train:1.4.2", args: [-m, train], env: [{name: MODEL, value: llama-3-8b}],
  resources: {requests: {cpu: "4", memory: 16Gi}, limits: {memory: 16Gi, nvidia.com/gpu: "1"}}}]}}}}`

// workload is the manifest of a workload with a number: ReplicaSets, StatefulSets and Jobs by turns.
func (b *bench) workload(i int) (schema.GroupVersionResource, *unstructured.Unstructured, error) {
	selector := fmt.Sprintf("selector: {matchLabels: {app: train-%d}}, replicas: %d", i, b.podsPerEach)
	resource, kind, spec, pods := "replicasets", "ReplicaSet", selector, ""
	version := schema.GroupVersion{Group: "apps", Version: "v1"}
	switch i % 3 {
	case 1:
		resource, kind, spec = "statefulsets", "StatefulSet", selector+", serviceName: train, podManagementPolicy: Parallel"
	case 2:
		version.Group, resource, kind, pods = "batch", "jobs", "Job", "restartPolicy: Never,"
		spec = fmt.Sprintf("parallelism: %d, completions: %[1]d", b.podsPerEach)
	}
	o := &unstructured.Unstructured{}
	text, err := yaml.YAMLToJSON(fmt.Appendf(nil, withGPUs, version, kind, i, spec, pods))
	if err == nil {
		err = o.UnmarshalJSON(text)
	}
	return version.WithResource(resource), o, err
}

// store has kube-controller-manager make pods with GPUs of workloads, and waits until all are there.
func (b *bench) store(ctx context.Context) error {
	progress("storing %d workloads with GPUs", b.workloads)
	err := each(ctx, b.clients[:8], 0, b.workloads, func(client dynamic.Interface, i int) error {
		resource, o, err := b.workload(i)
		if err == nil {
			_, err = client.Resource(resource).Namespace(devices).Create(ctx, o, metav1.CreateOptions{})
		}
		return err
	})
	if err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		err := install.Await(ctx, "the pods of workloads", func(ctx context.Context) error {
			list, err := b.client.Resource(pods).Namespace(devices).List(ctx, metav1.ListOptions{Limit: 1})
			if err != nil {
				return err
			}
			have := len(list.Items)
			if more := list.GetRemainingItemCount(); more != nil {
				have += int(*more)
			}
			if have != b.workloads*b.podsPerEach {
				return fmt.Errorf("there are %d", have)
			}
			return nil
		})
		if err == nil || attempt == 3 {
			return err
		}
	}
}

// measure starts the webhook anew among what is stored, waits until it has counted that and has
// nothing more to do, and prints what it needs, with how often it was asked about what was stored.
func (b *bench) measure(ctx context.Context, state string, calls float64) error {
	progress("the webhook with %s", state)
	ready, err := b.webhook.Again(ctx)
	if err != nil {
		return err
	}
	if err := b.counted(ctx); err != nil {
		return err
	}
	if err := b.ledger(ctx); err != nil {
		return err
	}
	if err := b.webhook.Settled(ctx); err != nil {
		return err
	}
	pid := b.webhook.Process().PID()
	before, err := load.CPU(pid)
	if err != nil {
		return err
	}
	const idle = 30 * time.Second
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
	own, err := cluster.WebhookMetrics(ctx, b.webhook.Address)
	if err != nil {
		return err
	}
	apiserver, err := load.Resident(b.c.PID(controlplane.KubeAPIServer))
	if err != nil {
		return err
	}
	fmt.Printf("BenchmarkPopulation/state=%s 1 %g calls %.1f rss-MiB %.1f rss-peak-MiB %.1f heap-MiB %.1f cpu-ms/s %.1f ready-ms %.1f apiserver-rss-MiB",
		strings.ReplaceAll(state, " ", "-"), calls, resident, peak, own.Sum("go_memstats_heap_alloc_bytes")/(1<<20),
		float64((after-before).Milliseconds())/idle.Seconds(), ms(ready), apiserver)
	if err := b.recount(ctx); err != nil {
		return err
	}
	fmt.Println()
	return nil
}

// ledger waits until the budget holds what the workloads claim, and nothing else.
func (b *bench) ledger(ctx context.Context) error {
	return install.Await(ctx, "the ledger", func(ctx context.Context) error {
		workloads := 0
		for _, resource := range []string{"replicasets", "statefulsets"} {
			list, err := b.client.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource}).
				Namespace(devices).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
			if err != nil {
				return err
			}
			workloads += len(list.Items)
		}
		jobs, err := b.client.Resource(schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}).
			Namespace(devices).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return err
		}
		workloads += len(jobs.Items)
		o, err := b.client.Resource(budgets).Get(ctx, "everything", metav1.GetOptions{})
		if err != nil {
			return err
		}
		used, _, _ := unstructured.NestedInt64(o.Object, "status", "used")
		reserved, _, _ := unstructured.NestedInt64(o.Object, "status", "reserved")
		if int(used) != workloads*b.podsPerEach || reserved != 0 {
			return fmt.Errorf("%d GPUs are used and %d reserved, of %d workloads", used, reserved, workloads)
		}
		return nil
	})
}

// recount reads the cluster and counts it as the webhook does, and prints how long that takes and
// what is kept of it.
func (b *bench) recount(ctx context.Context) error {
	config := b.c.RESTConfig()
	config.DisableCompression = true
	source, err := inventory.NewSource(config, nil)
	if err != nil {
		return err
	}
	kept := heap()
	began := time.Now()
	objects, err := inventory.List(ctx, source)
	if err != nil {
		return err
	}
	listed := time.Since(began)
	kept = heap() - kept
	began = time.Now()
	claims := usage.All(review.World{
		Policies: policy.CompileStored(nil), Knative: knative.Default(), Cluster: &review.Cluster{Knative: true},
		NamespaceLabels: func(string) (map[string]string, bool) { return nil, true },
	}, objects)
	fmt.Printf(" %.3f list-s %.3f count-s %d claims %.2f kept-MiB", listed.Seconds(), time.Since(began).Seconds(), len(claims), float64(kept)/(1<<20))
	runtime.KeepAlive(objects)
	return nil
}

// heap is the memory in use that is no garbage.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
