// What Knative would make is written by hand.

package budgets

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// child is an object of one of Knative's kinds that nothing else owns.
func child(t *testing.T, kind, name string, gpus, pods int) *unstructured.Unstructured {
	t.Helper()
	annotations := fmt.Sprintf(`{autoscaling.knative.dev/max-scale: "%d"}`, pods)
	pod := fmt.Sprintf(`{containers: [{name: user-container, image: "nginx:1", resources: {limits: {nvidia.com/gpu: "%d"}}}]}`, gpus)
	switch kind {
	case "Revision":
		return object(t, fmt.Sprintf(`{apiVersion: serving.knative.dev/v1, kind: Revision, metadata: {name: %s, annotations: %s}, spec: %s}`, name, annotations, pod))
	case "PodAutoscaler":
		return object(t, fmt.Sprintf(`{apiVersion: autoscaling.internal.knative.dev/v1alpha1, kind: PodAutoscaler, metadata: {name: %s, annotations: %s}, spec: {protocolType: http1, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: target}}}`, name, annotations))
	default:
		return object(t, fmt.Sprintf(`{apiVersion: serving.knative.dev/v1, kind: Configuration, metadata: {name: %s}, spec: {template: {metadata: {annotations: %s}, spec: %s}}}`, name, annotations, pod))
	}
}

func makeChild(t *testing.T, resource schema.GroupVersionResource, namespace string, u *unstructured.Unstructured) error {
	t.Helper()
	return answered(func() error {
		_, err := client.Resource(resource).Namespace(namespace).Create(t.Context(), u, metav1.CreateOptions{})
		return err
	})
}

func TestWhatIsWrittenByHandIsChargedByItself(t *testing.T) {
	t.Parallel()
	for kind, resource := range map[string]schema.GroupVersionResource{"Configuration": configurations, "Revision": revisions, "PodAutoscaler": autoscalers} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace(t)
			name := newBudget(t, namespace, "  max: 12\n")
			var before int64
			if kind == "PodAutoscaler" {
				err := makeChild(t, resource, namespace, child(t, kind, "nowhere", 2, 1))
				assert.ErrorContains(t, err, "names no Deployment that there is")
				require.NoError(t, workload{plainDeployment, 2, 1}.make(t, namespace, "target"))
				before = 2
			}
			err := makeChild(t, resource, namespace, child(t, kind, "greedy", 2, 7))
			assert.ErrorContains(t, err, "in budget "+name)
			awaitUsed(t, name, before)
			require.NoError(t, makeChild(t, resource, namespace, child(t, kind, "modest", 2, 5)))
			awaitUsed(t, name, before+10)
			assert.ErrorContains(t, create(t, namespace, service("b", 3, 1)), "are free in budget "+name)
			remove(t, resource, namespace, "modest")
			awaitUsed(t, name, before)
		})
	}
}
