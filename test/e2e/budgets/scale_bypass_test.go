// Pods are added through the scale subresource.

package budgets

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestScalingADeploymentIsCharged(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 12\n")
	require.NoError(t, workload{plainDeployment, 2, 2}.make(t, namespace, "a"))
	_, _, err := cluster.Kubectl(t.Context(), nil, "-n", namespace, "scale", "deployment", "a", "--replicas=7")
	assert.ErrorContains(t, err, "in budget "+name)
	_, _, err = cluster.Kubectl(t.Context(), nil, "-n", namespace, "scale", "deployment", "a", "--replicas=6")
	require.NoError(t, err)
	assert.ErrorContains(t, create(t, namespace, service("b", 1, 1)), "0 of 12 are free")
	awaitUsed(t, name, 12)
	require.NoError(t, patch(t, deployments, namespace, "a", `{"spec":{"replicas":1}}`, "scale"))
	awaitUsed(t, name, 2)
}
