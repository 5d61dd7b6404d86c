// Earlier revisions are kept running by traffic, tags and Routes.

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestRoutesAndTrafficAreCounted(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, "  bounds: {gpusPerWorkload: {max: 32}}\n")
	require.NoError(t, made(t, ns, knativeObject(t, "Service", "app", "10", 2)))
	require.NoError(t, cluster.MakeReady(t.Context(), ns, "app"))
	require.NoError(t, patched(t, services, ns, "app", `{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"9"}}}}}`))
	require.NoError(t, cluster.MakeReady(t.Context(), ns, "app"))

	assert.ErrorContains(t, patched(t, services, ns, "app", `{"spec":{"traffic":[{"latestRevision":true,"percent":100},{"revisionName":"app-00001","tag":"old","percent":0}]}}`),
		"asks for 38 GPUs (2 x 9 pods, and 20 GPUs of other revisions in traffic); policy policy-"+ns+" allows at most 32")
	route := func(name, traffic string) *unstructured.Unstructured {
		return object(t, `{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: `+name+`}, spec: {traffic: [`+traffic+`]}}`)
	}
	create := func(u *unstructured.Unstructured) error {
		_, err := client.Resource(routes).Namespace(ns).Create(t.Context(), u, metav1.CreateOptions{})
		return err
	}
	assert.ErrorContains(t, create(route("both", `{revisionName: app-00001, percent: 50}, {revisionName: app-00002, percent: 50}`)), "asks for 38 GPUs over all that it names")
	require.NoError(t, create(route("old", `{revisionName: app-00001, percent: 100}`)))
	assert.ErrorContains(t, patched(t, services, ns, "app", `{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"10"}}}}}`),
		"and 20 GPUs of other revisions in traffic", "what a Route keeps alive counts")
	require.NoError(t, client.Resource(routes).Namespace(ns).Delete(t.Context(), "old", metav1.DeleteOptions{}))
	harness.Eventually(t, "Knative's finalizer goes", func() bool {
		_, err := client.Resource(routes).Namespace(ns).Get(t.Context(), "old", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	assert.NoError(t, patched(t, services, ns, "app", `{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"10"}}}}}`))
}
