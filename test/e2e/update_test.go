package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// applyWays are the ways to apply a manifest again and again. Each gets the manifest as
// the user has it, without anything that an expansion added.
var applyWays = map[string]func(t *testing.T, namespace string, u *unstructured.Unstructured) (stderr string, err error){
	"client-side apply": func(t *testing.T, namespace string, u *unstructured.Unstructured) (string, error) {
		_, stderr, err := kubectl(t, text(t, u), "apply", "-n", namespace, "-f", "-")
		return stderr, err
	},
	"server-side apply": func(t *testing.T, namespace string, u *unstructured.Unstructured) (string, error) {
		_, stderr, err := kubectl(t, text(t, u), "apply", "--server-side", "-n", namespace, "-f", "-")
		return stderr, err
	},
	"replace": func(t *testing.T, namespace string, u *unstructured.Unstructured) (string, error) {
		live, err := client.Resource(services).Namespace(namespace).Get(t.Context(), u.GetName(), metav1.GetOptions{})
		if err != nil {
			_, err = create(t, namespace, u)
			return "", err
		}
		u = u.DeepCopy()
		annotations := u.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		for _, key := range []string{"serving.knative.dev/creator", "serving.knative.dev/lastModifier"} { // Knative insists
			annotations[key] = live.GetAnnotations()[key]
		}
		u.SetAnnotations(annotations)
		for {
			_, stderr, err := kubectl(t, text(t, u), "replace", "-n", namespace, "-f", "-")
			// kubectl reads and then writes; Knative writes status in between.
			if err == nil || !strings.Contains(stderr, "(Conflict)") {
				return stderr, err
			}
		}
	},
}

func scale(t *testing.T, namespace string) map[string]string {
	t.Helper()
	all := templateAnnotations(t, get(t, services, namespace, "app"))
	return map[string]string{"min": all["autoscaling.knative.dev/min-scale"], "max": all["autoscaling.knative.dev/max-scale"], "target": all["autoscaling.knative.dev/target"]}
}

func TestParametersAreFollowedThroughEveryWayOfApplying(t *testing.T) {
	t.Parallel()
	const as = "autoscale.kubetorch.com/"
	for name, apply := range applyWays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			newPolicy(t, ns, "  defaults: {autoscale: {maxScale: 6}}\n")
			for _, step := range []struct {
				name       string
				parameters map[string]string
				native     map[string]any
				want       map[string]string
			}{
				{"first", map[string]string{as + "max-scale": "8", as + "target": "5"}, nil, map[string]string{"min": "0", "max": "8", "target": "5"}},
				{"changed", map[string]string{as + "max-scale": "9", as + "target": "5"}, nil, map[string]string{"min": "0", "max": "9", "target": "5"}},
				{"removed", map[string]string{as + "target": "5"}, nil, map[string]string{"min": "0", "max": "6", "target": "5"}},
				{"added again, with another", map[string]string{as + "max-scale": "8", as + "min-scale": "2", as + "target": "5"}, nil, map[string]string{"min": "2", "max": "8", "target": "5"}},
				{"turned into an annotation of Knative's own", map[string]string{as + "min-scale": "2", as + "target": "5"}, map[string]any{"autoscaling.knative.dev/max-scale": "7"}, map[string]string{"min": "2", "max": "7", "target": "5"}},
				{"which stays when a parameter changes", map[string]string{as + "min-scale": "3", as + "target": "5"}, map[string]any{"autoscaling.knative.dev/max-scale": "7"}, map[string]string{"min": "3", "max": "7", "target": "5"}},
			} {
				u := autoscaled("app", step.parameters)
				if step.native != nil {
					require.NoError(t, unstructured.SetNestedMap(u.Object, step.native, "spec", "template", "metadata", "annotations"))
				}
				stderr, err := apply(t, ns, u)
				require.NoError(t, err, "%s: %s", step.name, stderr)
				assert.Equal(t, step.want, scale(t, ns), step.name)
			}
			contradicting := autoscaled("app", map[string]string{as + "max-scale": "5", as + "target": "5"})
			require.NoError(t, unstructured.SetNestedMap(contradicting.Object, map[string]any{"autoscaling.knative.dev/max-scale": "7"}, "spec", "template", "metadata", "annotations"))
			stderr, err := apply(t, ns, contradicting)
			assert.Error(t, err)
			assert.Contains(t, stderr, "differs from spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: 7; state it once")
			assert.Equal(t, map[string]string{"min": "3", "max": "7", "target": "5"}, scale(t, ns), "nothing of the refused one is left")
		})
	}
}

