package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// applyPolicy applies a policy and does not wait for anybody to see it.
func applyPolicy(t *testing.T, name, spec string) {
	t.Helper()
	u := object(t, "apiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {name: "+name+"}\nspec: "+spec+"\n")
	_, err := client.Resource(policies).Apply(t.Context(), name, u, metav1.ApplyOptions{FieldManager: "e2e"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Resource(policies).Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

func policyStatus(t *testing.T, name string) v1alpha1.ComputePolicyStatus {
	t.Helper()
	var p v1alpha1.ComputePolicy
	o := get(t, policies, "", name).Object
	delete(o, "spec") // may be unreadable
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o, &p))
	return p.Status
}

// awaitStatus waits until a policy's status is about its spec, and more.
func awaitStatus(t *testing.T, name string, more func(v1alpha1.ComputePolicyStatus) bool) v1alpha1.ComputePolicyStatus {
	t.Helper()
	var s v1alpha1.ComputePolicyStatus
	harness.Eventually(t, "the policy's status", func() bool {
		s = policyStatus(t, name)
		return s.ObservedGeneration == get(t, policies, "", name).GetGeneration() && more(s)
	})
	if t.Failed() {
		t.Fatalf("the status of policy %s stays %+v", name, s)
	}
	return s
}

func reason(s v1alpha1.ComputePolicyStatus, condition string) string {
	if c := meta.FindStatusCondition(s.Conditions, condition); c != nil {
		return string(c.Status) + " " + c.Reason
	}
	return ""
}

// in is a selector of one namespace.
func in(namespace string) string {
	return "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: " + namespace + "}}"
}

// annotated sets the annotations of a Service's template.
func annotated(u *unstructured.Unstructured, annotations map[string]any) *unstructured.Unstructured {
	_ = unstructured.SetNestedMap(u.Object, annotations, "spec", "template", "metadata", "annotations")
	return u
}

// withGPUs has each pod of a Service ask for GPUs.
func withGPUs(u *unstructured.Unstructured, n int64) *unstructured.Unstructured {
	containers, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
	containers[0].(map[string]any)["resources"] = map[string]any{"limits": map[string]any{"nvidia.com/gpu": n}}
	_ = unstructured.SetNestedSlice(u.Object, containers, "spec", "template", "spec", "containers")
	return u
}

// counter reads a metric's row of the webhook; empty where there is none.
func counter(t *testing.T, row string) string {
	t.Helper()
	_, text := post(t, "GET", "/metrics", "", nil)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), row+" "); ok {
			return value
		}
	}
	return ""
}

// webhookLog is what the webhook has logged.
func webhookLog(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(hook.Replicas[0].Process().LogFile())
	require.NoError(t, err)
	return string(text)
}

func TestAPolicysStatusFollowsThePolicyAndWhatExists(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	name := "status-" + ns
	_, err := create(t, ns, service("before", nil, nil)) // unbounded
	require.NoError(t, err)
	eventually(t, autoscalers, ns, "before-00001")
	process, generation := hook.Replicas[0].Process().PID(), get(t, services, ns, "before").GetGeneration()

	applyPolicy(t, name, "{"+in(ns)+", bounds: {maxScale: {max: 5}, minScale: {max: 9, enforcement: Clamp}}}")
	s := awaitStatus(t, name, func(s v1alpha1.ComputePolicyStatus) bool { return reason(s, "Compliant") == "False Violations" })
	assert.Equal(t, &v1alpha1.Violations{Total: 1,
		ByBound: []v1alpha1.BoundViolations{{Bound: "maxScale", Enforcement: "Deny", Count: 1}, {Bound: "minScale", Enforcement: "Clamp"}},
		List: []v1alpha1.ObjectViolation{{Namespace: ns, Kind: "Service", Name: "before", Bound: "maxScale",
			Message: "asks for unbounded pods (a max-scale of 0, or none, is unlimited in Knative); policy " + name + " allows at most 5 (bounds.maxScale.max); max-scale 5 fits"}},
	}, s.Violations, "once, not its Configuration, Revision and PodAutoscaler too")
	assert.Equal(t, "Deny, Clamp", s.Enforcement)
	assert.Equal(t, []string{"True InForce", "False NotAvoidable"}, []string{reason(s, "Ready"), reason(s, "Advisory")})
	assert.False(t, s.Audited.IsZero())

	t.Run("nothing was touched", func(t *testing.T) {
		u := get(t, services, ns, "before")
		assert.Equal(t, generation, u.GetGeneration())
		assert.Empty(t, templateAnnotations(t, u))
		assert.False(t, slices.ContainsFunc(u.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return strings.Contains(f.Manager, "kubetorch") }))
	})
	t.Run("people see it in a table", func(t *testing.T) {
		out, stderr, err := kubectl(t, "", "get", "computepolicies", name)
		require.NoError(t, err, stderr)
		assert.Regexp(t, `^NAME +READY +ENFORCEMENT +VIOLATIONS +AGE\n`+name+` +True +Deny, Clamp +1 +\S+\n$`, out)
	})
	t.Run("the mode is in the log and in metrics", func(t *testing.T) {
		assert.Contains(t, webhookLog(t), fmt.Sprintf("%q:%q", name, "Deny, Clamp"))
		for _, mode := range []string{"Deny", "Clamp"} {
			assert.Equal(t, "1", counter(t, fmt.Sprintf(`kubetorch_webhook_policy_info{enforcement=%q,policy=%q}`, mode, name)))
		}
		assert.Equal(t, "1", counter(t, fmt.Sprintf(`kubetorch_webhook_policy_violations{bound="maxScale",enforcement="Deny",policy=%q}`, name)))
		assert.NotEqual(t, "0", counter(t, "kubetorch_webhook_audit_last_success_timestamp_seconds"))
	})
	t.Run("another policy", func(t *testing.T) {
		applyPolicy(t, name, "{"+in(ns)+", workloadSelector: {matchLabels: {tier: prod}}, bounds: {maxScale: {max: 5, enforcement: Warn}}}")
		s := awaitStatus(t, name, func(s v1alpha1.ComputePolicyStatus) bool { return reason(s, "Compliant") == "True NoViolations" })
		assert.Equal(t, "Warn", s.Enforcement)
		assert.Equal(t, "True WorkloadSelector", reason(s, "Advisory"))
		assert.Equal(t, &v1alpha1.Violations{ByBound: []v1alpha1.BoundViolations{{Bound: "maxScale", Enforcement: "Warn"}}}, s.Violations)
		assert.Equal(t, "", counter(t, fmt.Sprintf(`kubetorch_webhook_policy_info{enforcement="Deny",policy=%q}`, name)))
	})
	assert.Equal(t, process, hook.Replicas[0].Process().PID(), "and nothing was restarted")
}

