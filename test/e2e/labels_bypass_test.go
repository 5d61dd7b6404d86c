// Labels on a workload or its namespace are set, changed or taken away.

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestLabelsOpenNothing(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, eachBound)
	label := func(labels string) {
		_, err := client.Resource(namespaces).Patch(t.Context(), ns, types.MergePatchType, []byte(`{"metadata":{"labels":`+labels+`}}`), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	greedy := func(name string) error { return made(t, ns, knativeObject(t, "Configuration", name, "9999", 1)) }
	label(`{"webhooks.knative.dev/exclude":"true","kubetorch.com/exclude":"true","admission.gatekeeper.sh/ignore":"true"}`)
	assert.ErrorContains(t, greedy("a"), "bounds.maxScale.max", "a namespace that Knative's webhooks leave alone")
	assert.ErrorContains(t, made(t, ns, knativeObject(t, "Service", "a", "9999", 1)), "bounds.maxScale.max")
	label(`{"webhooks.knative.dev/exclude":null}`)

	require.NoError(t, made(t, ns, knativeObject(t, "Service", "app", "2", 1)))
	for _, labels := range []string{`{"kubetorch.com/autoscale":"false"}`, `{"kubetorch.com/autoscale":null}`, `{"kubetorch.com/compute":"true"}`, `{"kubetorch.com/autoscale":"true","kubetorch.com/compute":null}`} {
		assert.ErrorContains(t, patched(t, services, ns, "app", `{"metadata":{"labels":`+labels+`},"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"11"}}}}}`), "bounds.maxScale.max", labels)
	}
	assert.ErrorContains(t, greedy("b"), "bounds.maxScale.max")
}