func TestUpdatesThatAreNobodysEditMakeNoRevision(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, "  defaults: {autoscale: {maxScale: 6}}\n")
	_, err := create(t, ns, autoscaled("app", map[string]string{"autoscale.kubetorch.com/target": "5"}))
	require.NoError(t, err)
	require.Equal(t, []string{"app-00001"}, revisionsOf(t, ns, "app"))
	before := get(t, services, ns, "app")

	_, err = client.Resource(policies).Patch(t.Context(), "policy-"+ns, types.MergePatchType,
		[]byte(`{"spec": {"bounds": {"maxScale": {"max": 2}}, "defaults": {"autoscale": {"maxScale": 2}}}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	harness.Eventually(t, "the update", func() bool {
		other, err := client.Resource(services).Namespace(ns).Create(t.Context(), autoscaled("other", nil), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil && templateAnnotations(t, other)["autoscaling.knative.dev/max-scale"] == "2"
	})

	for name, patch := range map[string]string{
		"a storage migration":            `{}`,
		"a label":                        `{"metadata":{"labels":{"team":"nlp"}}}`,
		"an annotation":                  `{"metadata":{"annotations":{"note":"hello"}}}`,
		"traffic, within what is stored": `{"spec":{"traffic":[{"latestRevision":true,"percent":100,"tag":"now"}]}}`,
	} {
		_, err := client.Resource(services).Namespace(ns).Patch(t.Context(), "app", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		require.NoError(t, err, name)
	}
	require.NoError(t, cluster.MakeReady(t.Context(), ns, "app")) // Knative's own controllers update it, and it becomes Ready
	assert.Equal(t, []string{"app-00001"}, revisionsOf(t, ns, "app"))
	after := get(t, services, ns, "app")
	assert.Equal(t, before.Object["spec"].(map[string]any)["template"], after.Object["spec"].(map[string]any)["template"])
	assert.Equal(t, before.GetAnnotations()["kubetorch.com/expansion"], after.GetAnnotations()["kubetorch.com/expansion"])

	t.Run("an edit keeps what the policy's default was, and may not raise it", func(t *testing.T) {
		image := `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"nginx:2"}]`
		_, err := client.Resource(services).Namespace(ns).Patch(t.Context(), "app", types.JSONPatchType, []byte(image), metav1.PatchOptions{})
		require.NoError(t, err)
		assert.Equal(t, "6", templateAnnotations(t, get(t, services, ns, "app"))["autoscaling.knative.dev/max-scale"])
		raise := `{"metadata":{"annotations":{"autoscale.kubetorch.com/max-scale":"7"}}}`
		_, err = client.Resource(services).Namespace(ns).Patch(t.Context(), "app", types.MergePatchType, []byte(raise), metav1.PatchOptions{})
		assert.ErrorContains(t, err, "asks for up to 7 pods; policy policy-"+ns+" allows at most 2 (bounds.maxScale.max)")
	})
}

func TestAChosenRevisionNameKeepsItsTemplate(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	u := autoscaled("app", map[string]string{"autoscale.kubetorch.com/target": "5"})
	require.NoError(t, unstructured.SetNestedField(u.Object, "app-one", "spec", "template", "metadata", "name"))
	_, err := create(t, ns, u)
	require.NoError(t, err)
	first := templateAnnotations(t, get(t, services, ns, "app"))

	patch := func(p string) error {
		_, err := client.Resource(services).Namespace(ns).Patch(t.Context(), "app", types.MergePatchType, []byte(p), metav1.PatchOptions{})
		return err
	}
	require.NoError(t, patch(`{"metadata":{"labels":{"team":"nlp"}}}`))
	require.NoError(t, patch(`{"metadata":{"annotations":{"autoscale.kubetorch.com/target":"9"}}}`))
	assert.Equal(t, first, templateAnnotations(t, get(t, services, ns, "app")))

	require.NoError(t, patch(`{"spec":{"template":{"metadata":{"name":"app-two"}}}}`))
	assert.Equal(t, "9", templateAnnotations(t, get(t, services, ns, "app"))["autoscaling.knative.dev/target"])
}

func TestTakingTheLabelAwayLeavesTheTemplate(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	_, err := create(t, ns, autoscaled("app", map[string]string{"autoscale.kubetorch.com/target": "5"}))
	require.NoError(t, err)
	require.Equal(t, []string{"app-00001"}, revisionsOf(t, ns, "app"))
	before := templateAnnotations(t, get(t, services, ns, "app"))
	_, stderr, err := kubectl(t, "", "label", "ksvc", "app", "-n", ns, "kubetorch.com/autoscale-")
	require.NoError(t, err, stderr)
	after := get(t, services, ns, "app")
	assert.Equal(t, before, templateAnnotations(t, after))
	assert.Contains(t, after.GetAnnotations()["kubetorch.com/expansion"], `"state":"inactive"`, "the values are nobody's any more")
	assert.NotContains(t, after.GetAnnotations()["kubetorch.com/expansion"], `"from":"built-in"}`)
	assert.Equal(t, []string{"app-00001"}, revisionsOf(t, ns, "app"))
}
