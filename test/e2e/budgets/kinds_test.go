package budgets

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var autoscalers = schema.GroupVersionResource{Group: "autoscaling.internal.knative.dev", Version: "v1alpha1", Resource: "podautoscalers"}

func TestADeploymentAndTheServiceMadeFromItAreOneCharge(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 20\n")
	require.NoError(t, workload{expandedDeployment, 2, 4}.make(t, namespace, "app"))
	require.Eventually(t, func() bool { return exists(services, namespace, "app") }, freedAfter, tick)
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
	require.Eventually(t, func() bool { return exists(services, namespace, "app") }, freedAfter, tick)
	awaitUsed(t, name, 14)
	assert.ErrorContains(t, create(t, namespace, service("b", 1, 1)), "0 of 14 are free")
	require.NoError(t, cluster.MakeReady(t.Context(), namespace, "app"))
	awaitUsed(t, name, 8)
	assert.NoError(t, create(t, namespace, service("b", 6, 1)))
}

func TestTrafficOverTwoRevisionsCountsBoth(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 14\n")
	require.NoError(t, create(t, namespace, service("a", 2, 3)))
	require.NoError(t, cluster.MakeReady(t.Context(), namespace, "a"))
	awaitUsed(t, name, 6)
	split := func(pods int) string {
		return fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"%d"}}},
			"traffic":[{"revisionName":"a-00001","percent":90},{"latestRevision":true,"percent":10}]}}`, pods)
	}
	assert.ErrorContains(t, patch(t, services, namespace, "a", split(5)), "in budget "+name)
	require.NoError(t, patch(t, services, namespace, "a", split(4)))
	require.NoError(t, cluster.MakeReady(t.Context(), namespace, "a"))
	awaitUsed(t, name, 14)
	assert.ErrorContains(t, create(t, namespace, service("b", 1, 1)), "0 of 14 are free")

	// A tag keeps a revision as a share of the traffic does.
	require.NoError(t, patch(t, services, namespace, "a", `{"spec":{"traffic":[{"revisionName":"a-00001","tag":"old","percent":0},{"latestRevision":true,"percent":100}]}}`))
	require.Never(t, func() bool { return budget(t, name).Status.Used != 14 }, 3*requestTimeout, 10*tick)
	require.NoError(t, patch(t, services, namespace, "a", `{"spec":{"traffic":[{"latestRevision":true,"percent":100}]}}`))
	require.NoError(t, cluster.MakeReady(t.Context(), namespace, "a"))
	collectUntil(t, namespace, name, 8)
}

func TestARolloutOverlapsUnlessTheBudgetIsStrict(t *testing.T) {
	t.Parallel()
	for rollout, refused := range map[string]bool{"Allow": false, "Strict": true} {
		t.Run(rollout, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace(t)
			name := newBudget(t, namespace, "  max: 16\n  rollout: "+rollout+"\n")
			require.NoError(t, create(t, namespace, service("a", 2, 5)))
			require.NoError(t, cluster.MakeReady(t.Context(), namespace, "a"))
			awaitUsed(t, name, 10)
			err := patch(t, services, namespace, "a", `{"spec":{"template":{"metadata":{"annotations":{"e2e.kubetorch.com/version":"2"}}}}}`)
			if refused {
				require.ErrorContains(t, err, "rollout: Strict")
				require.NoError(t, patch(t, services, namespace, "a", `{"metadata":{"annotations":{"e2e.kubetorch.com/note":"x"}}}`), "that is no rollout")
				awaitUsed(t, name, 10)
				return
			}
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				s := budget(t, name).Status
				return s.Used == 10 && s.Overlap == 10 && s.Available == 0
			}, freedAfter, tick)
			assert.Error(t, create(t, namespace, service("b", 1, 1)), "what the old pods hold is nobody else's")
			collectUntil(t, namespace, name, 10)
			assert.NoError(t, create(t, namespace, service("b", 6, 1)))
		})
	}
}

// child is an object of one of Knative's kinds that nothing else owns.
func child(t *testing.T, kind, name string, gpus, pods int) *unstructured.Unstructured {
	t.Helper()
	annotations := fmt.Sprintf(`{autoscaling.knative.dev/max-scale: "%d"}`, pods)
	pod := fmt.Sprintf(`{containers: [{name: user-container, image: "nginx:1", resources: {limits: {nvidia.com/gpu: "%d"}}}]}`, gpus)
	switch kind {
	case "Revision":
		return object(t, fmt.Sprintf(`{apiVersion: serving.knative.dev/v1, kind: Revision, metadata: {name: %s, annotations: %s}, spec: %s}`, name, annotations, pod))
	case "PodAutoscaler":
		return object(t, fmt.Sprintf(`{apiVersion: autoscaling.internal.knative.dev/v1alpha1, kind: PodAutoscaler, metadata: {name: %s, annotations: %s}, spec: {protocolType: http1, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: target}}}`, name, annotations))
	default:
		return object(t, fmt.Sprintf(`{apiVersion: serving.knative.dev/v1, kind: Configuration, metadata: {name: %s}, spec: {template: {metadata: {annotations: %s}, spec: %s}}}`, name, annotations, pod))
	}
}

func TestWhatIsWrittenByHandIsChargedByItself(t *testing.T) {
	t.Parallel()
	for kind, resource := range map[string]schema.GroupVersionResource{"Configuration": configurations, "Revision": revisions, "PodAutoscaler": autoscalers} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace(t)
			name := newBudget(t, namespace, "  max: 12\n")
			var before int64
			if kind == "PodAutoscaler" {
				_, err := client.Resource(resource).Namespace(namespace).Create(t.Context(), child(t, kind, "nowhere", 2, 1), metav1.CreateOptions{})
				assert.ErrorContains(t, err, "names no Deployment that there is")
				require.NoError(t, workload{plainDeployment, 2, 1}.make(t, namespace, "target"))
				before = 2
			}
			_, err := client.Resource(resource).Namespace(namespace).Create(t.Context(), child(t, kind, "greedy", 2, 7), metav1.CreateOptions{})
			assert.ErrorContains(t, err, "in budget "+name)
			_, err = client.Resource(resource).Namespace(namespace).Create(t.Context(), child(t, kind, "modest", 2, 5), metav1.CreateOptions{})
			require.NoError(t, err)
			awaitUsed(t, name, before+10)
			assert.ErrorContains(t, create(t, namespace, service("b", 3, 1)), "are free in budget "+name)
			remove(t, resource, namespace, "modest")
			awaitUsed(t, name, before)
		})
	}
}

func TestScalingADeploymentIsCharged(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 12\n")
	require.NoError(t, workload{plainDeployment, 2, 2}.make(t, namespace, "a"))
	scale := func(replicas string) error {
		return answered(func() error {
			_, _, err := cluster.Kubectl(t.Context(), nil, "-n", namespace, "scale", "deployment", "a", "--replicas="+replicas)
			return err
		})
	}
	assert.ErrorContains(t, scale("7"), "in budget "+name)
	require.NoError(t, scale("6"))
	assert.ErrorContains(t, create(t, namespace, service("b", 1, 1)), "0 of 12 are free")
	awaitUsed(t, name, 12)
	require.NoError(t, patch(t, deployments, namespace, "a", `{"spec":{"replicas":1}}`, "scale"))
	awaitUsed(t, name, 2)
}

func exists(resource schema.GroupVersionResource, namespace, name string) bool {
	_, err := client.Resource(resource).Namespace(namespace).Get(context.Background(), name, metav1.GetOptions{})
	return err == nil
}

// awaitClaim waits until a Knative Service claims so much.
func awaitClaim(t *testing.T, namespace, name string, claim int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		u, err := client.Resource(services).Namespace(namespace).Get(context.Background(), name, metav1.GetOptions{})
		return err == nil && stored(t, u) == claim
	}, freedAfter, tick)
}

// collectUntil collects what was replaced, and waits until a ledger is at rest.
func collectUntil(t *testing.T, namespace, name string, used int64) {
	t.Helper()
	if !assert.Eventually(t, func() bool {
		return collect(t.Context(), namespace) == nil && settled(budget(t, name), used)
	}, freedAfter, 5*tick) {
		t.Fatalf("the ledger never came to rest with %d used: %s", used, held(budget(t, name)))
	}
}
