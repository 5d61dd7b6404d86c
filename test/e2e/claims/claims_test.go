package claims

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// budget makes a namespace with a budget, and waits until it is counted.
func budget(t *testing.T, most int) (namespace, name string) {
	t.Helper()
	disturbances.Wait()
	namespace = harness.NewNamespace(t, client)
	name = "budget-" + namespace
	harness.NewBudget(t, client, name, harness.Named(namespace), fmt.Sprintf("  max: %d\n", most))
	return namespace, name
}

func template(name string, gpus int) string {
	return fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: %s}, spec: {spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.nvidia.com, count: %d}}]}}}}`, name, gpus)
}

// claim is a ResourceClaim with further metadata.
func claim(name, metadata string, gpus int) string {
	return fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: %s%s}, spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.nvidia.com, count: %d}}]}}}`, name, metadata, gpus)
}

const (
	ofTemplate = "{name: gpu, resourceClaimTemplateName: gpus}"
	shared     = "{name: gpu, resourceClaimName: shared}"
)

// podSpec has pods with one claim for devices.
func podSpec(claims string) string {
	return `{restartPolicy: RESTART, resourceClaims: [` + claims + `], containers: [{name: c, image: "nginx:1", resources: {claims: [{name: gpu}]}}]}`
}

func withRestart(object, policy string) string { return strings.Replace(object, "RESTART", policy, 1) }

// running is a Deployment or a StatefulSet.
func running(kind, name string, replicas int, claims string) string {
	return withRestart(fmt.Sprintf(`{apiVersion: apps/v1, kind: %s, metadata: {name: %s}, spec: {replicas: %d, selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %s}}, spec: %s}}}`,
		kind, name, replicas, name, name, podSpec(claims)), "Always")
}

func job(name string, parallelism int, claims string) string {
	return withRestart(fmt.Sprintf(`{apiVersion: batch/v1, kind: Job, metadata: {name: %s}, spec: {parallelism: %d, template: {spec: %s}}}`, name, parallelism, podSpec(claims)), "Never")
}

