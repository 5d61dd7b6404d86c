package pods

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestADeploymentThatServesIsAdoptedAndComesBackWithoutAFailedRequest labels a Deployment of
// two pods while it is asked through a core Service of another name, and takes the label away
// again.
func TestADeploymentThatServesIsAdoptedAndComesBackWithoutAFailedRequest(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "adopt")
	// As every application behind a Service has to, it serves on for a moment when it is told
	// to end.
	create(t, deployments, ns, deployment("serve", 2, 0, map[string]string{"END_DELAY": "5s"}))
	core := create(t, coreServices, ns, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "clients"},
		"spec": map[string]any{
			"selector": map[string]any{"app": "serve"},
			"ports":    []any{map[string]any{"port": int64(80), "targetPort": int64(8080)}},
		},
	}})
	clusterIP, _, _ := unstructured.NestedString(core.Object, "spec", "clusterIP")
	require.NoError(t, cluster.AwaitDeployment(t.Context(), ns, "serve"))
	eventually(t, "answers through the core Service", patience, func() error {
		_, err := throughService(clusterIP, 0).get(t.Context())
		return err
	})
	before := liveNames(ns)
	pods := observe(t.Context(), ns)

	// Those who ask the core Service do so all the time.
	asking, stopAsking := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	throughCore := newLoad()
	clients.Go(func() { throughCore.concurrent(asking, throughService(clusterIP, 200*time.Millisecond), 8, time.Hour) })
	defer stopAsking()
	time.Sleep(2 * time.Second)

	begin := time.Now()
	require.NoError(t, patch(t.Context(), deployments, ns, "serve", `{"metadata":{"labels":{"kubetorch.com/autoscale":"true"},
		"annotations":{"autoscale.kubetorch.com/min-scale":"2","autoscale.kubetorch.com/max-scale":"4","autoscale.kubetorch.com/target":"5"}}}`))
	awaitReady(t, client.Resource(services).Namespace(ns), "serve", "Ready")
	ready := time.Since(begin)
	// From now on others ask the Knative Service by its own name.
	askingKnative, stopKnative := context.WithCancel(t.Context())
	throughKnative := newLoad()
	defer stopKnative()
	clients.Go(func() {
		throughKnative.concurrent(askingKnative, throughIngress(ns, "serve", 200*time.Millisecond), 8, time.Hour)
	})
	own := func() (n int) {
		for name := range liveNames(ns) {
			if before[name] {
				n++
			}
		}
		return n
	}
	eventually(t, "the end of the Deployment's pods", patience, func() error {
		if n := own(); n > 0 {
			return fmt.Errorf("%d are left", n)
		}
		return nil
	})
	emptied := time.Since(begin)
	time.Sleep(10 * time.Second)
	adoptedCore, adoptedKnative := throughCore.answers(), throughKnative.answers()
	assert.Empty(t, throughCore.failed(), "through the core Service, while it was adopted")
	assert.Empty(t, throughKnative.failed(), "through the Knative Service")
	reached := len(throughCore.hosts) - len(before)
	record(adoptTable, "1 adopted", []string{"labelled, under 8 requests at a time through a core Service of another name", fmt.Sprintf(
		"the Knative Service was Ready after %.0f s, the Deployment's own pods were gone after %.0f s; %d answers, %d failed",
		ready.Seconds(), emptied.Seconds(), adoptedCore, len(throughCore.failed()))})
	record(adoptTable, "2 core", []string{"who asks the core Service then", fmt.Sprintf(
		"reaches the application in Knative's pods (%d of them), past Knative, since they have the same labels: those requests count for nothing",
		reached)})
	record(adoptTable, "3 knative", []string{"who asks the Knative Service, 8 requests at a time", fmt.Sprintf(
		"%d answers, %d failed", adoptedKnative, len(throughKnative.failed()))})

	// And back.
	back := time.Now()
	require.NoError(t, patch(t.Context(), deployments, ns, "serve", `{"metadata":{"labels":{"kubetorch.com/autoscale":null}}}`))
	var removed time.Duration
	eventually(t, "the removal of the Knative Service", patience, func() error {
		o, err := client.Resource(services).Namespace(ns).Get(t.Context(), "serve", metav1.GetOptions{})
		if err == nil && o.GetDeletionTimestamp() == nil {
			return fmt.Errorf("it serves")
		}
		removed = time.Since(back)
		return nil
	})
	stopKnative()
	eventually(t, "the end of Knative's pods", patience, func() error {
		if n := countPods(ns); n.All != 2 || n.Ready != 2 {
			return fmt.Errorf("there are %d pods, %d of them ready", n.All, n.Ready)
		}
		return nil
	})
	time.Sleep(3 * time.Second)
	stopAsking()
	clients.Wait()
	drawIf(t, "adopted and back", pods.end(), pods.begin, begin, back, "from the label to its removal")
	record(adoptTable, "4 back", []string{"the label taken away, under the same requests", fmt.Sprintf(
		"the Deployment's 2 pods were ready and the Knative Service removed after %.0f s; through the core Service %d answers, %d failed; "+
			"who asks the Knative Service by its own name gets 404 from then on",
		removed.Seconds(), throughCore.answers()-adoptedCore, len(throughCore.failed()))})
	assert.Empty(t, throughCore.failed(), "through the core Service, in all")
	assert.Greater(t, throughCore.answers(), 100)
	assert.Greater(t, adoptedKnative, 50)
}

// liveNames are the pods of a namespace that have not been told to end.
func liveNames(namespace string) map[string]bool {
	names := map[string]bool{}
	for _, pod := range listPods(namespace) {
		if pod.GetDeletionTimestamp() == nil {
			names[pod.GetName()] = true
		}
	}
	return names
}
