package budgets

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

var (
	services       = harness.Services
	deployments    = harness.Deployments
	budgets        = harness.Budgets
	namespaces     = harness.Namespaces
	configurations = harness.Configurations
	revisions      = harness.Revisions

	// claiming are the resources that the objects of these tests claim GPUs with.
	claiming = []schema.GroupVersionResource{services, deployments}
)

const tick = 200 * time.Millisecond

// newNamespace makes a namespace for one test, once nothing disturbs it any more.
func newNamespace(t testing.TB) string {
	t.Helper()
	disturbances.Wait()
	return harness.NewNamespace(t, client)
}

// newBudget makes a budget for a namespace, and waits until it is counted.
func newBudget(t testing.TB, namespace, spec string) string {
	t.Helper()
	name := "budget-" + namespace
	newBudgetFor(t, name, named(namespace), spec)
	return name
}

// newBudgetFor makes a budget for the namespaces with labels, and waits until it is counted.
func newBudgetFor(t testing.TB, name, labels, spec string) {
	t.Helper()
	harness.NewBudget(t, client, name, labels, spec)
}

// named is the label of one namespace.
func named(namespace string) string { return harness.Named(namespace) }

func applyBudget(t testing.TB, name, labels, spec string) {
	t.Helper()
	harness.ApplyBudget(t, client, name, labels, spec)
}

func awaitCounted(t testing.TB, name string) {
	t.Helper()
	harness.AwaitCounted(t, client, name)
}

func budget(t testing.TB, name string) *v1alpha1.GPUBudget {
	t.Helper()
	return harness.Budget(t, client, name)
}

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	return harness.Object(t, text)
}

// service is a Knative Service of some pods with some GPUs each.
func service(name string, gpus, pods int) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"spec": map[string]any{"template": map[string]any{
			"metadata": map[string]any{"annotations": map[string]any{"autoscaling.knative.dev/max-scale": fmt.Sprint(pods), "autoscaling.knative.dev/min-scale": "0"}},
			"spec": map[string]any{"containers": []any{map[string]any{"image": "nginx:1", "resources": map[string]any{
				"limits": map[string]any{"nvidia.com/gpu": fmt.Sprint(gpus)}}}}},
		}},
	}}
	u.SetName(name)
	return u
}

func create(t *testing.T, namespace string, u *unstructured.Unstructured) error {
	t.Helper()
	return answered(func() error {
		_, err := client.Resource(services).Namespace(namespace).Create(context.Background(), u, metav1.CreateOptions{})
		return err
	})
}

func held(b *v1alpha1.GPUBudget) string { return harness.Held(b) }

func counted(b *v1alpha1.GPUBudget) bool { return harness.Counted(b) }

// settled tells whether a ledger is at rest and holds just so much.
func settled(b *v1alpha1.GPUBudget, used int64) bool { return harness.Settled(b, used) }

// awaitUsed waits until a ledger is at rest and holds just so much.
func awaitUsed(t *testing.T, name string, used int64) {
	t.Helper()
	harness.AwaitUsed(t, client, name, used)
}

// awaitLedger waits until something holds of a ledger.
func awaitLedger(t *testing.T, what, name string, holds func(*v1alpha1.GPUBudgetStatus) bool) {
	t.Helper()
	harness.Await(t, what, func() (bool, string) {
		b := budget(t, name)
		return holds(&b.Status), held(b)
	})
}

func patch(t *testing.T, resource schema.GroupVersionResource, namespace, name, merge string, subresources ...string) error {
	t.Helper()
	return answered(func() error {
		_, err := client.Resource(resource).Namespace(namespace).Patch(context.Background(), name, types.MergePatchType, []byte(merge), metav1.PatchOptions{}, subresources...)
		return err
	})
}

// maxScale is a merge patch for a Knative Service.
func maxScale(pods int) string { return string(workload{kind: plainService}.scaled(pods)) }

func remove(t *testing.T, resource schema.GroupVersionResource, namespace, name string) {
	t.Helper()
	require.NoError(t, answered(func() error {
		return client.Resource(resource).Namespace(namespace).Delete(context.Background(), name, metav1.DeleteOptions{})
	}))
}

// make makes a workload.
func (w workload) make(t *testing.T, namespace, name string) error {
	t.Helper()
	return answered(func() error {
		_, err := client.Resource(w.resource()).Namespace(namespace).Create(context.Background(), w.object(name), metav1.CreateOptions{})
		return err
	})
}

// answer is what the API server answers to a creation at once, without the waiting and
// trying again that clients do.
func answer(t *testing.T, namespace string, u *unstructured.Unstructured) (code int, retryAfter string, status metav1.Status) {
	t.Helper()
	config := cluster.RESTConfig()
	api, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	body, err := u.MarshalJSON()
	require.NoError(t, err)
	response, err := api.Post(config.Host+"/apis/serving.knative.dev/v1/namespaces/"+namespace+"/services", "application/json", bytes.NewReader(body))
	if err == nil {
		defer response.Body.Close()
		err = json.NewDecoder(response.Body).Decode(&status)
	}
	if err != nil && controlplane.CutOff(err) {
		return http.StatusGatewayTimeout, "", metav1.Status{Message: err.Error()}
	}
	require.NoError(t, err)
	return response.StatusCode, response.Header.Get("Retry-After"), status
}

// requireLater waits for an answer that says to come back, and why.
func requireLater(t *testing.T, namespace, why string) {
	t.Helper()
	var code int
	var retryAfter string
	var status metav1.Status
	harness.Eventually(t, "an answer", func() bool {
		code, retryAfter, status = answer(t, namespace, service("later", 1, 1))
		return code != http.StatusInternalServerError && code != http.StatusGatewayTimeout
	})
	require.Equal(t, http.StatusTooManyRequests, code, status.Message)
	assert.Contains(t, status.Message, why)
	assert.NotEmpty(t, retryAfter)
	require.NotNil(t, status.Details)
	assert.Positive(t, status.Details.RetryAfterSeconds)
}

func patchNamespace(name, merge string) error {
	return answered(func() error {
		_, err := client.Resource(namespaces).Patch(context.Background(), name, types.MergePatchType, []byte(merge), metav1.PatchOptions{})
		return err
	})
}

// pinned is a Knative Service of one pod that only runs on nodes with one type of GPU.
func pinned(t *testing.T, name, gpuType string, gpus int) *unstructured.Unstructured {
	t.Helper()
	u := service(name, gpus, 1)
	u.SetLabels(map[string]string{"kubetorch.com/autoscale": "true"})
	u.SetAnnotations(map[string]string{"compute.kubetorch.com/gpu-type": gpuType})
	return u
}

// answered tries again what a busy machine left without an answer.
func answered(try func() error) error { return harness.Answered(try) }
