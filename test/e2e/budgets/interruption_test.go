package budgets

import (
	"context"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestARestartedControllerComesToTheSameNumbers(t *testing.T) {
	disturb := disturbing(t)
	namespace := harness.NewNamespace(t, client)
	name := newBudget(t, namespace, "  max: 40\n")
	require.NoError(t, create(t, namespace, service("a", 2, 4)))
	require.NoError(t, workload{labelledDeployment, 3, 2}.make(t, namespace, "b"))
	require.NoError(t, workload{expandedDeployment, 1, 5}.make(t, namespace, "c"))
	require.Eventually(t, func() bool { return exists(services, namespace, "c") }, freedAfter, tick)
	awaitUsed(t, name, 19)
	end := disturb()
	// An admission whose object is not stored, yet.
	require.True(t, reviewed(t, hook.Replicas[0], namespace, service("underway", 1, 20), "6a0d5a5e-8a55-4b6f-9d0f-0000000000aa").Allowed)
	before := budget(t, name).Status
	require.EqualValues(t, 20, before.Reserved)

	var again sync.WaitGroup
	for _, replica := range hook.Replicas {
		require.NoError(t, kill(replica))
	}
	for _, replica := range hook.Replicas {
		again.Go(func() { assert.NoError(t, replica.Restart(context.Background())) })
	}
	again.Wait()
	after := budget(t, name)
	assert.True(t, counted(after), "what was counted stays counted")
	assert.Equal(t, before.Used+before.Reserved, after.Status.Used+after.Status.Reserved, "nobody who was charged is forgotten")
	end()
	require.Eventually(t, func() bool { return create(t, namespace, service("d", 1, 1)) == nil }, freedAfter, tick, "what is left can be claimed")
	awaitUsed(t, name, 20)
	assert.Equal(t, listed(t, namespace), budget(t, name).Status.Used)
}

// A replica that cannot ask the ledger lets nothing rise, and says so in time.
func TestWithoutTheAPIServerNothingRises(t *testing.T) {
	disturb := disturbing(t)
	namespace := harness.NewNamespace(t, client)
	name := newBudget(t, namespace, "  max: 40\n")
	require.Eventually(t, func() bool {
		return reviewed(t, hook.Replicas[0], namespace, service("a", 1, 1), "6a0d5a5e-8a55-4b6f-9d0f-0000000000bb").Allowed
	}, freedAfter, tick)
	end := disturb()
	goOn := stopped(t)
	begun := time.Now()
	response := reviewed(t, hook.Replicas[0], namespace, service("b", 1, 1), "6a0d5a5e-8a55-4b6f-9d0f-0000000000cc")
	took := time.Since(begun)
	none := reviewed(t, hook.Replicas[0], namespace, service("c", 0, 0), "6a0d5a5e-8a55-4b6f-9d0f-0000000000dd")
	goOn()
	end()
	require.False(t, response.Allowed)
	assert.EqualValues(t, http.StatusTooManyRequests, response.Result.Code, response.Result.Message)
	assert.Less(t, took, 10*time.Second)
	assert.True(t, none.Allowed, "what claims nothing needs no ledger")
	require.Eventually(t, func() bool { return create(t, namespace, service("d", 1, 1)) == nil }, freedAfter, tick)
	awaitUsed(t, name, 1)
}

// stopped has the API server stand still until it goes on, at the end of the test at the latest.
func stopped(t *testing.T) (goOn func()) {
	t.Helper()
	for _, p := range cluster.Processes() {
		if p.Name() == controlplane.KubeAPIServer {
			require.NoError(t, p.Signal(syscall.SIGSTOP))
			goOn = sync.OnceFunc(func() { assert.NoError(t, p.Signal(syscall.SIGCONT)) })
			t.Cleanup(goOn)
			return goOn
		}
	}
	t.Fatal("no API server")
	return nil
}
