// A ledger does not drift by updates up and down, nor by those that are rejected.

package budgets

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestARejectedUpdateLeavesTheLedgerAsItIs(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 20\n")
	other := harness.StartRejecter(t, client, "updates-"+namespace, map[string]string{"kubernetes.io/metadata.name": namespace}, claiming...)
	require.NoError(t, create(t, namespace, service("a", 2, 8)))
	awaitUsed(t, name, 16)
	other.Percent.Store(100)
	awaitRejecter(t, namespace)

	assert.ErrorContains(t, patch(t, services, namespace, "a", maxScale(1)), harness.RejectedByAnother)
	require.Never(t, func() bool { return budget(t, name).Status.Used != 16 }, 2*requestTimeout+8*time.Second, time.Second, "a rejected lower claim freed something")
	// Until the overlap of the lower one is free again, and the rejection comes after the charge.
	harness.Eventually(t, "a rejection after the charge", func() bool {
		require.Error(t, patch(t, services, namespace, "a", maxScale(10)))
		return budget(t, name).Status.Reserved == 4
	})
	awaitLedger(t, "the rejected charge to be freed", name, func(s *v1alpha1.GPUBudgetStatus) bool { return s.Reserved == 0 })
	other.Percent.Store(0)
	assert.ErrorContains(t, create(t, namespace, service("b", 5, 1)), "4 of 20 are free")
	assert.NoError(t, create(t, namespace, service("b", 4, 1)))
}

func TestUpAndDownAndUpAgainDoesNotDrift(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 12\n")
	require.NoError(t, workload{plainDeployment, 2, 3}.make(t, namespace, "a"))
	var begun time.Time
	for _, pods := range []int{6, 1, 5, 2, 6, 4} {
		if pods == 6 {
			begun = time.Now()
		}
		require.NoError(t, patch(t, deployments, namespace, "a", string(workload{kind: plainDeployment}.scaled(pods))))
	}
	assert.ErrorContains(t, patch(t, deployments, namespace, "a", `{"spec":{"replicas":7}}`), "in budget "+name)
	// What is still held for the six pods is nobody else's, for as long as the request may be under way.
	_, err := client.Resource(services).Namespace(namespace).Create(t.Context(), service("c", 1, 1), metav1.CreateOptions{})
	if err == nil {
		assert.Greater(t, time.Since(begun), requestTimeout, "freed while the request may still be under way")
		require.NoError(t, client.Resource(services).Namespace(namespace).Delete(t.Context(), "c", metav1.DeleteOptions{}))
	}
	awaitUsed(t, name, 8)
	assert.NoError(t, create(t, namespace, service("b", 4, 1)))
	awaitUsed(t, name, 12)
}
