package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// The tests of this file take away what keeps bad policies out, so they run by themselves,
// before the parallel ones.

var (
	definitions     = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	validatingHooks = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
)

const policyCRD = "computepolicies.policy.kubetorch.com"

// patch is one operation of a JSON Patch.
func patch(t *testing.T, gvr schema.GroupVersionResource, name, op, path string, value any) {
	t.Helper()
	raw, err := json.Marshal([]map[string]any{{"op": op, "path": path, "value": value}})
	require.NoError(t, err)
	_, err = client.Resource(gvr).Patch(context.Background(), name, "application/json-patch+json", raw, metav1.PatchOptions{})
	require.NoError(t, err)
}

// unchecked lets any policy in until it is called back: as if the API had another schema,
// and the webhook had not been asked.
func unchecked(t *testing.T) (checked func()) {
	t.Helper()
	hooks := get(t, validatingHooks, "", "kubetorch-webhook")
	entries, _, err := unstructured.NestedSlice(hooks.Object, "webhooks")
	require.NoError(t, err)
	for i, e := range entries {
		if e.(map[string]any)["name"] == "policies.kubetorch.com" {
			// It stays, for another resource that there is not.
			path := fmt.Sprintf("/webhooks/%d/rules/0/resources", i)
			patch(t, validatingHooks, "kubetorch-webhook", "replace", path, []string{"none"})
			t.Cleanup(func() {
				patch(t, validatingHooks, "kubetorch-webhook", "replace", path, []string{"computepolicies", "gpubudgets"})
			})
		}
	}
	const at = "/spec/versions/0/schema/openAPIV3Schema/properties/spec"
	versions, _, err := unstructured.NestedSlice(get(t, definitions, "", policyCRD).Object, "spec", "versions")
	require.NoError(t, err)
	schema, _, err := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema", "properties", "spec")
	require.NoError(t, err)
	patch(t, definitions, policyCRD, "replace", at, map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true})
	done := false
	checked = func() {
		if !done {
			done = true
			patch(t, definitions, policyCRD, "replace", at, schema)
		}
	}
	t.Cleanup(checked)
	return checked
}

