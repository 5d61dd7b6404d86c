package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func example(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "examples", name))
	require.NoError(t, err)
	return string(content)
}

var inferenceAnnotations = map[string]string{
	"autoscaling.knative.dev/class":                              "kpa.autoscaling.knative.dev",
	"autoscaling.knative.dev/metric":                             "concurrency",
	"autoscaling.knative.dev/target":                             "5",
	"autoscaling.knative.dev/target-utilization-percentage":      "70",
	"autoscaling.knative.dev/min-scale":                          "1",
	"autoscaling.knative.dev/max-scale":                          "10",
	"autoscaling.knative.dev/initial-scale":                      "1",
	"autoscaling.knative.dev/window":                             "60s",
	"autoscaling.knative.dev/scale-down-delay":                   "5m",
	"autoscaling.knative.dev/scale-to-zero-pod-retention-period": "10m",
	"serving.knative.dev/progress-deadline":                      "10m",
}

func TestEveryWayOfApplyingGivesTheSameExpansion(t *testing.T) {
	t.Parallel()
	ways := map[string][]string{
		"kubectl apply":               {"apply", "-f", "-"},
		"kubectl apply --server-side": {"apply", "--server-side", "-f", "-"},
		"kubectl create":              {"create", "-f", "-"},
	}
	for name, args := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			_, stderr, err := kubectl(t, example(t, "inference.yaml"), append(args, "-n", ns)...)
			require.NoError(t, err, stderr)
			u := get(t, services, ns, "inference")
			assert.Equal(t, inferenceAnnotations, templateAnnotations(t, u))
			spec, _, err := unstructured.NestedMap(u.Object, "spec", "template", "spec")
			require.NoError(t, err)
			assert.EqualValues(t, 10, spec["containerConcurrency"])
			container := spec["containers"].([]any)[0].(map[string]any)
			assert.Equal(t, map[string]any{
				"requests": map[string]any{"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"},
				"limits":   map[string]any{"nvidia.com/gpu": "1"},
			}, container["resources"])
			assert.Len(t, spec["tolerations"], 2)
			assert.Contains(t, u.GetAnnotations(), "kubetorch.com/expansion")

			pa := eventually(t, autoscalers, ns, "inference-00001")
			for key, value := range inferenceAnnotations {
				assert.Equal(t, value, pa.GetAnnotations()[key], key)
			}
		})
	}
}

func TestDryRunGivesTheSameAnswerAndLeavesNothing(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	out, stderr, err := kubectl(t, example(t, "inference.yaml"), "apply", "--dry-run=server", "-n", ns, "-f", "-", "-o", "json")
	require.NoError(t, err, stderr)
	u := &unstructured.Unstructured{}
	require.NoError(t, u.UnmarshalJSON([]byte(out)))
	assert.Equal(t, inferenceAnnotations, templateAnnotations(t, u))

	_, stderr, err = kubectl(t, "", "get", "ksvc", "inference", "-n", ns)
	assert.Error(t, err)
	assert.Contains(t, stderr, "NotFound")

	newPolicy(t, ns, "  bounds: {gpusPerWorkload: {max: 5}}\n")
	_, stderr, err = kubectl(t, example(t, "inference.yaml"), "apply", "--dry-run=server", "-n", ns, "-f", "-")
	assert.Error(t, err)
	assert.Contains(t, stderr, "asks for 10 GPUs (1 x 10 pods); policy policy-"+ns+" allows at most 5 (bounds.gpusPerWorkload.max)")
}

func TestApplyingTwiceMakesNoSecondRevision(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"client side": {"apply", "-f", "-"},
		"server side": {"apply", "--server-side", "-f", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			for range 3 {
				_, stderr, err := kubectl(t, example(t, "inference.yaml"), append(args, "-n", ns)...)
				require.NoError(t, err, stderr)
				assert.Equal(t, []string{"inference-00001"}, revisionsOf(t, ns, "inference"))
			}
			assert.EqualValues(t, 1, get(t, services, ns, "inference").GetGeneration())
			out, stderr, err := kubectl(t, example(t, "inference.yaml"), append([]string{"diff", "-n", ns}, args[1:]...)...)
			assert.NoError(t, err, "kubectl diff found a difference: %s%s", out, stderr)
		})
	}
}

func TestReplacingWithTheOriginalManifestMakesNoSecondRevision(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	_, stderr, err := kubectl(t, example(t, "inference.yaml"), "create", "-n", ns, "-f", "-")
	require.NoError(t, err, stderr)
	first := revisionsOf(t, ns, "inference")

	// Knative insists that a replacement keeps the annotations it wrote itself.
	u := object(t, example(t, "inference.yaml"))
	live := get(t, services, ns, "inference")
	annotations := u.GetAnnotations()
	for _, key := range []string{"serving.knative.dev/creator", "serving.knative.dev/lastModifier"} {
		annotations[key] = live.GetAnnotations()[key]
	}
	u.SetAnnotations(annotations)
	require.NoError(t, unstructured.SetNestedField(u.Object, false, "spec", "template", "spec", "enableServiceLinks"))
	_, stderr, err = kubectl(t, text(t, u), "replace", "-n", ns, "-f", "-")
	require.NoError(t, err, stderr)
	assert.Equal(t, first, revisionsOf(t, ns, "inference"))
	assert.Equal(t, inferenceAnnotations, templateAnnotations(t, get(t, services, ns, "inference")))
}

func TestKustomizeOverlaysArriveThroughAPipe(t *testing.T) {
	t.Parallel()
	for overlay, want := range map[string]map[string]string{
		"dev":  {"min-scale": "0", "max-scale": "2", "target": "10", "scale-down-delay": "1m"},
		"prod": {"min-scale": "2", "max-scale": "20", "target": "10", "scale-down-delay": "5m"},
	} {
		t.Run(overlay, func(t *testing.T) {
			_, _, _ = kubectl(t, "", "create", "namespace", overlay)
			t.Cleanup(func() {
				_, _, _ = cluster.Kubectl(context.Background(), nil, "delete", "namespace", overlay, "--wait=false")
			})
			built, stderr, err := kustomizeBuild(t, filepath.Join(root, "examples", "kustomize", "overlays", overlay))
			require.NoError(t, err, stderr)
			_, stderr, err = kubectl(t, built, "apply", "-f", "-")
			require.NoError(t, err, stderr)
			annotations := templateAnnotations(t, get(t, services, overlay, "summarize"))
			for key, value := range want {
				assert.Equal(t, value, annotations["autoscaling.knative.dev/"+key], key)
			}
		})
	}
}
