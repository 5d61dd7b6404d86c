package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// The tests of this file change what all others stand on, so they run by themselves,
// before the parallel ones.

// setKnativeConfig sets one key of a Knative ConfigMap for the rest of a test.
func setKnativeConfig(t *testing.T, configMap, key, value string) {
	t.Helper()
	patch := func(ctx context.Context, value any) {
		p, err := json.Marshal(map[string]any{"data": map[string]any{key: value}})
		require.NoError(t, err)
		_, stderr, err := cluster.Kubectl(ctx, nil, "patch", "configmap", configMap, "-n", "knative-serving", "--type", "merge", "-p", string(p))
		require.NoError(t, err, stderr)
	}
	var before any
	if v, ok := knativeConfig[configMap][key]; ok {
		before = v
	}
	patch(t.Context(), value)
	t.Cleanup(func() { patch(context.Background(), before) })
}

func TestTheClustersKnativeConfigurationIsFollowed(t *testing.T) {
	ns := newNamespace(t)
	annotation := func(u map[string]string) map[string]string {
		ctx, cancel := context.WithTimeout(context.Background(), eventuallyTimeout)
		defer cancel()
		dry, err := client.Resource(services).Namespace(ns).Create(ctx, autoscaled("app", u), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return map[string]string{"error": err.Error()}
		}
		return templateAnnotations(t, dry)
	}
	t.Run("a default that a ConfigMap states", func(t *testing.T) {
		setKnativeConfig(t, "config-autoscaler", "max-scale", "7")
		harness.Eventually(t, "the new default maximum", func() bool { return annotation(nil)["autoscaling.knative.dev/max-scale"] == "7" })
	})
	t.Run("the limit on max-scale", func(t *testing.T) {
		setKnativeConfig(t, "config-autoscaler", "max-scale", "5")
		setKnativeConfig(t, "config-autoscaler", "max-scale-limit", "10")
		harness.Eventually(t, "the changed configuration", func() bool {
			return strings.Contains(annotation(map[string]string{"autoscale.kubetorch.com/max-scale": "11"})["error"], "expected 1 <= 11 <= 10 (max-scale-limit of config-autoscaler)")
		})
	})
	t.Run("a feature that is off is named", func(t *testing.T) {
		setKnativeConfig(t, "config-features", "kubernetes.podspec-nodeselector", "disabled")
		harness.Eventually(t, "a refusal that names the feature", func() bool {
			return strings.Contains(annotation(map[string]string{"compute.kubetorch.com/gpus": "1", "compute.kubetorch.com/gpu-type": "NVIDIA-L4"})["error"],
				"the cluster's Knative has kubernetes.podspec-nodeselector disabled; a cluster administrator can enable it in ConfigMap config-features of namespace knative-serving")
		})
	})
	hpaCPU := map[string]string{"autoscale.kubetorch.com/autoscaler-class": "hpa", "compute.kubetorch.com/cpus": "1"}
	t.Run("an hpa that is not installed", func(t *testing.T) {
		// Knative's autoscaler-hpa runs as a process here; in a cluster it is a Deployment.
		hpa := get(t, deployments, "knative-serving", "autoscaler-hpa")
		require.NoError(t, client.Resource(deployments).Namespace("knative-serving").Delete(t.Context(), hpa.GetName(), metav1.DeleteOptions{}))
		t.Cleanup(func() {
			hpa.SetResourceVersion("")
			_, err := client.Resource(deployments).Namespace("knative-serving").Create(context.Background(), hpa, metav1.CreateOptions{})
			assert.NoError(t, err)
			harness.Eventually(t, "the autoscaler of class hpa", func() bool { return annotation(hpaCPU)["error"] == "" })
		})
		harness.Eventually(t, "its absence", func() bool {
			return strings.Contains(annotation(hpaCPU)["error"],
				"the cluster does not run Knative's autoscaler-hpa")
		})
	})
}

func TestWithoutTheWebhookOnlyKnativeServicesWait(t *testing.T) {
	ns := newNamespace(t)
	replica := hook.Replicas[0]
	require.NoError(t, replica.Process().Stop())
	t.Cleanup(func() { require.NoError(t, replica.Restart(context.Background())) })

	_, stderr, err := kubectl(t, "", "create", "deployment", "web", "--image=nginx:1", "-n", ns)
	assert.NoError(t, err, stderr)
	_, stderr, err = kubectl(t, "", "create", "configmap", "settings", "-n", ns)
	assert.NoError(t, err, stderr)
	_, stderr, err = kubectl(t, "", "create", "job", "train", "--image=nginx:1", "-n", ns)
	assert.NoError(t, err, stderr)
	_, _, err = kubectl(t, "", "label", "job", "train", "kubetorch.com/autoscale=true", "-n", ns)
	assert.ErrorContains(t, err, "failed calling webhook")
	for name, u := range map[string]map[string]string{"labelled": {"kubetorch.com/autoscale": "true"}, "unlabelled": nil} {
		_, err = create(t, ns, service(name, u, nil))
		assert.ErrorContains(t, err, "failed calling webhook", "%s: bounds are not given up", name)
	}

	require.NoError(t, replica.Restart(t.Context()))
	_, err = create(t, ns, autoscaled("labelled", nil))
	assert.NoError(t, err)
}
