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

// TestTheShippedDeploymentRestartsWithoutAFailedAdmission restarts the two pods of the
// shipped Deployment, one after the other, while Services are admitted all the time.
func TestTheShippedDeploymentRestartsWithoutAFailedAdmission(t *testing.T) {
	ns := newNamespace(t, "restart")
	before := webhookPods(t)
	require.Len(t, before, 2)
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	admitted, failed := 0, []string{}
	var workers sync.WaitGroup
	for worker := range 4 {
		workers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				// A dry run is admitted like any other, and leaves nothing to run.
				o := service(fmt.Sprintf("app-%d-%d", worker, i), map[string]string{"autoscale.kubetorch.com/max-scale": "3"}, nil)
				created, err := client.Resource(services).Namespace(ns).
					Create(t.Context(), o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
				mu.Lock()
				if err == nil {
					if got, _, _ := unstructured.NestedString(created.Object, maxScale...); got != "3" {
						err = fmt.Errorf("admitted without being expanded: max-scale is %q", got)
					}
				}
				if err != nil {
					failed = append(failed, err.Error())
				} else {
					admitted++
				}
				mu.Unlock()
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	begin := time.Now()
	err := cluster.RestartWebhookPods(t.Context())
	took := time.Since(begin)
	stop()
	workers.Wait()
	require.NoError(t, err)
	after := webhookPods(t)
	assert.Len(t, after, 2)
	for name := range after {
		assert.NotContains(t, before, name, "a pod was not replaced")
	}
	assert.Empty(t, failed)
	assert.Greater(t, admitted, 100)
	record(t, otherTable, []string{"a rolling restart of the webhook's shipped Deployment, two replicas", fmt.Sprintf(
		"%d admissions in %.0f s, %d failed", admitted, took.Seconds(), len(failed))})
	t.Logf("%d admissions during a restart of %.0f s, %d failed", admitted, took.Seconds(), len(failed))
}

// webhookPods are the webhook's pods by name, with their security context.
func webhookPods(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	list, err := client.Resource(podResource).Namespace("kubetorch-system").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	pods := map[string]*unstructured.Unstructured{}
	for i := range list.Items {
		pods[list.Items[i].GetName()] = &list.Items[i]
	}
	return pods
}
