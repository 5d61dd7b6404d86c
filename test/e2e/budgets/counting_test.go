package budgets

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

func TestWhatIsDeletedIsFreedExactlyOnce(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 14\n")
	require.NoError(t, create(t, namespace, service("stays", 1, 2)))
	require.NoError(t, create(t, namespace, service("deleted", 2, 2)))
	require.NoError(t, workload{plainDeployment, 4, 2}.make(t, namespace, "held"))
	awaitUsed(t, name, 14)

	remove(t, services, namespace, "deleted")
	awaitUsed(t, name, 10)

	// Held by a finalizer, what was deleted in the foreground is there, and so are its pods.
	require.NoError(t, patch(t, deployments, namespace, "held", `{"metadata":{"finalizers":["e2e.kubetorch.com/hold"]}}`))
	foreground := metav1.DeletePropagationForeground
	require.NoError(t, client.Resource(deployments).Namespace(namespace).Delete(t.Context(), "held", metav1.DeleteOptions{PropagationPolicy: &foreground}))
	require.NoError(t, create(t, namespace, service("fits", 4, 1)))
	awaitUsed(t, name, 14)
	assert.ErrorContains(t, create(t, namespace, service("more", 1, 1)), "0 of 14 are free")
	require.NoError(t, patch(t, deployments, namespace, "held", `{"metadata":{"finalizers":null}}`))
	awaitUsed(t, name, 6)
	require.NoError(t, create(t, namespace, service("more", 8, 1)))
	assert.ErrorContains(t, create(t, namespace, service("too-much", 1, 1)), "0 of 14 are free")
}

func TestADeletedNamespaceFreesWhatWasInIt(t *testing.T) {
	t.Parallel()
	stays, goes := newNamespace(t), newNamespace(t)
	for _, namespace := range []string{stays, goes} {
		require.NoError(t, patchNamespace(namespace, `{"metadata":{"labels":{"e2e.kubetorch.com/team":"`+stays+`"}}}`))
	}
	name := "budget-" + stays
	newBudgetFor(t, name, "{e2e.kubetorch.com/team: "+stays+"}", "  max: 12\n")
	require.NoError(t, create(t, stays, service("a", 1, 4)))
	require.NoError(t, create(t, goes, service("a", 2, 2)))
	require.NoError(t, workload{labelledDeployment, 2, 2}.make(t, goes, "b"))
	awaitUsed(t, name, 12)
	assert.ErrorContains(t, create(t, stays, service("b", 1, 1)), "0 of 12 are free")
	require.NoError(t, client.Resource(namespaces).Delete(t.Context(), goes, metav1.DeleteOptions{}))
	awaitUsed(t, name, 4)
	assert.NoError(t, create(t, stays, service("b", 8, 1)))
	assert.ErrorContains(t, create(t, stays, service("c", 1, 1)), "0 of 12 are free")
}

// An object that another webhook rejects was charged, since all of them are asked at the
// same time.
func TestWhatAnotherWebhookRejectsIsFreed(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 16\n")
	other := startRejecter(t, "rejects-"+namespace, map[string]string{"kubernetes.io/metadata.name": namespace})
	require.NoError(t, create(t, namespace, service("a", 8, 1)))
	awaitUsed(t, name, 8)

	other.percent.Store(100)
	awaitRejecter(t, namespace)
	require.Eventually(t, func() bool { // until the rejection comes after the charge
		err := create(t, namespace, service("rejected", 1, 8))
		require.ErrorContains(t, err, rejectedByAnother)
		return budget(t, name).Status.Reserved >= 8
	}, freedAfter, tick)
	begun := time.Now()
	other.percent.Store(0)
	err := create(t, namespace, service("b", 1, 1))
	assert.ErrorContains(t, err, "more are reserved by requests under way, and may become free")
	awaitUsed(t, name, 8)
	assert.Greater(t, time.Since(begun), requestTimeout, "freed while the request may still be under way")
	require.NoError(t, create(t, namespace, service("b", 1, 8)))
	awaitUsed(t, name, 16)
}

func TestARejectedUpdateLeavesTheLedgerAsItIs(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 20\n")
	other := startRejecter(t, "updates-"+namespace, map[string]string{"kubernetes.io/metadata.name": namespace})
	require.NoError(t, create(t, namespace, service("a", 2, 8)))
	awaitUsed(t, name, 16)
	other.percent.Store(100)
	awaitRejecter(t, namespace)

	assert.ErrorContains(t, patch(t, services, namespace, "a", maxScale(1)), rejectedByAnother)
	require.Never(t, func() bool { return budget(t, name).Status.Used != 16 }, 2*requestTimeout+8*time.Second, time.Second, "a rejected lower claim freed something")
	// Until the overlap of the lower one is free again, and the rejection comes after the charge.
	require.Eventually(t, func() bool {
		require.Error(t, patch(t, services, namespace, "a", maxScale(10)))
		return budget(t, name).Status.Reserved == 4
	}, freedAfter, tick)
	require.Eventually(t, func() bool { return budget(t, name).Status.Reserved == 0 }, freedAfter, tick)
	other.percent.Store(0)
	assert.ErrorContains(t, create(t, namespace, service("b", 5, 1)), "4 of 20 are free")
	assert.NoError(t, create(t, namespace, service("b", 4, 1)))
}

