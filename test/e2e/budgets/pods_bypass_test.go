// GPUs are asked for as another kind than Knative Services and Deployments.

package budgets

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	kinds "github.com/kubetorch/webhook/pkg/workload"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// resourceFor is the resource of an object that makes pods, or has others make them.
func resourceFor(t *testing.T, u *unstructured.Unstructured) schema.GroupVersionResource {
	t.Helper()
	kind, ok := kinds.KindFor(u.GroupVersionKind().GroupKind())
	if !ok {
		require.Equal(t, "HorizontalPodAutoscaler", u.GetKind())
		return schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	}
	return kind.GVR()
}

func createAny(t *testing.T, namespace, text string) error {
	t.Helper()
	u := object(t, text)
	return answered(func() error {
		_, err := client.Resource(resourceFor(t, u)).Namespace(namespace).Create(context.Background(), u, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil // the first try did it
		}
		return err
	})
}

// templated is an object with a pod template of some GPUs.
func templated(apiVersion, kind, name, spec string, gpus int) string {
	restart := ""
	if kind == "Job" {
		restart = "restartPolicy: Never, "
	}
	selector := fmt.Sprintf("selector: {matchLabels: {app: %s}}, ", name)
	switch kind {
	case "Job":
		selector = ""
	case "ReplicationController":
		selector = fmt.Sprintf("selector: {app: %s}, ", name)
	}
	return fmt.Sprintf(`{apiVersion: %s, kind: %s, metadata: {name: %s}, spec: {%s, %stemplate: {metadata: {labels: {app: %s}}, spec: {%scontainers: [{name: c, image: "nginx:1", resources: {limits: {nvidia.com/gpu: "%d"}}}]}}}}`,
		apiVersion, kind, name, spec, selector, name, restart, gpus)
}

// podsIn are the pods of a namespace that have not ended.
func podsIn(t *testing.T, namespace string) int {
	t.Helper()
	list, err := harness.Read(func() (*unstructured.UnstructuredList, error) {
		return client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(namespace).List(context.Background(), metav1.ListOptions{})
	})
	require.NoError(t, err)
	return len(list.Items)
}

func TestNoKindThatMakesPodsGoesPastABudget(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 16\n")
	for what, text := range map[string]string{
		"a StatefulSet":           templated("apps/v1", "StatefulSet", "a", "serviceName: a, replicas: 100", 8),
		"a Job":                   templated("batch/v1", "Job", "a", "parallelism: 100, completions: 100", 8),
		"a ReplicaSet":            templated("apps/v1", "ReplicaSet", "a", "replicas: 3", 8),
		"a ReplicationController": templated("v1", "ReplicationController", "a", "replicas: 3", 8),
		"a Deployment":            templated("apps/v1", "Deployment", "a", "replicas: 3", 8),
		"a Pod":                   `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: "nginx:1", resources: {limits: {nvidia.com/gpu: "17"}}}]}}`,
	} {
		assert.ErrorContains(t, createAny(t, namespace, text), "16 of 16 are free in budget "+name, what)
	}

	require.NoError(t, createAny(t, namespace, templated("batch/v1", "Job", "train", "parallelism: 1, completions: 4", 4)))
	require.NoError(t, createAny(t, namespace, templated("apps/v1", "StatefulSet", "set", "serviceName: set, podManagementPolicy: Parallel, replicas: 2", 2)))
	require.NoError(t, createAny(t, namespace, templated("apps/v1", "Deployment", "web", "replicas: 2", 2)))
	require.NoError(t, createAny(t, namespace, templated("apps/v1", "ReplicaSet", "rs", "replicas: 1", 2)))
	harness.Eventually(t, "what fits gets its pods", func() bool { return podsIn(t, namespace) == 6 })
	awaitUsed(t, name, 14)

	scale := func(resource string, replicas int) error {
		return patch(t, schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource}, namespace,
			map[string]string{"statefulsets": "set", "deployments": "web", "replicasets": "rs"}[resource], fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas), "scale")
	}
	for _, resource := range []string{"statefulsets", "deployments", "replicasets"} {
		assert.ErrorContains(t, scale(resource, 4), "2 of 16 are free", resource)
	}
	for resource, fits := range map[string]string{"statefulsets": "replicas 3 fits", "deployments": "replicas 3 fits", "replicasets": "replicas 2 fits"} {
		// It takes what time a refusal has, and comes with a later one where that is short.
		harness.Eventually(t, "what would fit of "+resource, func() bool { return strings.Contains(fmt.Sprint(scale(resource, 4)), fits) })
	}
	assert.ErrorContains(t, createAny(t, namespace, `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: h}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: set}, maxReplicas: 4}}`),
		"spec.maxReplicas: Forbidden: asks for 8 GPUs (2 x 4 pods)")
	job := schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	assert.ErrorContains(t, patch(t, job, namespace, "train", `{"status":{"succeeded":3,"uncountedTerminatedPods":{}}}`, "status"), "only the controller of a Job")

	// A paused Deployment without GPUs in its template has its old ReplicaSet scaled.
	require.NoError(t, patch(t, deployments, namespace, "web", `{"spec":{"paused":true}}`))
	require.NoError(t, patch(t, deployments, namespace, "web", `{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"nginx:1"}]}}}}`))
	assert.ErrorContains(t, scale("deployments", 10), "asks for 20 GPUs (0 x 10 pods, and 20 GPUs of ReplicaSets and pods that it has); 0 of 16 are free")
	awaitUsed(t, name, 14)
	assert.Equal(t, 6, podsIn(t, namespace))

	for resource, object := range map[string]string{"jobs": "train", "statefulsets": "set", "deployments": "web", "replicasets": "rs"} {
		group := "apps"
		if resource == "jobs" {
			group = "batch"
		}
		background := metav1.DeletePropagationBackground
		require.NoError(t, client.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}).Namespace(namespace).
			Delete(t.Context(), object, metav1.DeleteOptions{PropagationPolicy: &background, GracePeriodSeconds: new(int64(0))}))
	}
	awaitUsed(t, name, 0)
	assert.NoError(t, createAny(t, namespace, templated("v1", "ReplicationController", "rc", "replicas: 8", 2)))
}
