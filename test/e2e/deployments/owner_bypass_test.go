// A Deployment of Knative's own, and one that only says so.

package deployments

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
)

func TestKnativesOwnDeploymentsAreLeftAlone(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	// The template carries the label, and so does the Deployment that Knative makes.
	_, _, err := l.kubectl(`{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "svc"},
		"spec": {"template": {"metadata": {"labels": {"kubetorch.com/autoscale": "true"}, "annotations": {"autoscaling.knative.dev/min-scale": "1"}},
		"spec": {"containers": [{"image": "ghcr.io/example/other:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}}}}`, "create", "-f", "-")
	require.NoError(t, err)
	const made = "svc-00001-deployment"
	l.eventually("Knative's Deployment", func() bool { return l.exists(deployments, made) })
	d := l.get(deployments, made)
	require.Equal(t, "true", d.GetLabels()["kubetorch.com/autoscale"])
	assert.Equal(t, int64(1), l.replicas(made))
	l.never("a Knative Service of it", func() bool { return l.exists(services, made) || l.replicas(made) != 1 })
	generation := l.get(deployments, made).GetGeneration()
	l.never("a war over it", func() bool { return l.get(deployments, made).GetGeneration() != generation })

	// The same claim by somebody else opens nothing.
	forged := d.DeepCopy()
	owner := forged.GetOwnerReferences()
	unstructured.RemoveNestedField(forged.Object, "metadata")
	forged.SetName("forged")
	forged.SetLabels(map[string]string{"kubetorch.com/autoscale": "true"})
	forged.SetOwnerReferences(owner)
	require.NoError(t, unstructured.SetNestedField(forged.Object, int64(5), "spec", "replicas"))
	stored, err := l.client.Resource(deployments).Namespace(l.namespace).Create(t.Context(), forged, metav1.CreateOptions{})
	if err == nil {
		assert.Equal(t, int64(0), handover.Replicas(stored.Object), "expanded like any other")
	}
}
