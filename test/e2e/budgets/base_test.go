package budgets

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

var (
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	pods       = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// pod is a Pod with a GPU that nothing schedules.
func pod(n int) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: pod-%d}, spec: {containers: [{name: c, image: "nginx:1", resources: {limits: {nvidia.com/gpu: "1"}}}]}}`, n)
}

// inStatus tells how many bytes of claims the status of a budget holds.
func inStatus(s *v1alpha1.GPUBudgetStatus) (n int) {
	for _, in := range s.Namespaces {
		n += len(in.Claims)
	}
	return n
}

// Claims by the hundred stand outside of the status, the budget holds as before, and is counted again
// where somebody deletes them.
func TestABudgetHoldsOverClaimsThatStandOutsideOfItsStatus(t *testing.T) {
	disturb := disturbances.Disturbing(t)
	const claims = 530
	namespace := harness.NewNamespace(t, client)
	// A create that is cut off and tried again is reserved twice for a while.
	name := newBudget(t, namespace, fmt.Sprintf("  max: %d\n", 4*claims))
	require.NotNil(t, budget(t, name).Status.Base)
	var running sync.WaitGroup
	for i := range 8 {
		running.Go(func() {
			for n := i; n < claims; n += 8 {
				assert.NoError(t, createAny(t, namespace, pod(n)))
			}
		})
	}
	running.Wait()
	awaitUsed(t, name, claims)
	awaitLedger(t, "claims outside of the status", name, func(s *v1alpha1.GPUBudgetStatus) bool {
		return s.Base != nil && len(s.Base.Parts) == 1 && inStatus(s) < 4096
	})
	applyBudget(t, name, named(namespace), fmt.Sprintf("  max: %d\n", claims+2))
	require.NoError(t, create(t, namespace, service("fits", 1, 2)))
	assert.ErrorContains(t, create(t, namespace, service("too-much", 1, 1)), fmt.Sprintf("0 of %d are free", claims+2))
	remove(t, services, namespace, "fits")
	remove(t, pods, namespace, "pod-0")
	awaitUsed(t, name, claims-1)

	end := disturb()
	base := budget(t, name).Status.Base
	for _, part := range base.Parts {
		require.NoError(t, answered(func() error {
			return client.Resource(configMaps).Namespace(base.Namespace).Delete(context.Background(), part.Name, metav1.DeleteOptions{})
		}))
	}
	for _, r := range hook.Replicas { // each of which knew the claims
		require.NoError(t, r.Restart(t.Context()))
	}
	end()
	harness.Await(t, "the budget to be counted again", func() (bool, string) {
		b := budget(t, name)
		return counted(b) && b.Status.Base != nil && len(b.Status.Base.Parts) == 1 && b.Status.Base.Parts[0].Name != base.Parts[0].Name, held(b)
	})
	awaitUsed(t, name, claims-1)
	require.NoError(t, create(t, namespace, service("fits", 1, 3)))
	assert.ErrorContains(t, create(t, namespace, service("too-much", 1, 1)), fmt.Sprintf("0 of %d are free", claims+2))
}
