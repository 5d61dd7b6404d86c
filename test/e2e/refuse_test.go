package e2e

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

func kustomizeBuild(t *testing.T, dir string) (stdout, stderr string, err error) {
	t.Helper()
	tools, err := controlplane.EnsureTools(t.Context(), nil, controlplane.Kustomize)
	require.NoError(t, err)
	var out, errOut bytes.Buffer
	c := exec.CommandContext(t.Context(), tools[controlplane.Kustomize], "build", dir)
	c.Stdout, c.Stderr = &out, &errOut
	err = c.Run()
	return out.String(), errOut.String(), err
}

// status is the machine-readable part of a refusal.
func status(t *testing.T, err error) metav1.Status {
	t.Helper()
	var s apierrors.APIStatus
	require.True(t, errors.As(err, &s), "%v", err)
	return s.Status()
}

func causes(s metav1.Status) map[string]string {
	m := map[string]string{}
	for _, c := range s.Details.Causes {
		m[c.Field] = c.Message
	}
	return m
}

func TestMistakesComeBackAllAtOnceWithTheirFields(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	_, err := create(t, ns, autoscaled("wrong", map[string]string{
		"autoscale.kubetorch.com/window":    "5s",
		"autoscale.kubetorch.com/target":    "NaN",
		"autoscale.kubetorch.com/max_scale": "10",
		"compute.kubetorch.com/gpus":        "0.5",
		"autoscale.kubetorch.com/min-scale": "",
	}))
	s := status(t, err)
	assert.EqualValues(t, http.StatusUnprocessableEntity, s.Code)
	assert.Equal(t, metav1.StatusReasonInvalid, s.Reason)
	assert.Equal(t, "wrong", s.Details.Name)
	assert.Equal(t, map[string]string{
		"metadata.annotations[autoscale.kubetorch.com/window]":    `Invalid value: "5s": expected 6s <= 5s <= 1h0m0s`,
		"metadata.annotations[autoscale.kubetorch.com/target]":    `Invalid value: "NaN": invalid value: NaN; allowed: a decimal number of at least 0.01`,
		"metadata.annotations[autoscale.kubetorch.com/max_scale]": `Invalid value: "10": unknown key; the nearest known one is autoscale.kubetorch.com/max-scale`,
		"metadata.annotations[compute.kubetorch.com/gpus]":        `Invalid value: "0.5": invalid value: 0.5; allowed: a whole number from 0 to 2147483647`,
		"metadata.annotations[autoscale.kubetorch.com/min-scale]": `Invalid value: "": may not be empty; allowed: a whole number from 0 to 2147483647`,
	}, causes(s))
	_, err = client.Resource(services).Namespace(ns).Get(t.Context(), "wrong", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err))
}

func TestKubectlShowsEveryCause(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	_, stderr, err := kubectl(t, text(t, autoscaled("wrong", map[string]string{
		"autoscale.kubetorch.com/min-scale": "5", "autoscale.kubetorch.com/max-scale": "2", "autoscale.kubetorch.com/metric": "cpu",
	})), "apply", "-n", ns, "-f", "-")
	assert.Error(t, err)
	assert.Contains(t, stderr, `metadata.annotations[autoscale.kubetorch.com/min-scale]: Invalid value: "5": max-scale=2 is less than min-scale=5`)
	assert.Contains(t, stderr, `metadata.annotations[autoscale.kubetorch.com/metric]: Invalid value: "cpu": metric cpu needs autoscaler-class hpa; kpa takes concurrency or rps`)
}

