// Labels on a workload or its namespace are set, changed or taken away.

package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/e2e/harness"
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

func TestLabelsThatAnUpdateBringsAreBounded(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, eachBound)
	plain := object(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "nginx:1"}]}}}}`)
	require.NoError(t, made(t, ns, plain))
	require.NoError(t, made(t, ns, knativeObject(t, "Service", "app", "2", 1)))
	for patch, want := range map[string]string{
		`{"labels":{"kubetorch.com/autoscale":"true"},"annotations":{"autoscale.kubetorch.com/max-scale":"11"}}`:                                      "bounds.maxScale.max",
		`{"labels":{"kubetorch.com/compute":"true"},"annotations":{"compute.kubetorch.com/gpus":"3"}}`:                                                "bounds.gpusPerPod.max",
		`{"labels":{"kubetorch.com/autoscale":"true"},"annotations":{"compute.kubetorch.com/gpus":"2","autoscale.kubetorch.com/initial-scale":"11"}}`: "initial",
	} {
		assert.ErrorContains(t, patched(t, deployments, ns, "web", `{"metadata":`+patch+`}`), want, patch)
	}
	assert.ErrorContains(t, patched(t, services, ns, "app", `{"metadata":{"labels":{"kubetorch.com/autoscale":"true"},"annotations":{"autoscale.kubetorch.com/min-scale":"11"}}}`), "min-scale")

	generation := get(t, services, ns, "app").GetGeneration()
	assert.NoError(t, patched(t, services, ns, "app", `{"metadata":{"labels":{"team":"nlp"},"annotations":{"example.com/note":"x"}}}`), "metadata alone")
	assert.Equal(t, generation, get(t, services, ns, "app").GetGeneration())
}

func TestLabelsOfANamespaceAreFollowed(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	label := func(value string) {
		_, err := client.Resource(namespaces).Patch(t.Context(), ns, types.MergePatchType, []byte(`{"metadata":{"labels":{"tier":`+value+`}}}`), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	refused := func() bool {
		err := made(t, ns, knativeObject(t, "Configuration", "probe", "9", 1), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "policy tier-"+ns+" allows at most 5 (bounds.maxScale.max)")
	}
	require.NoError(t, made(t, ns, knativeObject(t, "Service", "app", "8", 1)))
	applyPolicy(t, "tier-"+ns, "{namespaceSelector: {matchLabels: {tier: "+ns+"}}, bounds: {maxScale: {max: 5}}}")
	label(`"` + ns + `"`)
	harness.Eventually(t, "a refusal once the label is seen", refused)
	scaled := func(n string) error {
		return patched(t, services, ns, "app", `{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"`+n+`"}}}}}`)
	}
	assert.ErrorContains(t, scaled("9"), "bounds.maxScale.max", "what was there may not grow")
	assert.NoError(t, patched(t, services, ns, "app", `{"metadata":{"labels":{"team":"nlp"}}}`))
	assert.NoError(t, scaled("7"))
	label("null")
	harness.Eventually(t, "an admission once it is seen", func() bool { return !refused() })
}
