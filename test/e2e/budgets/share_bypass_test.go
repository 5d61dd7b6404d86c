// Creates that another admission step refuses, over and over, leave room for other namespaces.

package budgets

import (
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestCreatesThatAreRejectedElsewhereStarveNoOtherNamespace(t *testing.T) {
	t.Parallel()
	namespace, other := newNamespace(t), newNamespace(t)
	join(t, namespace, namespace)
	join(t, other, namespace)
	rejects := harness.StartRejecter(t, client, "rejects-"+namespace, map[string]string{"kubernetes.io/metadata.name": namespace}, claiming...)
	name := "budget-" + namespace
	newBudgetFor(t, name, "{e2e.kubetorch.com/team: "+namespace+"}", "  max: 20\n")
	rejects.Percent.Store(100)
	awaitRejecter(t, namespace)
	// As many at once as it takes, so that they are under way at the same time on a slow machine too.
	harness.Eventually(t, "a create that is held to the share", func() bool {
		var crowded atomic.Bool
		var tenants sync.WaitGroup
		for range 10 {
			tenants.Go(func() {
				code, _, status := answer(t, namespace, service("s-"+strings.ToLower(rand.Text()[:8]), 1, 5))
				if code == http.StatusTooManyRequests && strings.Contains(status.Message, "holds up to 50 % of what is free, so that other namespaces have room") {
					crowded.Store(true)
				}
			})
		}
		tenants.Wait()
		assert.LessOrEqual(t, budget(t, name).Status.Reserved, int64(10))
		return crowded.Load()
	})
	require.NoError(t, create(t, other, service("a", 1, 10)))
	harness.AwaitUsed(t, client, name, 10)
}
