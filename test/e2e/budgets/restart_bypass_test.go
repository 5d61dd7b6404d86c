// All replicas and the controller in them are killed: nobody who was charged is forgotten. It
// disturbs every budget, so it runs by itself.

package budgets

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestARestartedControllerComesToTheSameNumbers(t *testing.T) {
	disturb := disturbances.Disturbing(t)
	namespace := harness.NewNamespace(t, client)
	name := newBudget(t, namespace, "  max: 40\n")
	require.NoError(t, create(t, namespace, service("a", 2, 4)))
	require.NoError(t, workload{labelledDeployment, 3, 2}.make(t, namespace, "b"))
	require.NoError(t, workload{expandedDeployment, 1, 5}.make(t, namespace, "c"))
	harness.Eventually(t, "the Knative Service", func() bool { return exists(services, namespace, "c") })
	awaitUsed(t, name, 19)
	end := disturb()
	// An admission whose object is not stored, yet.
	require.True(t, reviewed(t, hook.Replicas[0], namespace, service("underway", 1, 20), "6a0d5a5e-8a55-4b6f-9d0f-0000000000aa").Allowed)
	before := budget(t, name).Status
	require.EqualValues(t, 20, before.Reserved)

	var again sync.WaitGroup
	for _, replica := range hook.Replicas {
		require.NoError(t, harness.Kill(replica))
	}
	for _, replica := range hook.Replicas {
		again.Go(func() { assert.NoError(t, replica.Restart(context.Background())) })
	}
	again.Wait()
	after := budget(t, name)
	assert.True(t, counted(after), "what was counted stays counted")
	assert.Equal(t, before.Used+before.Reserved, after.Status.Used+after.Status.Reserved, "nobody who was charged is forgotten")
	end()
	harness.Eventually(t, "what is left to be claimed", func() bool { return create(t, namespace, service("d", 1, 1)) == nil })
	awaitUsed(t, name, 20)
	assert.Equal(t, listed(t, namespace), budget(t, name).Status.Used)
}
