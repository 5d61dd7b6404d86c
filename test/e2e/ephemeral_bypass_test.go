// GPUs in ephemeral containers.

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// TestEphemeralContainersCarryNoGPUs: the API server itself takes no resources for them, so
// nothing is lost by not looking.
func TestEphemeralContainersCarryNoGPUs(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, eachBound)
	pod := object(t, `{apiVersion: v1, kind: Pod, metadata: {name: plain}, spec: {containers: [{name: a, image: "nginx:1"}]}}`)
	harness.Eventually(t, "the account of the pod", func() bool { // its service account is made by a controller
		_, err := client.Resource(pods).Namespace(ns).Create(t.Context(), pod, metav1.CreateOptions{})
		return err == nil
	})
	_, err := client.Resource(pods).Namespace(ns).Patch(t.Context(), "plain", types.StrategicMergePatchType,
		[]byte(`{"spec":{"ephemeralContainers":[{"name":"d","image":"nginx:1","resources":{"limits":{"nvidia.com/gpu":"8"}}}]}}`), metav1.PatchOptions{}, "ephemeralcontainers")
	assert.ErrorContains(t, err, "spec.ephemeralContainers[0].resources: Forbidden")

	u := knativeObject(t, "Deployment", "web", "1", 1)
	require.NoError(t, unstructured.SetNestedSlice(u.Object, []any{map[string]any{"name": "d", "image": "nginx:1", "resources": map[string]any{"limits": map[string]any{"nvidia.com/gpu": "8"}}}},
		"spec", "template", "spec", "ephemeralContainers"))
	assert.ErrorContains(t, made(t, ns, u), "ephemeralContainers", "nor in a template")
}
