// Package stored holds this source against what earlier versions stored: policies, ledgers of
// budgets, and the records on workloads. A folder of testdata is one version's, kept by
//
//	go test ./test/e2e/install -run Upgrading -update
//
// when it is released, and never changed afterwards.
package stored

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// versions are the folders of testdata.
func versions(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("testdata/v*")
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	return dirs
}

func read(t *testing.T, dir, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name+".yaml"))
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalStrict(text, into))
}

func object(t *testing.T, dir, name string) manifest.Object {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name+".yaml"))
	require.NoError(t, err)
	raw, err := yaml.YAMLToJSON(text)
	require.NoError(t, err)
	o, err := manifest.Decode(raw)
	require.NoError(t, err)
	return o
}

func TestALedgerHoldsWhatItHeld(t *testing.T) {
	for _, dir := range versions(t) {
		t.Run(dir, func(t *testing.T) {
			var budget v1alpha1.GPUBudget
			read(t, dir, "budget", &budget)
			book, err := ledger.Read(&budget.Status)
			require.NoError(t, err)
			again := budget.Status
			book.Write(&again, *budget.Spec.Max)
			assert.Equal(t, budget.Status, again, "read and written again")
			assert.EqualValues(t, 3, budget.Status.Used)
			assert.EqualValues(t, 2, budget.Status.Available)
		})
	}
}

func TestPoliciesSayWhatTheySaid(t *testing.T) {
	for _, dir := range versions(t) {
		t.Run(dir, func(t *testing.T) {
			p, errs := policy.Decode(object(t, dir, "policy"))
			require.Empty(t, errs)
			namespace := p.Spec.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"]
			require.NotEmpty(t, namespace)
			w := world(t, dir)
			require.Empty(t, w.Policies.Invalid())
			wide := object(t, dir, "service")
			manifest.Map(wide, "spec", "template", "metadata", "annotations")["autoscaling.knative.dev/max-scale"] = "9"
			answer := validate(t, w, admissionv1.Create, namespace, wide, nil)
			require.False(t, answer.Allowed)
			assert.Contains(t, answer.Result.Message, "policy "+p.Name+" allows at most 4 (bounds.maxScale.max)")
		})
	}
}

func TestAnExpandedServiceIsLeftAsItIs(t *testing.T) {
	for _, dir := range versions(t) {
		t.Run(dir, func(t *testing.T) {
			service := object(t, dir, "service")
			namespace := manifest.Text(service, "metadata", "namespace")
			require.NotEmpty(t, manifest.Text(service, "metadata", "annotations", "kubetorch.com/expansion"))
			for _, w := range []review.World{world(t, dir), {Policies: policy.Compile(nil), Knative: knative.Default(), NamespaceLabels: world(t, dir).NamespaceLabels}} {
				r, unusable := review.Read(request(t, admissionv1.Update, namespace, service, service))
				require.Nil(t, unusable)
				mutated, err := r.Mutate(t.Context(), w)
				require.NoError(t, err)
				assert.Equal(t, review.Allow("a"), mutated, "whatever policies have become")
				assert.True(t, validate(t, w, admissionv1.Update, namespace, service, service).Allowed)
			}
		})
	}
}

// world has the stored policy.
func world(t *testing.T, dir string) review.World {
	t.Helper()
	return review.World{
		Policies: policy.CompileStored([]manifest.Object{object(t, dir, "policy")}), Knative: knative.Default(),
		NamespaceLabels: func(name string) (map[string]string, bool) {
			return map[string]string{"kubernetes.io/metadata.name": name}, true
		},
	}
}

func validate(t *testing.T, w review.World, operation admissionv1.Operation, namespace string, o, old manifest.Object) *admissionv1.AdmissionResponse {
	t.Helper()
	r, unusable := review.Read(request(t, operation, namespace, o, old))
	require.Nil(t, unusable)
	answer, err := r.Validate(t.Context(), w)
	require.NoError(t, err)
	return answer
}

func request(t *testing.T, operation admissionv1.Operation, namespace string, o, old manifest.Object) *admissionv1.AdmissionRequest {
	t.Helper()
	raw, err := yaml.Marshal(o)
	require.NoError(t, err)
	raw, err = yaml.YAMLToJSON(raw)
	require.NoError(t, err)
	r := &admissionv1.AdmissionRequest{
		UID: "a", Operation: operation, Namespace: namespace, Name: manifest.Text(o, "metadata", "name"),
		Kind: metav1.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}, Object: runtime.RawExtension{Raw: raw},
	}
	if old != nil {
		r.OldObject.Raw = raw
	}
	return r
}
