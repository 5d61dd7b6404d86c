// Creates that another admission step refuses, over and over, leave room for other namespaces.

package budgets

import (
	"fmt"
	"net/http"
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
	crowded := false
	for i := range 10 {
		code, _, status := answer(t, namespace, service(fmt.Sprintf("s-%d", i), 1, 5))
		if code == http.StatusTooManyRequests && assert.Contains(t, status.Message, "holds up to 50 % of what is free, so that other namespaces have room") {
			crowded = true
		}
		assert.LessOrEqual(t, budget(t, name).Status.Reserved, int64(10))
	}
	assert.True(t, crowded, "nothing was held to the share")
	require.NoError(t, create(t, other, service("a", 1, 10)))
	harness.AwaitUsed(t, client, name, 10)
}