func TestPoliciesBoundEveryKnativeService(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, `
  defaults: {autoscale: {maxScale: 5}}
  bounds:
    maxScale: {max: 20, enforcement: Clamp}
    gpusPerPod: {max: 4}
    gpusPerWorkload: {max: 32}
`)
	gpus := func(u *unstructured.Unstructured, limits map[string]any) *unstructured.Unstructured {
		container := map[string]any{"image": "nginx:1", "resources": map[string]any{"limits": limits}}
		_ = unstructured.SetNestedSlice(u.Object, []any{container}, "spec", "template", "spec", "containers")
		return u
	}
	template := func(u *unstructured.Unstructured, annotations map[string]any) *unstructured.Unstructured {
		_ = unstructured.SetNestedMap(u.Object, annotations, "spec", "template", "metadata", "annotations")
		return u
	}
	t.Run("a default of the policy lands on the template", func(t *testing.T) {
		u, err := create(t, ns, autoscaled("defaulted", nil))
		require.NoError(t, err)
		assert.Equal(t, "5", templateAnnotations(t, u)["autoscaling.knative.dev/max-scale"])
	})
	t.Run("a labelled Service is clamped", func(t *testing.T) {
		u, err := create(t, ns, autoscaled("clamped", map[string]string{"autoscale.kubetorch.com/max-scale": "100", "autoscale.kubetorch.com/initial-scale": "30"}))
		require.NoError(t, err)
		assert.Equal(t, "20", templateAnnotations(t, u)["autoscaling.knative.dev/max-scale"])
		assert.Equal(t, "20", templateAnnotations(t, u)["autoscaling.knative.dev/initial-scale"])
	})
	t.Run("an unlabelled Service without a max-scale is unbounded, and clamped", func(t *testing.T) {
		u, err := create(t, ns, service("unlabelled", nil, nil))
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"autoscaling.knative.dev/max-scale": "20"}, templateAnnotations(t, u))
	})
	t.Run("GPUs per pod in limits, by quantity", func(t *testing.T) {
		for _, quantity := range []string{"5", "1k", "5e0", "1e100"} {
			_, err := create(t, ns, gpus(service("gpus", nil, nil), map[string]any{"nvidia.com/gpu": quantity}))
			s := status(t, err)
			assert.Contains(t, s.Message, "policy policy-"+ns+" allows at most 4 (bounds.gpusPerPod.max)", quantity)
		}
	})
	t.Run("GPUs per workload count with the larger of initial and max scale", func(t *testing.T) {
		_, err := create(t, ns, template(gpus(service("initial", nil, nil), map[string]any{"nvidia.com/gpu": "4"}),
			map[string]any{"autoscaling.knative.dev/max-scale": "1", "autoscaling.knative.dev/initial-scale": "9"}))
		s := status(t, err)
		assert.EqualValues(t, http.StatusForbidden, s.Code)
		assert.Equal(t, metav1.StatusReasonForbidden, s.Reason)
		assert.Contains(t, s.Message, "asks for 36 GPUs (4 x 9 pods); policy policy-"+ns+" allows at most 32 (bounds.gpusPerWorkload.max)")
	})
	t.Run("the camelCase spelling opens nothing", func(t *testing.T) {
		u, err := create(t, ns, template(service("camel", nil, nil), map[string]any{"autoscaling.knative.dev/maxScale": "500"}))
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"autoscaling.knative.dev/maxScale": "20"}, templateAnnotations(t, u))
	})
	t.Run("taking the label away opens nothing", func(t *testing.T) {
		_, err := create(t, ns, gpus(autoscaled("unlabel", map[string]string{"autoscale.kubetorch.com/max-scale": "8"}), map[string]any{"nvidia.com/gpu": "4"}))
		require.NoError(t, err)
		_, err = harness.Change(t.Context(), client.Resource(services).Namespace(ns), "unlabel", func(u *unstructured.Unstructured) error {
			u.SetLabels(nil)
			template(u, map[string]any{"autoscaling.knative.dev/max-scale": "9"})
			return nil
		})
		assert.Contains(t, status(t, err).Message, "asks for 36 GPUs (4 x 9 pods)")
	})
}

func TestAPolicyChangeTakesEffectWithoutARestartAndMakesNoRevision(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, "  defaults: {autoscale: {maxScale: 7}}\n")
	_, err := create(t, ns, autoscaled("app", nil))
	require.NoError(t, err)
	first := revisionsOf(t, ns, "app")

	_, err = harness.Change(t.Context(), client.Resource(policies), "policy-"+ns, func(u *unstructured.Unstructured) error {
		return unstructured.SetNestedField(u.Object, int64(3), "spec", "defaults", "autoscale", "maxScale")
	})
	require.NoError(t, err)
	harness.Eventually(t, "the refusal", func() bool {
		other, err := client.Resource(services).Namespace(ns).Create(t.Context(), autoscaled("other", nil), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil && templateAnnotations(t, other)["autoscaling.knative.dev/max-scale"] == "3"
	})

	_, stderr, err := kubectl(t, "", "label", "ksvc", "app", "-n", ns, "team=nlp")
	require.NoError(t, err, stderr)
	assert.Equal(t, first, revisionsOf(t, ns, "app"))
	assert.Equal(t, "7", templateAnnotations(t, get(t, services, ns, "app"))["autoscaling.knative.dev/max-scale"])
}

func TestMistakesInAPolicyAreRefusedWhenItIsWritten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ spec, want string }{
		"a profile called true":                 {`{profiles: {autoscale: [{name: "true"}]}}`, "a profile may not be called true or false"},
		"two profiles of one name":              {`{profiles: {compute: [{name: a}, {name: a}]}}`, "Duplicate value"},
		"min above max":                         {`{defaults: {autoscale: {minScale: 5, maxScale: 2}}}`, "minScale may not be above maxScale"},
		"a list that is to be clamped":          {`{bounds: {gpuTypes: {allowed: [NVIDIA-L4], enforcement: Clamp}}}`, "a list of names cannot be clamped"},
		"an enforcement that there is not":      {`{enforcement: Refuse}`, "Unsupported value"},
		"an empty exemption":                    {`{exempt: [{}]}`, "an exemption names at least one namespace, user, group or service account"},
		"a bound without a value":               {`{bounds: {gpusPerPod: {}}}`, "give max, allowed or both"},
		"a duration without a unit":             {`{bounds: {progressDeadline: {max: "60"}}}`, "must be a duration such as 90s or 10m"},
		"a quantity that is none":               {`{bounds: {memoryPerPod: {max: "512GB"}}}`, "must be a quantity above 0"},
		"a value that only the parameter knows": {`{defaults: {autoscale: {window: 2h}}}`, "expected 6s <= 2h <= 1h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := object(t, "apiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {generateName: wrong-}\nspec: "+c.spec+"\n")
			_, err := client.Resource(policies).Create(context.Background(), u, metav1.CreateOptions{})
			assert.ErrorContains(t, err, c.want)
		})
	}
}