func pod(name, claims string) string {
	return withRestart(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: %s}`, name, podSpec(claims)), "Always")
}

func made(t *testing.T, resource schema.GroupVersionResource, namespace, text string) {
	t.Helper()
	require.NoError(t, create(t.Context(), resource, namespace, text))
}

func refused(t *testing.T, resource schema.GroupVersionResource, namespace, text, words string) {
	t.Helper()
	require.ErrorContains(t, create(t.Context(), resource, namespace, text), words)
}

func remove(t *testing.T, resource schema.GroupVersionResource, namespace, name string, how metav1.DeletionPropagation) {
	t.Helper()
	require.NoError(t, harness.Answered(func() error {
		return client.Resource(resource).Namespace(namespace).Delete(t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &how})
	}))
}

// awaitClaims waits until so many ResourceClaims are in a namespace and hold devices, and lists them.
func awaitClaims(t *testing.T, namespace string, n int) []unstructured.Unstructured {
	t.Helper()
	var list *unstructured.UnstructuredList
	harness.Await(t, fmt.Sprintf("%d ResourceClaims with devices", n), func() (bool, string) {
		var err error
		if list, err = client.Resource(resourceClaims).Namespace(namespace).List(context.Background(), metav1.ListOptions{}); err != nil {
			return false, ""
		}
		allocated := 0
		for _, item := range list.Items {
			if _, found, _ := unstructured.NestedMap(item.Object, "status", "allocation"); found {
				allocated++
			}
		}
		return len(list.Items) == n && allocated == n, fmt.Sprintf("%d, with devices %d", len(list.Items), allocated)
	})
	return list.Items
}

func TestJobsStatefulSetsAndDeploymentsHoldWhatTheirTemplatesClaim(t *testing.T) {
	t.Parallel()
	namespace, name := budget(t, 16)
	made(t, claimTemplates, namespace, template("gpus", 2))
	made(t, jobs, namespace, job("train", 2, ofTemplate))
	made(t, statefulSets, namespace, running("StatefulSet", "store", 2, ofTemplate))
	made(t, deployments, namespace, running("Deployment", "chat", 2, ofTemplate))
	awaitClaims(t, namespace, 6)
	harness.AwaitUsed(t, client, name, 12)

	refused(t, deployments, namespace, running("Deployment", "more", 3, ofTemplate), "spec.replicas: Forbidden: asks for 6 GPUs (2 x 3 pods); 4 of 16 are free in budget "+name)
	refused(t, jobs, namespace, job("more", 3, ofTemplate), "spec.parallelism: Forbidden: asks for 6 GPUs (2 x 3 pods)")
	_, err := client.Resource(statefulSets).Namespace(namespace).Patch(t.Context(), "store", types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), metav1.PatchOptions{}, "scale")
	require.ErrorContains(t, err, "asks for 10 GPUs (2 x 5 pods)")
	made(t, deployments, namespace, running("Deployment", "more", 2, ofTemplate))
	awaitClaims(t, namespace, 8)
	harness.AwaitUsed(t, client, name, 16)

	remove(t, jobs, namespace, "train", metav1.DeletePropagationBackground)
	remove(t, deployments, namespace, "chat", metav1.DeletePropagationForeground)
	awaitClaims(t, namespace, 4)
	harness.AwaitUsed(t, client, name, 8)
}

func TestWhatNamesATemplateThatIsNotThereWaitsForIt(t *testing.T) {
	t.Parallel()
	namespace, name := budget(t, 4)
	done := make(chan error, 1)
	go func() { done <- create(context.Background(), jobs, namespace, job("train", 2, ofTemplate)) }()
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(3 * time.Second): // the client tries again by itself
	}
	made(t, claimTemplates, namespace, template("gpus", 1))
	require.NoError(t, <-done)
	awaitClaims(t, namespace, 2)
	harness.AwaitUsed(t, client, name, 2)
	code, text := answer(t, namespace, job("other", 1, "{name: gpu, resourceClaimTemplateName: none}"))
	assert.Equal(t, 429, code, text)
	assert.Contains(t, text, `spec.template.spec.resourceClaims[0].resourceClaimTemplateName: Not found: "none": there is no such ResourceClaimTemplate`)
}

func TestATemplateThatIsMadeAnewHasToFitUnderWhatNamesIt(t *testing.T) {
	t.Parallel()
	namespace, name := budget(t, 10)
	made(t, claimTemplates, namespace, template("gpus", 1))
	made(t, statefulSets, namespace, running("StatefulSet", "store", 2, ofTemplate))
	awaitClaims(t, namespace, 2)
	harness.AwaitUsed(t, client, name, 2)
	remove(t, claimTemplates, namespace, "gpus", metav1.DeletePropagationBackground)
	refused(t, claimTemplates, namespace, template("gpus", 8), "spec.spec.devices.requests: Forbidden: asks for 16 GPUs (StatefulSet store, which names this template); 8 of 10 are free in budget "+name)
	made(t, claimTemplates, namespace, template("gpus", 4))
	harness.AwaitUsed(t, client, name, 8)
	refused(t, resourceClaims, namespace, claim("mine", "", 3), "2 of 10 are free in budget "+name)

	// Pods that are made from now on get what the template says.
	remove(t, podResource, namespace, "store-0", metav1.DeletePropagationBackground)
	remove(t, podResource, namespace, "store-1", metav1.DeletePropagationBackground)
	harness.Await(t, "claims for 4 devices each", func() (bool, string) {
		devices := 0
		list, err := client.Resource(resourceClaims).Namespace(namespace).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return false, ""
		}
		for _, item := range list.Items {
			results, _, _ := unstructured.NestedSlice(item.Object, "status", "allocation", "devices", "results")
			devices += len(results)
		}
		return devices == 8 && len(list.Items) == 2, fmt.Sprintf("%d devices of %d claims", devices, len(list.Items))
	})
	harness.AwaitUsed(t, client, name, 8)
}

func TestAClaimThatManyPodsShareIsChargedOnce(t *testing.T) {
	t.Parallel()
	namespace, name := budget(t, 10)
	made(t, resourceClaims, namespace, claim("shared", "", 6))
	made(t, deployments, namespace, running("Deployment", "chat", 5, shared))
	awaitClaims(t, namespace, 1)
	harness.AwaitUsed(t, client, name, 6)
	refused(t, resourceClaims, namespace, claim("another", "", 5), "spec.devices.requests: Forbidden: asks for 5 GPUs (devices of one ResourceClaim); 4 of 10 are free in budget "+name)
	remove(t, deployments, namespace, "chat", metav1.DeletePropagationForeground)
	harness.AwaitUsed(t, client, name, 6)
	remove(t, resourceClaims, namespace, "shared", metav1.DeletePropagationBackground)
	harness.AwaitUsed(t, client, name, 0)
}

func TestTheSchedulersClaimForAResourceIsPartOfItsPod(t *testing.T) {
	t.Parallel()
	namespace, name := budget(t, 6)
	cards := func(name string, n int) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {containers: [{name: c, image: "nginx:1", resources: {limits: {%s: %d}}}]}}`, name, card, n)
	}
	made(t, podResource, namespace, cards("one", 4))
	found := awaitClaims(t, namespace, 1)
	assert.Equal(t, "true", found[0].GetAnnotations()["resource.kubernetes.io/extended-resource-claim"])
	harness.AwaitUsed(t, client, name, 4)
	refused(t, podResource, namespace, cards("two", 3), "asks for 3 GPUs (3 x 1 pod); 2 of 6 are free in budget "+name)
	remove(t, podResource, namespace, "one", metav1.DeletePropagationBackground)
	harness.AwaitUsed(t, client, name, 0)
}

