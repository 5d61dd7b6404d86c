// A ledger that is damaged, or that cannot be asked, admits nothing that rises.

package budgets

import (
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

func TestADamagedLedgerIsClosedAndCountedAnew(t *testing.T) {
	t.Parallel()
	for how, damage := range map[string]string{
		"wiped":                `{"status":null}`,
		"the claims wiped":     `{"status":{"namespaces":null}}`,
		"the claims unusable":  `{"status":{"namespaces":[{"name":"x","used":1,"claims":"AAAA"}]}}`,
		"the sums lowered":     `{"status":{"used":0,"workloads":0}}`,
		"reservations made up": `{"status":{"reservations":[{"key":"x","namespace":"x","kind":"Service","name":"x","gpus":1,"token":"x"}]}}`,
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace(t)
			name := newBudget(t, namespace, "  max: 9\n")
			require.NoError(t, create(t, namespace, service("a", 2, 4)))
			awaitUsed(t, name, 8)
			_, _, err := cluster.Kubectl(t.Context(), nil, "patch", "gpubudget", name, "--subresource=status", "--type=merge", "-p", damage)
			require.NoError(t, err)
			requireLater(t, namespace, "in budget "+name)
			assert.NoError(t, patch(t, services, namespace, "a", `{"metadata":{"labels":{"team":"nlp"}}}`))
			awaitCounted(t, name)
			awaitUsed(t, name, 8)
			assert.ErrorContains(t, create(t, namespace, service("b", 2, 1)), "1 of 9 are free")
			assert.NoError(t, create(t, namespace, service("b", 1, 1)))
		})
	}
}

// A replica that cannot ask the ledger lets nothing rise, and says so in time.
func TestWithoutTheAPIServerNothingRises(t *testing.T) {
	disturb := disturbances.Disturbing(t)
	namespace := harness.NewNamespace(t, client)
	name := newBudget(t, namespace, "  max: 40\n")
	harness.Eventually(t, "a first charge", func() bool {
		return reviewed(t, hook.Replicas[0], namespace, service("a", 1, 1), "6a0d5a5e-8a55-4b6f-9d0f-0000000000bb").Allowed
	})
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
	harness.Eventually(t, "a claim to be admitted again", func() bool { return create(t, namespace, service("d", 1, 1)) == nil })
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
