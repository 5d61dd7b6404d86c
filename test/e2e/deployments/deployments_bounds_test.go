package deployments

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/controller/handover"
)

// policy applies bounds to the namespace, and waits until the webhook knows them.
func (l *lab) policy(spec string) {
	l.Helper()
	name := "policy-" + l.namespace
	marker := fmt.Sprintf("seen-%x", len(spec))
	text := fmt.Sprintf("apiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {name: %s}\nspec:\n  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}\n  profiles: {autoscale: [{name: %s}]}\n%s",
		name, l.namespace, marker, spec)
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(l, err)
	u := &unstructured.Unstructured{}
	require.NoError(l, u.UnmarshalJSON(raw))
	_, err = l.client.Resource(policies).Apply(l.Context(), name, u, metav1.ApplyOptions{FieldManager: "e2e", Force: true})
	require.NoError(l, err)
	l.Cleanup(func() { _ = l.client.Resource(policies).Delete(context.Background(), name, metav1.DeleteOptions{}) })
	l.eventually("the webhook sees the policy", func() bool {
		_, _, err := l.kubectl(web("probe", 1, `labels: {kubetorch.com/autoscale: `+marker+`}`), "create", "--dry-run=server", "-f", "-")
		return err == nil
	})
}

func gpus(manifest string, count int) string {
	return manifest + fmt.Sprintf("        resources: {limits: {nvidia.com/gpu: %d}}\n", count)
}

func TestBoundsHoldForDeploymentsAndTheirScale(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.policy("  bounds: {gpusPerPod: {max: 2}, gpusPerWorkload: {max: 4}}\n")
	_, _, err := l.kubectl(gpus(web("plain", 1), 4), "apply", "-f", "-")
	assert.ErrorContains(t, err, "asks for 4 GPUs per pod; policy policy-"+l.namespace+" allows at most 2")
	_, _, err = l.kubectl(gpus(web("plain", 5), 1), "apply", "-f", "-")
	assert.ErrorContains(t, err, "gpusPerWorkload")
	l.apply(gpus(web("plain", 3), 1))
	l.awaitPods("plain", 3)
	_, _, err = l.kubectl("", "scale", "deployment", "plain", "--replicas=5")
	assert.ErrorContains(t, err, "gpusPerWorkload", "kubectl scale")
	assert.Error(t, l.patch("plain", map[string]any{"spec": map[string]any{"replicas": 5}}), "a patch")
	_, _, err = l.kubectl("", "scale", "deployment", "plain", "--replicas=4")
	assert.NoError(t, err)

	_, _, err = l.kubectl(web("app", 1, autoscale, `annotations: {compute.kubetorch.com/gpus: "1", autoscale.kubetorch.com/max-scale: "5"}`), "apply", "-f", "-")
	assert.ErrorContains(t, err, "metadata.annotations[autoscale.kubetorch.com/max-scale]: Forbidden")
	_, _, err = l.kubectl(web("app", 1, autoscale, `annotations: {compute.kubetorch.com/gpus: "4"}`), "apply", "-f", "-")
	assert.ErrorContains(t, err, "gpusPerPod")

	// The compute label alone.
	l.apply(web("fixed", 1, `labels: {kubetorch.com/compute: "true"}`, `annotations: {compute.kubetorch.com/gpus: "2", compute.kubetorch.com/cpus: "1"}`))
	l.awaitPods("fixed", 1)
	_, _, err = l.kubectl("", "scale", "deployment", "fixed", "--replicas=3")
	assert.ErrorContains(t, err, "gpusPerWorkload")
	assert.False(t, l.exists(services, "fixed"))
}

func TestAPolicyThatTightenedIsReportedAndTouchesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.apply(web("running", 2, autoscale, `annotations: {compute.kubetorch.com/gpus: "2"}`))
	l.eventually("Knative Service", func() bool { return l.exists(services, "running") })
	l.makeReady("running")
	l.awaitReason("running", handover.Serving)
	generation := l.get(services, "running").GetGeneration()
	l.policy("  defaults: {autoscale: {window: 2m}}\n  bounds: {gpusPerPod: {max: 1}}\n")
	l.never("a new revision", func() bool { return l.get(services, "running").GetGeneration() != generation })
	require.NoError(t, l.patch("running", map[string]any{"metadata": map[string]any{"annotations": map[string]any{"example.com/note": "x"}}}), "what breaks a bound already may be updated")
	l.never("a new revision for an annotation", func() bool { return l.get(services, "running").GetGeneration() != generation })
	assert.Equal(t, "x", l.get(services, "running").GetAnnotations()["example.com/note"])
	assert.Equal(t, "60s", templateAnnotations(l.get(services, "running"))["autoscaling.knative.dev/window"])
	_, _, err := l.kubectl("", "annotate", "deployment", "running", "autoscale.kubetorch.com/max-scale=3")
	require.NoError(t, err)
	l.eventually("a change takes the new default along", func() bool {
		return templateAnnotations(l.get(services, "running"))["autoscaling.knative.dev/window"] == "2m"
	})

	l.apply(web("late", 2))
	l.awaitPods("late", 2)
	_, _, err = l.kubectl("", "label", "deployment", "late", "kubetorch.com/autoscale=true")
	require.NoError(t, err)
	l.awaitReason("late", handover.Starting)
	assert.Equal(t, int64(2), l.replicas("late"))
}

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
