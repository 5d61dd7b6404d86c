package budgets

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// TestOneReplicaWritesALedgerForAll: whichever replica is asked, the one that leads charges, so that no two of them
// write at the same time. Nobody but a replica may have it charge.
func TestOneReplicaWritesALedgerForAll(t *testing.T) {
	namespace := harness.NewNamespace(t, client)
	name := newBudget(t, namespace, "  max: 1000000\n")
	// Each replica looks every 2 s which one leads, and leaves it alone for 2 s after it did not answer.
	var round int
	harness.Await(t, "one replica to write for all", func() (bool, string) {
		round++
		before := make([]ledgerCounts, replicas)
		for i, replica := range hook.Replicas {
			before[i] = ledgerMetricsOf(t, replica, name)
		}
		var asking sync.WaitGroup
		for i := range 8 * replicas {
			body := review(t, namespace, service(fmt.Sprintf("s-%d-%d", round, i), 1, 1), newUID())
			asking.Go(func() { assert.True(t, harness.Ask(t, hook.Replicas[i%replicas], body).Allowed) })
		}
		asking.Wait()
		var writers int
		var forwarded float64
		for i, replica := range hook.Replicas {
			after := ledgerMetricsOf(t, replica, name)
			if after.stored > before[i].stored {
				writers++
			}
			forwarded += after.forwarded - before[i].forwarded
		}
		return writers == 1 && forwarded == 8*(replicas-1), fmt.Sprintf("%d replicas wrote, and %.0f admissions were charged by another replica", writers, forwarded)
	})
	for _, replica := range hook.Replicas {
		response, err := harness.Insecure.Post("https://"+replica.Address+"/charge", "application/json", bytes.NewReader([]byte(`{"Budget":"`+name+`"}`)))
		require.NoError(t, err)
		assert.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusForbidden, response.StatusCode)
	}
}
