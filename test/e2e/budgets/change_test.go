package budgets

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

func TestWhatWasThereBeforeTheBudgetCountsAndMayNotGrow(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	require.NoError(t, create(t, namespace, service("a", 4, 6)))
	require.NoError(t, workload{plainDeployment, 2, 4}.make(t, namespace, "b"))
	name := newBudget(t, namespace, "  max: 16\n")
	awaitUsed(t, name, 32)
	awaitLedger(t, "condition Within to be false", name, func(s *v1alpha1.GPUBudgetStatus) bool {
		c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionWithin)
		return c != nil && c.Status == metav1.ConditionFalse && c.Reason == "Exceeded"
	})

	assert.ErrorContains(t, patch(t, services, namespace, "a", maxScale(7)), "0 of 16 are free in budget "+name)
	assert.ErrorContains(t, patch(t, deployments, namespace, "b", `{"spec":{"replicas":5}}`), "in budget "+name)
	assert.ErrorContains(t, create(t, namespace, service("c", 1, 1)), "0 of 16 are free in budget "+name)
	assert.NoError(t, patch(t, services, namespace, "a", `{"metadata":{"labels":{"team":"nlp"}}}`), "it keeps running")
	assert.NoError(t, patch(t, services, namespace, "a", `{"spec":{"template":{"metadata":{"annotations":{"e2e.kubetorch.com/version":"2"}}}}}`), "and is rolled out")
	assert.NoError(t, patch(t, deployments, namespace, "b", `{"spec":{"replicas":3}}`), "and may be lowered")
	collectUntil(t, namespace, name, 30)
	assert.NoError(t, patch(t, services, namespace, "a", maxScale(2)))
	collectUntil(t, namespace, name, 14)
	assert.NoError(t, create(t, namespace, service("c", 2, 1)))
	assert.True(t, meta.IsStatusConditionTrue(budget(t, name).Status.Conditions, v1alpha1.ConditionWithin))
}

// requireCountedAnew waits until nothing may rise, and then until it may again.
func requireCountedAnew(t *testing.T, name, namespace string) {
	t.Helper()
	requireLater(t, namespace, "in budget "+name)
	assert.False(t, counted(budget(t, name)))
	awaitCounted(t, name)
}

// join puts a namespace into a team, named by another namespace.
func join(t *testing.T, namespace, team string) {
	t.Helper()
	require.NoError(t, patchNamespace(namespace, `{"metadata":{"labels":{"e2e.kubetorch.com/team":"`+team+`"}}}`))
}

// Limits alone change nothing of what is counted, so nobody waits.
func TestAChangedLimitHoldsAtOnceAndIsNotCountedAnew(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	require.NoError(t, create(t, namespace, service("a", 1, 4)))
	name := newBudget(t, namespace, "  max: 8\n")
	awaitUsed(t, name, 4)
	since := meta.FindStatusCondition(budget(t, name).Status.Conditions, v1alpha1.ConditionCounted).LastTransitionTime
	assert.ErrorContains(t, create(t, namespace, service("b", 5, 1)), "4 of 8 are free")

	applyBudget(t, name, named(namespace), "  max: 4\n")
	assert.ErrorContains(t, create(t, namespace, service("b", 1, 1)), "0 of 4 are free")
	awaitLedger(t, "columns that say the same", name, func(status *v1alpha1.GPUBudgetStatus) bool {
		s := status.Summary
		return s != nil && s.Max == "4" && s.Used == "4" && s.Available == "0"
	})
	applyBudget(t, name, named(namespace), "  max: 9\n  maxPerNamespace: 9\n")
	awaitLedger(t, "every replica to know it", name, func(s *v1alpha1.GPUBudgetStatus) bool { return s.Summary.Max == "9" })
	require.NoError(t, create(t, namespace, service("b", 5, 1)))
	awaitUsed(t, name, 9)
	assert.Equal(t, since, meta.FindStatusCondition(budget(t, name).Status.Conditions, v1alpha1.ConditionCounted).LastTransitionTime)
}

func TestABudgetThatSelectsOtherwiseIsCountedAnewBeforeClaimsRise(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	join(t, namespace, namespace)
	require.NoError(t, create(t, namespace, service("a", 1, 4)))
	require.NoError(t, create(t, namespace, service("b", 5, 1)))
	name := newBudget(t, namespace, "  max: 9\n")
	awaitUsed(t, name, 9)

	// A lower claim with a new template has an overlap, so it waits with the others: the
	// client tries again.
	applyBudget(t, name, "{e2e.kubetorch.com/team: "+namespace+"}", "  max: 20\n")
	requireLater(t, namespace, "in budget "+name)
	assert.NoError(t, patch(t, services, namespace, "a", maxScale(2)))
	awaitCounted(t, name)
	collectUntil(t, namespace, name, 7)
}

