// Claims of devices wait for a finalizer when their pods are gone, while a controller makes others.

package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

var resourceClaims = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "resourceclaims"}

// Each would hold what its pod held, beside the one of the pod in its place, and others get nothing.
func TestClaimsThatWaitForAFinalizerHoldNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, 24, strict+"  maxPerNamespace: 8\n")
	s.apply(s.tenant, `{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: gpus}, spec: {spec: {devices: {requests:
		[{name: g, exactly: {deviceClassName: gpu.nvidia.com, count: 8}}]}}}}`)
	s.apply(s.tenant, `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: a}, spec: {replicas: 1, selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec:
		{nodeSelector: {no: where}, resourceClaims: [{name: gpu, resourceClaimTemplateName: gpus}], containers: [{name: c, image: "nginx:1", resources: {claims: [{name: gpu}]}}]}}}}`)
	var left []string
	for range 3 {
		claim := ""
		harness.Eventually(t, "the claim of its pod", func() bool {
			for _, u := range s.list(resourceClaims) {
				if u.GetDeletionTimestamp() == nil {
					claim = u.GetName()
				}
			}
			return claim != ""
		})
		left = append(left, claim)
		require.NoError(t, s.patch(resourceClaims, claim, waits))
		for name := range s.podNames() {
			s.remove(podResource, name)
		}
		harness.Eventually(t, "the claim to wait", func() bool {
			u, err := s.get(resourceClaims, claim)
			return err == nil && u.GetDeletionTimestamp() != nil
		})
	}
	s.recount()
	s.awaitUsed(8)
	_, err := s.tryIn(client, s.beside, deployment("b", 8, 1))
	assert.NoError(t, err, "others get what they may have")
	for _, claim := range left {
		require.NoError(t, s.patch(resourceClaims, claim, goes))
	}
}