func TestAuditModeAdmitsAndCounts(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	name := "policy-" + ns
	newPolicy(t, ns, "  enforcement: Audit\n  bounds: {maxScale: {max: 5}, minScale: {max: 0, enforcement: Warn}, gpusPerPod: {max: 1, enforcement: Clamp}, gpusPerWorkload: {max: 1, enforcement: Deny}}\n")
	row := func(bound, enforcement, outcome string) string {
		return counter(t, fmt.Sprintf(`kubetorch_webhook_policy_decisions_total{bound=%q,enforcement=%q,outcome=%q,policy=%q}`, bound, enforcement, outcome, name))
	}
	app := annotated(service("app", nil, nil), map[string]any{"autoscaling.knative.dev/max-scale": "9", "autoscaling.knative.dev/min-scale": "2"})
	_, err := client.Resource(services).Namespace(ns).Create(t.Context(), app, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	require.NoError(t, err)
	assert.Equal(t, "", row("maxScale", "Audit", "audited"), "a dry run leaves no trace")

	_, stderr, err := kubectl(t, "apiVersion: v1\nkind: List\nitems:\n- "+text(t, app)+"\n", "apply", "-n", ns, "-f", "-")
	require.NoError(t, err, stderr)
	assert.Contains(t, stderr, "Warning: spec.template.metadata.annotations[autoscaling.knative.dev/min-scale] asks for a min-scale of 2")
	assert.Equal(t, []string{"1", "1"}, []string{row("maxScale", "Audit", "audited"), row("minScale", "Warn", "warned")})

	_, err = create(t, ns, withGPUs(annotated(service("gpus", nil, nil), map[string]any{"autoscaling.knative.dev/max-scale": "3"}), 2))
	assert.ErrorContains(t, err, "gpusPerWorkload")
	assert.Equal(t, []string{"1", "1", ""}, []string{row("gpusPerPod", "Clamp", "clamped"), row("gpusPerWorkload", "Deny", "denied"), row("maxScale", "Audit", "denied")})
}

func TestTwoPoliciesOnOneWorkloadHaveAnOrder(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, "  priority: 5\n  defaults: {autoscale: {maxScale: 7}}\n  bounds: {minScale: {max: 3}}\n")
	for other, spec := range map[string]string{
		"z-higher-" + ns: "{" + in(ns) + ", priority: 6, defaults: {autoscale: {maxScale: 8}}, profiles: {autoscale: [{name: both, maxScale: 8, window: 70s}]}, bounds: {minScale: {max: 2}}}",
		"a-same-" + ns:   "{" + in(ns) + ", priority: 5, defaults: {autoscale: {maxScale: 9, window: 80s}}, profiles: {autoscale: [{name: both, maxScale: 9}]}, bounds: {minScale: {max: 4}}}",
	} {
		applyPolicy(t, other, spec)
		awaitStatus(t, other, func(s v1alpha1.ComputePolicyStatus) bool { return reason(s, "Ready") == "True InForce" })
	}
	for range 5 { // always the same
		u, err := client.Resource(services).Namespace(ns).Create(t.Context(), autoscaled("app", nil), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		require.NoError(t, err)
		assert.Equal(t, "8", templateAnnotations(t, u)["autoscaling.knative.dev/max-scale"], "the higher priority's default")
		assert.Equal(t, "80s", templateAnnotations(t, u)["autoscaling.knative.dev/window"], "of equal ones, the first by name")
		u, err = client.Resource(services).Namespace(ns).Create(t.Context(), service("app", map[string]string{"kubetorch.com/autoscale": "both"}, nil), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		require.NoError(t, err)
		assert.Equal(t, "70s", templateAnnotations(t, u)["autoscaling.knative.dev/window"], "of two profiles of one name, the higher policy's")
	}
	_, err := create(t, ns, autoscaled("app", map[string]string{"autoscale.kubetorch.com/min-scale": "5"}))
	for _, want := range []string{"policy z-higher-" + ns + " allows at most 2", "policy policy-" + ns + " allows at most 3", "policy a-same-" + ns + " allows at most 4"} {
		assert.ErrorContains(t, err, want, "bounds of all of them hold")
	}
}
