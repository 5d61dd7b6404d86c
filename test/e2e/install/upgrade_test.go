package install

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// Item 57 of the checklist: replicas of two versions run side by side, on what the earlier one
// stored, and decide alike; and nothing fails while one takes over from the other. Both
// versions here are builds of this source; test/stored holds it against what earlier sources stored.
func TestUpgradingReplicaByReplica(t *testing.T) {
	installed(t)
	t.Cleanup(func() { require.NoError(t, link("v0.1.0")) })
	for i, r := range hook.Replicas {
		if version(t, i) != "v0.1.0" {
			require.NoError(t, r.Restart(t.Context()))
		}
	}
	ns := newNamespace(t)
	store(t, budgets, "", fmt.Sprintf(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: %s}, spec: {max: 5, namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}}}`, ns, ns))
	remove(t, budgets, ns)
	store(t, policies, "", fmt.Sprintf(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: ComputePolicy, metadata: {name: %s}, spec: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}, defaults: {autoscale: {maxScale: 2}}, bounds: {maxScale: {max: 4}}}}`, ns, ns))
	remove(t, policies, ns)
	awaitUsed(t, ns, 0)
	stored := store(t, services, ns, service("inference", `labels: {kubetorch.com/autoscale: "true"}`, 1, 3))
	awaitUsed(t, ns, 3)
	ledger := budget(t, ns).Status
	if *update {
		keepStored(t, map[string]*unstructured.Unstructured{
			"policy": get(t, policies, "", ns), "budget": get(t, budgets, "", ns), "service": get(t, services, ns, "inference"),
		})
	}

	asked := map[string]admissionv1.AdmissionRequest{
		"what is stored, once more": ksvc(t, ns, admissionv1.Update, stored.Object, stored.Object),
		"a new one by defaults":     ksvc(t, ns, admissionv1.Create, parse(strings.Replace(service("new", `labels: {kubetorch.com/autoscale: "true"}`, 0, 1), `annotations: {autoscaling.knative.dev/max-scale: "1"}`, "annotations: {}", 1)).Object, nil),
		"above the bound":           ksvc(t, ns, admissionv1.Create, parse(service("wide", "", 0, 9)).Object, nil),
		"above the budget":          ksvc(t, ns, admissionv1.Create, parse(service("greedy", "", 1, 3)).Object, nil),
		"within the budget":         ksvc(t, ns, admissionv1.Create, parse(service("small", "", 1, 2)).Object, nil),
	}
	decide := func(replica int) map[string]*admissionv1.AdmissionResponse {
		answers := map[string]*admissionv1.AdmissionResponse{}
		for what, request := range asked {
			for _, path := range []string{"/mutate", "/validate"} {
				answers[path+" "+what] = review(t, hook.Replicas[replica].Address, path, request)
			}
		}
		return answers
	}
	before := decide(0)
	allowed := map[string]bool{}
	for what, answer := range before {
		allowed[what] = answer.Allowed
	}
	assert.Equal(t, map[string]bool{
		"/mutate what is stored, once more": true, "/validate what is stored, once more": true,
		"/mutate a new one by defaults": true, "/validate a new one by defaults": false, // as it was before mutating: unbounded

		"/mutate above the bound": true, "/validate above the bound": false,
		"/mutate above the budget": true, "/validate above the budget": false,
		"/mutate within the budget": true, "/validate within the budget": true,
	}, allowed)
	assert.Empty(t, before["/mutate what is stored, once more"].Patch)

	require.NoError(t, link("v0.2.0"))
	l := startLoad(t, newNamespace(t))
	require.NoError(t, hook.Replicas[1].Restart(t.Context()))
	assert.Equal(t, []string{"v0.1.0", "v0.2.0"}, []string{version(t, 0), version(t, 1)})
	assert.Equal(t, before, decide(0), "the earlier version, beside the later one")
	assert.Equal(t, before, decide(1), "the later version, beside the earlier one")
	assert.Equal(t, ledger.Namespaces, budget(t, ns).Status.Namespaces)
	require.NoError(t, hook.Replicas[0].Restart(t.Context()))
	assert.Equal(t, before, decide(0), "the later version alone")
	l.endWithoutFailure(t)

	assert.True(t, counted(budget(t, ns)), "nothing is counted anew")
	assert.Equal(t, ledger.Namespaces, budget(t, ns).Status.Namespaces)
	assert.Equal(t, stored.GetGeneration(), get(t, services, ns, "inference").GetGeneration(), "no new revision")
}

// ksvc is a dry run of a request about a Knative Service.
func ksvc(t *testing.T, ns string, operation admissionv1.Operation, object, old map[string]any) admissionv1.AdmissionRequest {
	t.Helper()
	raw, err := json.Marshal(object)
	require.NoError(t, err)
	r := admissionv1.AdmissionRequest{
		UID: types.UID("a"), Operation: operation, Namespace: ns, DryRun: new(true), Object: runtime.RawExtension{Raw: raw},
		Name:     parse(string(raw)).GetName(),
		Kind:     metav1.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"},
		Resource: metav1.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"},
	}
	if old != nil {
		r.OldObject = r.Object
	}
	return r
}

// version is what a replica says that it runs.
func version(t *testing.T, replica int) string {
	t.Helper()
	code, metrics := ask(hook.Replicas[replica].Address, http.MethodGet, "/metrics", "")
	require.Equal(t, http.StatusOK, code)
	_, after, found := strings.Cut(metrics, `version="v`)
	require.True(t, found)
	v, _, _ := strings.Cut(after, `"`)
	return "v" + v
}

// keepStored writes what this version stored for test/stored, as a release does once.
func keepStored(t *testing.T, objects map[string]*unstructured.Unstructured) {
	t.Helper()
	dir := filepath.Join(root, "test", "stored", "testdata", version(t, 0))
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for file, o := range objects {
		text, err := yaml.Marshal(o.Object)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, file+".yaml"), text, 0o644))
	}
}