// smuggle writes a policy once nothing keeps it out any more.
func smuggle(t *testing.T, name, spec string) {
	t.Helper()
	u := object(t, "apiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {name: "+name+"}\nspec: "+spec+"\n")
	harness.Await(t, "policy "+name, func() (bool, string) {
		made, err := client.Resource(policies).Create(t.Context(), u, metav1.CreateOptions{})
		if err != nil {
			return false, err.Error()
		}
		// An API server that still prunes would have stored another policy.
		if same := text(t, &unstructured.Unstructured{Object: map[string]any{"spec": made.Object["spec"]}}) ==
			text(t, &unstructured.Unstructured{Object: map[string]any{"spec": u.Object["spec"]}}); same {
			return true, ""
		}
		return false, fmt.Sprintf("pruned, and deleted: %v", client.Resource(policies).Delete(t.Context(), name, metav1.DeleteOptions{}))
	})
	t.Cleanup(func() { _ = client.Resource(policies).Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

func TestAStoredPolicyThatCannotBeReadFailsClosedByItself(t *testing.T) {
	ns := newNamespace(t)
	newPolicy(t, ns, "  bounds: {minScale: {max: 3}}\n")
	tried := func(u *unstructured.Unstructured) string {
		_, err := client.Resource(services).Namespace(ns).Create(t.Context(), u, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return err.Error()
		}
		return ""
	}
	withGPU := func() string {
		return tried(withGPUs(annotated(service("gpus", nil, nil), map[string]any{"autoscaling.knative.dev/max-scale": "1"}), 1))
	}
	require.Empty(t, withGPU())
	process := hook.Replicas[0].Process().PID()

	for name, c := range map[string]struct{ spec, ready, mend string }{
		"of another type": {`{priority: high, bounds: {gpusPerPod: {max: 4}}}`,
			`spec.priority: Invalid value: "high": must be a whole number; until this is mended, whatever asks for more GPUs than before is refused`, `{"spec":{"priority":5}}`},
		"that breaks a rule": {`{bounds: {gpusPerPod: {max: -4}}, exempt: [{}]}`,
			"spec.bounds.gpusPerPod.max: Invalid value: -4: must be at least 0; spec.exempt[0]: Required value: an exemption names at least one namespace, user, group or service account; until this is mended, whatever asks for more GPUs than before is refused",
			`{"spec":{"bounds":{"gpusPerPod":{"max":4}},"exempt":null}}`},
	} {
		t.Run(name, func(t *testing.T) {
			checked := unchecked(t)
			bad := "bad-" + ns
			smuggle(t, bad, c.spec)
			checked()
			s := awaitStatus(t, bad, func(s v1alpha1.ComputePolicyStatus) bool { return reason(s, "Ready") == "False Invalid" })
			assert.Equal(t, c.ready, s.Conditions[0].Message)
			assert.Equal(t, "Unknown Invalid", reason(s, "Compliant"))
			closed := "asks for GPUs, and policy " + bad + " is invalid, so its bounds are not known"
			harness.Eventually(t, "a refusal by what is stored", func() bool { return strings.Contains(withGPU(), closed) })
			assert.Empty(t, tried(service("plain", nil, nil)), "what asks for no GPUs is let in")
			assert.Contains(t, tried(annotated(service("plain", nil, nil), map[string]any{"autoscaling.knative.dev/min-scale": "4"})),
				"policy policy-"+ns+" allows at most 3", "the others stay in force")
			assert.Equal(t, "1", counter(t, "kubetorch_webhook_policies_invalid"))
			assert.Equal(t, "1", counter(t, fmt.Sprintf(`kubetorch_webhook_policy_info{enforcement="Invalid",policy=%q}`, bad)))
			assert.Regexp(t, `"level":"error".*"invalid ComputePolicy: .*"policy":"`+bad+`"`, webhookLog(t))
			out, stderr, code := audit(t, "", "--kubeconfig="+cluster.Kubeconfig(), "-o", "json")
			assert.Equal(t, 1, code)
			assert.Contains(t, stderr, "the bounds of policy "+bad+" are not known")
			assert.Equal(t, timeless(s), audited(t, out, bad))

			_, stderr, err := kubectl(t, "", "patch", "computepolicy", bad, "--type=merge", "-p", c.mend)
			require.NoError(t, err, stderr)
			awaitStatus(t, bad, func(s v1alpha1.ComputePolicyStatus) bool { return reason(s, "Ready") == "True InForce" })
			harness.Eventually(t, "mended", func() bool { return withGPU() == "" })
			require.NoError(t, client.Resource(policies).Delete(t.Context(), bad, metav1.DeleteOptions{}))
		})
	}
	t.Run("with a bound of a later version", func(t *testing.T) {
		checked := unchecked(t)
		later := "later-" + ns
		smuggle(t, later, `{bounds: {gpusPerPod: {max: 4}, gpusPerRack: {max: 8}}}`)
		// Watches go on for a moment with the schema that they began with.
		touched := func(met func() bool) func() bool {
			return func() bool {
				_, stderr, err := kubectl(t, "", "annotate", "--overwrite", "computepolicy", later, "touched="+time.Now().Format("05.000"))
				return assert.NoError(t, err, stderr) && met()
			}
		}
		harness.Eventually(t, "a refusal by the later policy", touched(func() bool { return strings.Contains(withGPU(), "policy "+later+" is invalid") }))
		s := awaitStatus(t, later, func(s v1alpha1.ComputePolicyStatus) bool { return reason(s, "Ready") == "False Invalid" })
		assert.Contains(t, s.Conditions[0].Message, "spec.bounds.gpusPerRack: Forbidden: this version of the webhook does not know the field")
		checked() // the field is gone with its schema
		harness.Eventually(t, "an admission without it", touched(func() bool { return withGPU() == "" }))
		awaitStatus(t, later, func(s v1alpha1.ComputePolicyStatus) bool { return reason(s, "Ready") == "True InForce" })
	})
	assert.Equal(t, process, hook.Replicas[0].Process().PID(), "nothing was restarted")
}

func TestWithoutPoliciesToReadNothingIsDecided(t *testing.T) {
	ns := newNamespace(t)
	require.NoError(t, client.Resource(definitions).Delete(t.Context(), policyCRD, metav1.DeleteOptions{}))
	t.Cleanup(func() {
		_, stderr, err := cluster.Kubectl(context.Background(), nil, "apply", "--server-side", "-f", filepath.Join(root, "deploy", "crd", "policy.kubetorch.com_computepolicies.yaml"))
		require.NoError(t, err, stderr)
		harness.Eventually(t, "readiness", func() bool { return hook.Replicas[0].Ready(context.Background()) == nil })
		_, err = client.Resource(services).Namespace(ns).Create(context.Background(), service("app", nil, nil), metav1.CreateOptions{})
		assert.NoError(t, err, "it goes on by itself")
	})
	harness.Eventually(t, "the end of the type", func() bool {
		_, err := client.Resource(definitions).Get(t.Context(), policyCRD, metav1.GetOptions{})
		return err != nil
	})
	// A new process finds no policies to list, which is not the same as an empty list.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	require.Error(t, hook.Replicas[0].Restart(ctx))
	harness.Eventually(t, "a replica that waits for policies", func() bool {
		code, body := tryGet(t.Context(), "/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "waiting for ComputePolicies")
	})
	_, err := create(t, ns, service("app", nil, nil))
	assert.ErrorContains(t, err, "kubetorch-webhook cannot decide now, please retry: starting: waiting for ComputePolicies")
}