func TestUpAndDownAndUpAgainDoesNotDrift(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 12\n")
	require.NoError(t, workload{plainDeployment, 2, 3}.make(t, namespace, "a"))
	for _, pods := range []int{6, 1, 5, 2, 6, 4} {
		require.NoError(t, patch(t, deployments, namespace, "a", string(workload{kind: plainDeployment}.scaled(pods))))
	}
	assert.ErrorContains(t, patch(t, deployments, namespace, "a", `{"spec":{"replicas":7}}`), "in budget "+name)
	// What is still held for the six pods is nobody else's.
	assert.Error(t, create(t, namespace, service("b", 1, 1)))
	awaitUsed(t, name, 8)
	assert.NoError(t, create(t, namespace, service("b", 4, 1)))
	awaitUsed(t, name, 12)
}

// The API server asks again with another old object whenever somebody else wrote first.
func TestAnUpdateThatIsTriedAgainIsOneCharge(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 30\n")
	require.NoError(t, workload{plainDeployment, 3, 1}.make(t, namespace, "a"))
	var together sync.WaitGroup
	for i := range 40 {
		together.Go(func() {
			merge := fmt.Sprintf(`{"metadata":{"annotations":{"e2e.kubetorch.com/%d":"x"}},"spec":{"replicas":%d}}`, i, 1+i%10)
			if err := patch(t, deployments, namespace, "a", merge); err != nil {
				assert.NotContains(t, err.Error(), "in budget", "no single one is more than the budget")
			}
		})
	}
	together.Wait()
	require.NoError(t, patch(t, deployments, namespace, "a", `{"spec":{"replicas":10}}`))
	awaitUsed(t, name, 30)
	require.NoError(t, patch(t, deployments, namespace, "a", `{"spec":{"replicas":2}}`))
	awaitUsed(t, name, 6)
}

// With server-side apply an object is made by what begins as an update, and a generated
// name that is taken is asked for again with another UID.
func TestEveryWayOfMakingAnObjectIsOneCharge(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 40\n")
	api := client.Resource(services).Namespace(namespace)
	for range 3 {
		_, err := api.Apply(t.Context(), "applied", service("applied", 2, 2), metav1.ApplyOptions{FieldManager: "e2e", Force: true})
		require.NoError(t, err)
	}
	u := service("", 1, 4)
	u.SetGenerateName("generated-")
	for range 3 {
		_, err := api.Create(t.Context(), u, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	require.NoError(t, create(t, namespace, service("a", 4, 1)))
	require.Error(t, create(t, namespace, service("a", 4, 1)), "it is there")
	awaitUsed(t, name, 20)
	for _, uid := range []types.UID{"6a0d5a5e-8a55-4b6f-9d0f-000000000001", "6a0d5a5e-8a55-4b6f-9d0f-000000000002"} {
		response := reviewed(t, hook.Replicas[0], namespace, service("generated-x", 1, 10), uid)
		require.True(t, response.Allowed, "%v", response.Result)
	}
	assert.EqualValues(t, 20, budget(t, name).Status.Reserved, "either may be stored")
	awaitUsed(t, name, 20)
}

func TestADryRunIsAnsweredAndWritesNothing(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 8\n")
	require.NoError(t, create(t, namespace, service("a", 1, 4)))
	awaitUsed(t, name, 4)
	api := client.Resource(services).Namespace(namespace)
	try := func(u *unstructured.Unstructured) error {
		_, err := api.Create(t.Context(), u, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	before := budget(t, name)
	for range 5 {
		assert.NoError(t, try(service("b", 2, 2)))
	}
	assert.ErrorContains(t, try(service("b", 5, 1)), "4 of 8 are free in budget "+name)
	_, err := api.Patch(t.Context(), "a", types.MergePatchType, []byte(maxScale(8)), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	assert.NoError(t, err)
	_, err = api.Patch(t.Context(), "a", types.MergePatchType, []byte(maxScale(9)), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	assert.Error(t, err)
	assert.NoError(t, api.Delete(t.Context(), "a", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}))
	assert.Equal(t, before.Status, budget(t, name).Status)
	assert.Equal(t, before.ResourceVersion, budget(t, name).ResourceVersion, "the ledger was written")
}

// Somebody who writes the budget all the time makes admissions lose, over and over.
func TestAStormOfConflictsAdmitsNothingThatDoesNotFit(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 24\n")
	ctx, stop := context.WithCancel(t.Context())
	var storm sync.WaitGroup
	for i := range 4 {
		storm.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, _ = client.Resource(budgets).Patch(ctx, name, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{"e2e.kubetorch.com/%d":"%d"}}}`, i, n), metav1.PatchOptions{})
			}
		})
	}
	var asking sync.WaitGroup
	for i := range 40 {
		asking.Go(func() {
			code, _, status := answer(t, namespace, service(fmt.Sprintf("s-%d", i), 2, 2))
			switch code {
			case 201, 403, 500, 504:
			case 429:
				assert.Contains(t, status.Message, "please retry")
			default:
				t.Errorf("%d: %s", code, status.Message)
			}
		})
	}
	asking.Wait()
	assert.LessOrEqual(t, listed(t, namespace), int64(24))
	stop()
	storm.Wait()
	require.Eventually(t, func() bool { return settled(budget(t, name), listed(t, namespace)) }, freedAfter, tick)
	assert.LessOrEqual(t, listed(t, namespace), int64(24))
}

func TestAServiceWithoutABoundDoesNotFit(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 1000\n")
	assert.ErrorContains(t, create(t, namespace, service("a", 1, 0)), "in budget "+name)
	u := service("a", 1, 1)
	unstructured.RemoveNestedField(u.Object, "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale")
	assert.ErrorContains(t, create(t, namespace, u), "in budget "+name)
	require.NoError(t, create(t, namespace, service("a", 1, 1)))
	assert.ErrorContains(t, patch(t, services, namespace, "a", maxScale(0)), "in budget "+name)
	assert.NoError(t, create(t, namespace, service("no-gpus", 0, 0)))
	awaitUsed(t, name, 1)
}
