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

	"github.com/kubetorch/webhook/pkg/deployments/handover"
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