// TestAnotherSelectorOfAClassIsAnotherWayOfCounting makes the class anew that all claims here are of.
func TestAnotherSelectorOfAClassIsAnotherWayOfCounting(t *testing.T) {
	begin := disturbances.Disturbing(t)
	namespace := harness.NewNamespace(t, client)
	name := "budget-" + namespace
	harness.NewBudget(t, client, name, harness.Named(namespace), "  max: 8\n  gpuTypes: [NVIDIA-L4]\n")
	made(t, claimTemplates, namespace, template("gpus", 2))
	made(t, jobs, namespace, job("train", 2, ofTemplate))
	harness.AwaitUsed(t, client, name, 4)
	end := begin()
	anew := func(selector string) {
		require.NoError(t, client.Resource(deviceClasses).Delete(t.Context(), "gpu.nvidia.com", metav1.DeleteOptions{}))
		made(t, deviceClasses, "", class("gpu.nvidia.com", selector, card))
	}
	anew(`device.attributes["gpu.nvidia.com"].productName == "NVIDIA H200"`)
	harness.Await(t, "a condition that says what changed", func() (bool, string) {
		c := meta.FindStatusCondition(harness.Budget(t, client, name).Status.Conditions, v1alpha1.ConditionCounted)
		return c != nil && c.Status == metav1.ConditionFalse && strings.HasPrefix(c.Message,
			"policies, DeviceClasses or Knative's scale defaults make the same objects ask for something else; "), fmt.Sprint(c)
	})
	harness.AwaitUsed(t, client, name, 0) // no L4 any more
	code, _ := answer(t, namespace, job("other", 5, ofTemplate))
	assert.Equal(t, 201, code, "devices of another type are nothing to this budget")
	anew("device.driver == 'gpu.nvidia.com'")
	harness.AwaitCounted(t, client, name)
	harness.AwaitUsed(t, client, name, 14)
	refused(t, jobs, namespace, job("more", 1, ofTemplate), "0 of 8 are free in budget "+name)
	end()
}
