package pods

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/test/controlplane"
)

// TestTheShippedDeploymentRestartsWithoutAFailedAdmission restarts the two pods of the
// shipped Deployment, one after the other, while Services are admitted all the time.
func TestTheShippedDeploymentRestartsWithoutAFailedAdmission(t *testing.T) {
	ns := newNamespace(t, "restart")
	before := webhookPods(t)
	require.Len(t, before, 2)
	assertShipped(t, before)
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
	assertShipped(t, after)
	for name := range after {
		assert.NotContains(t, before, name, "a pod was not replaced")
	}
	assert.Empty(t, failed)
	assert.Greater(t, admitted, 100)
	record(t, otherTable, []string{"a rolling restart of the webhook's shipped Deployment, two replicas", fmt.Sprintf(
		"%d admissions in %.0f s, %d failed", admitted, took.Seconds(), len(failed))})
	t.Logf("%d admissions during a restart of %.0f s, %d failed", admitted, took.Seconds(), len(failed))
}

// shippedFields are those of a pod in which a lab's webhook is as it is shipped. Images,
// arguments and what the API server adds to a probe differ.
var shippedFields = []string{"serviceAccountName", "securityContext", "priorityClassName", "terminationGracePeriodSeconds"}

var shippedContainerFields = []string{"securityContext", "startupProbe", "livenessProbe", "readinessProbe", "resources"}

// assertShipped compares the webhook's pods with the shipped Deployment.
func assertShipped(t *testing.T, pods map[string]*unstructured.Unstructured) {
	t.Helper()
	root, err := controlplane.RepositoryRoot()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "deploy", "base", "deployment.yaml"))
	require.NoError(t, err)
	text, err = yaml.YAMLToJSON(text)
	require.NoError(t, err)
	shipped := &unstructured.Unstructured{}
	require.NoError(t, shipped.UnmarshalJSON(text))
	template, _, err := unstructured.NestedMap(shipped.Object, "spec", "template", "spec")
	require.NoError(t, err)
	container := template["containers"].([]any)[0].(map[string]any)
	for name, pod := range pods {
		got := pod.Object["spec"].(map[string]any)
		for _, field := range shippedFields {
			require.NotEmpty(t, template[field], field)
			assert.Equal(t, template[field], got[field], "%s of pod %s", field, name)
		}
		gotContainer := got["containers"].([]any)[0].(map[string]any)
		for _, field := range shippedContainerFields {
			require.NotEmpty(t, container[field], field)
			assert.Equal(t, container[field], common(container[field], gotContainer[field]), "%s of pod %s", field, name)
		}
	}
}

// common is what of a value is in another one too: the API server adds defaults.
func common(want, got any) any {
	fields, ok := want.(map[string]any)
	gotFields, alike := got.(map[string]any)
	if !ok || !alike {
		return got
	}
	both := map[string]any{}
	for key, value := range fields {
		if other, has := gotFields[key]; has {
			both[key] = common(value, other)
		}
	}
	return both
}

// webhookPods are the webhook's pods by name.
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