// One old Service without a maximum would leave nothing to anybody. The audit names it before a
// budget is there, its status does while the budget only warns, and so does a refusal, once it
// refuses.
func TestABudgetIsIntroducedGently(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	require.NoError(t, create(t, namespace, service("old", 1, 0)))
	name := "budget-" + namespace
	text := fmt.Sprintf("apiVersion: policy.kubetorch.com/v1alpha1\nkind: GPUBudget\nmetadata: {name: %s}\nspec: {namespaceSelector: {matchLabels: %s}, max: 16, enforcement: Warn}\n", name, named(namespace))
	file := filepath.Join(t.TempDir(), "budget.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	out, err := exec.CommandContext(t.Context(), binary, "audit", "--kubeconfig", cluster.Kubeconfig(), "--policy", file).CombinedOutput()
	require.NoError(t, err, "a budget that only warns is no failure: %s", out)
	assert.Regexp(t, namespace+` +Service +old +asks for GPUs without a maximum of pods: its claim is unbounded and leaves nothing of budget `+name+` to others`, string(out))
	assert.Regexp(t, name+` +Warn +16 +unbounded +0 +Service: unbounded +Service `+namespace+`/old: unbounded`, string(out))

	applyBudget(t, name, named(namespace), "  max: 16\n  enforcement: Warn\n")
	t.Cleanup(func() { _ = client.Resource(budgets).Delete(context.Background(), name, metav1.DeleteOptions{}) })
	for i := range 5 { // while it is counted, and after
		code, _, status := answer(t, namespace, service(fmt.Sprintf("early-%d", i), 1, 1))
		assert.Equal(t, http.StatusCreated, code, status.Message)
	}
	awaitCounted(t, name)
	awaitLedger(t, "columns that name the holder", name, func(s *v1alpha1.GPUBudgetStatus) bool {
		return s.Summary != nil && s.Summary.Used == "unbounded" && s.Summary.Available == "0" && strings.HasPrefix(s.Summary.Holders, namespace+"/old: unbounded")
	})
	require.NoError(t, create(t, namespace, service("late", 1, 1)))

	applyBudget(t, name, named(namespace), "  max: 16\n")
	err = create(t, namespace, service("more", 1, 1))
	assert.ErrorContains(t, err, "asks for 1 GPU (1 x 1 pod); 0 of 16 are free in budget "+name)
	assert.ErrorContains(t, err, "in namespace "+namespace+" these hold most: Service old an unbounded number")
	require.NoError(t, patch(t, services, namespace, "old", maxScale(2)))
	collectUntil(t, namespace, name, 8)
	require.NoError(t, create(t, namespace, service("more", 8, 1)))
}

func TestANamespaceThatALabelBringsInIsCountedFirst(t *testing.T) {
	t.Parallel()
	namespace, other := newNamespace(t), newNamespace(t)
	join(t, namespace, namespace)
	require.NoError(t, create(t, namespace, service("a", 1, 7)))
	require.NoError(t, create(t, other, service("other", 1, 3)))
	name := "budget-" + namespace
	newBudgetFor(t, name, "{e2e.kubetorch.com/team: "+namespace+"}", "  max: 20\n")
	awaitUsed(t, name, 7)

	join(t, other, namespace)
	requireLater(t, other, "the claims in this namespace are being counted")
	assert.NoError(t, create(t, namespace, service("c", 1, 1)), "the others go on")
	awaitUsed(t, name, 11)
	assert.NoError(t, create(t, other, service("more", 9, 1)))
	assert.ErrorContains(t, create(t, other, service("too-much", 1, 1)), "0 of 20 are free")
	require.NoError(t, patchNamespace(other, `{"metadata":{"labels":{"e2e.kubetorch.com/team":null}}}`))
	awaitUsed(t, name, 8)
}

func TestABudgetThatComesToBeForSomeTypesIsCountedAnew(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 20\n")
	require.NoError(t, create(t, namespace, service("any", 1, 8)))
	require.NoError(t, create(t, namespace, pinned(t, "l4", "NVIDIA-L4", 4)))
	awaitUsed(t, name, 12)

	// Only some types count from now on, and what nothing pins to one of them.
	applyBudget(t, name, named(namespace), "  max: 20\n  gpuTypes: [A100]\n")
	requireCountedAnew(t, name, namespace)
	awaitUsed(t, name, 8)
	assert.NoError(t, create(t, namespace, pinned(t, "l4-too", "NVIDIA-L4", 100)))
	assert.ErrorContains(t, create(t, namespace, pinned(t, "a100", "A100", 13)), "12 of 20 are free")
	assert.NoError(t, create(t, namespace, pinned(t, "a100", "A100", 12)))
	awaitUsed(t, name, 20)
}

// explain asks a cluster for what is really free, and does not count what is there twice.
func TestExplainSaysWhatIsFreeInACluster(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 8\n")
	require.NoError(t, create(t, namespace, service("a", 1, 4)))
	awaitUsed(t, name, 4)
	explain := func(u *unstructured.Unstructured) (string, error) {
		u.SetNamespace(namespace)
		u.SetLabels(map[string]string{"kubetorch.com/autoscale": "true"})
		text, err := u.MarshalJSON()
		require.NoError(t, err)
		c := exec.CommandContext(t.Context(), binary, "explain", "-f", "-", "--kubeconfig", cluster.Kubeconfig())
		c.Stdin = bytes.NewReader(text)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	out, err := explain(service("a", 1, 5))
	require.NoError(t, err, out)
	assert.Contains(t, out, "claims 5 GPUs (1 x 5 pods) of budget "+name+"; 3 of 8 are left")
	out, err = explain(service("b", 1, 5))
	require.Error(t, err)
	assert.Contains(t, out, "asks for 5 GPUs (1 x 5 pods); 4 of 8 are free in budget "+name)
}
