package budgets

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

var (
	autoscalers = harness.Autoscalers
	routes      = harness.Routes
)

func TestADeploymentAndTheServiceMadeFromItAreOneCharge(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 20\n")
	require.NoError(t, workload{expandedDeployment, 2, 4}.make(t, namespace, "app"))
	harness.Eventually(t, "the Knative Service", func() bool { return exists(services, namespace, "app") })
	awaitUsed(t, name, 8)
	assert.EqualValues(t, 1, budget(t, name).Status.Workloads)
	assert.ErrorContains(t, create(t, namespace, service("b", 13, 1)), "12 of 20 are free")

	require.NoError(t, patch(t, deployments, namespace, "app", `{"metadata":{"annotations":{"autoscale.kubetorch.com/max-scale":"10"}}}`))
	awaitClaim(t, namespace, "app", 20)
	collectUntil(t, namespace, name, 20)
	assert.Error(t, patch(t, deployments, namespace, "app", `{"metadata":{"annotations":{"autoscale.kubetorch.com/max-scale":"11"}}}`))
	remove(t, deployments, namespace, "app")
	awaitUsed(t, name, 0)
}

func TestUntilItsOwnPodsAreGoneADeploymentClaimsBoth(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 14\n")
	require.NoError(t, workload{plainDeployment, 2, 3}.make(t, namespace, "app"))
	awaitUsed(t, name, 6)
	label := func(pods int) error {
		return patch(t, deployments, namespace, "app", fmt.Sprintf(`{"metadata":{"labels":{"kubetorch.com/autoscale":"true"},"annotations":{"autoscale.kubetorch.com/max-scale":"%d"}}}`, pods))
	}
	assert.ErrorContains(t, label(5), "8 of 14 are free")
	require.NoError(t, label(4))
	harness.Eventually(t, "the Knative Service", func() bool { return exists(services, namespace, "app") })
	awaitUsed(t, name, 14)
	assert.ErrorContains(t, create(t, namespace, service("b", 1, 1)), "0 of 14 are free")
	require.NoError(t, cluster.MakeReady(t.Context(), namespace, "app"))
	awaitUsed(t, name, 8)
	assert.NoError(t, create(t, namespace, service("b", 6, 1)))
}

func exists(resource schema.GroupVersionResource, namespace, name string) bool {
	_, err := client.Resource(resource).Namespace(namespace).Get(context.Background(), name, metav1.GetOptions{})
	return err == nil
}

// awaitClaim waits until a Knative Service claims so much.
func awaitClaim(t *testing.T, namespace, name string, claim int64) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("a claim of %d by Knative Service %s", claim, name), func() bool {
		u, err := client.Resource(services).Namespace(namespace).Get(context.Background(), name, metav1.GetOptions{})
		return err == nil && stored(t, u) == claim
	})
}

// collectUntil collects what was replaced, and waits until a ledger is at rest.
func collectUntil(t *testing.T, namespace, name string, used int64) {
	t.Helper()
	harness.Await(t, fmt.Sprintf("%d used in the ledger of budget %s, and nothing under way", used, name), func() (bool, string) {
		err := harness.Collect(t.Context(), client, namespace)
		b := budget(t, name)
		return err == nil && settled(b, used), held(b)
	})
}
