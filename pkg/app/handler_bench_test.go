package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/admission"
	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
)

// BenchmarkHandler measures reviews from the bytes of the request to those of the answer.
func BenchmarkHandler(b *testing.B) {
	for _, policies := range []int{1, 10, 100} {
		e := benchEdge(b, policies)
		handlers := map[string]http.Handler{
			MutatePath:   admission.Handler(e.mutate, admission.Options{Path: MutatePath, Metrics: admission.NewMetrics(MutatePath)}),
			ValidatePath: admission.Handler(e.validate, admission.Options{Path: ValidatePath, Metrics: admission.NewMetrics(ValidatePath)}),
		}
		for _, c := range benchReviews(b, e) {
			b.Run(fmt.Sprintf("%s/policies=%d", c.name, policies), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(c.body)))
				for b.Loop() {
					r := httptest.NewRequest(http.MethodPost, c.path+"?timeout=10s", bytes.NewReader(c.body))
					r.Header.Set("Content-Type", "application/json")
					handlers[c.path].ServeHTTP(throwAway{}, r)
				}
			})
		}
	}
}

type throwAway struct{}

func (throwAway) Header() http.Header         { return http.Header{} }
func (throwAway) Write(p []byte) (int, error) { return len(p), nil }
func (throwAway) WriteHeader(int)             {}

func benchEdge(b *testing.B, policies int) *requestHandler {
	text, err := os.ReadFile("../../examples/policy.yaml")
	require.NoError(b, err)
	var p v1alpha1.ComputePolicy
	require.NoError(b, yaml.Unmarshal(text, &p))
	all := []v1alpha1.ComputePolicy{p}
	for i := 1; i < policies; i++ {
		other := *p.DeepCopy()
		other.Name = fmt.Sprintf("team-%d", i)
		other.Spec.NamespaceSelector = nil
		require.NoError(b, yaml.Unmarshal(fmt.Appendf(nil, "matchLabels: {kubernetes.io/metadata.name: team-%d}", i), &other.Spec.NamespaceSelector))
		all = append(all, other)
	}
	e := &requestHandler{namespaceLabels: nameOnly, revisions: noRevisions}
	e.current.Store(&snapshot{policies: policy.Compile(all), budgets: policy.CompileBudgets(nil), knative: knative.Default()})
	return e
}

type benchReview struct {
	name, path string
	body       []byte
}

func benchReviews(b *testing.B, e *requestHandler) []benchReview {
	text, err := os.ReadFile("../../examples/inference.yaml")
	require.NoError(b, err)
	object, err := yaml.YAMLToJSON(text)
	require.NoError(b, err)
	created := func(o []byte) []byte {
		var v map[string]any
		require.NoError(b, json.Unmarshal(o, &v))
		m := v["metadata"].(map[string]any)
		m["namespace"], m["uid"], m["generation"], m["creationTimestamp"] = "default", "0b1c9a3e-63fd-4b57-8a35-5b46a2ac3f0d", 1, "2026-01-02T03:04:05Z"
		m["managedFields"] = []any{map[string]any{"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "serving.knative.dev/v1", "time": "2026-01-02T03:04:05Z", "fieldsType": "FieldsV1",
			"fieldsV1": fieldsOf(v)}}
		m["annotations"].(map[string]any)["kubectl.kubernetes.io/last-applied-configuration"] = string(o) + "\n"
		out, _ := json.Marshal(v)
		return out
	}
	review := func(op, kind, group, resource string, object, old []byte) []byte {
		if old == nil {
			old = []byte("null")
		}
		return fmt.Appendf(nil, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"2d5d4b8e-9a7d-45a3-9b1f-8a6d2c8b7e11","kind":{"group":%q,"version":"v1","kind":%q},"resource":{"group":%q,"version":"v1","resource":%q},"requestKind":{"group":%q,"version":"v1","kind":%q},"requestResource":{"group":%q,"version":"v1","resource":%q},"name":"inference","namespace":"default","operation":%q,"userInfo":{"username":"alice@example.com","uid":"7c1b","groups":["ml-engineers","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=1f"]}},"object":%s,"oldObject":%s,"dryRun":false,"options":{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1","fieldManager":"kubectl-client-side-apply","fieldValidation":"Strict"}}}`,
			group, kind, group, resource, group, kind, group, resource, op, object, old)
	}
	raw := created(object)
	answer := e.mutate(context.Background(), &admissionv1.AdmissionRequest{UID: "u", Kind: metav1.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}, Operation: "CREATE", Namespace: "default", Name: "inference", Object: runtime.RawExtension{Raw: raw}})
	require.True(b, answer.Allowed)
	patch, err := jsonpatch.DecodePatch(answer.Patch)
	require.NoError(b, err)
	expanded, err := patch.Apply(raw)
	require.NoError(b, err)
	greedy := bytes.Replace(raw, []byte(`"compute.kubetorch.com/gpus":"1"`), []byte(`"compute.kubetorch.com/gpus":"16"`), 1)
	plain := bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("kubetorch.com/"), []byte("example.com/")), []byte("autoscale."), []byte("x."))
	ksvc := func(op string, o, old []byte) []byte {
		return review(op, "Service", "serving.knative.dev", "services", o, old)
	}
	relabelled := bytes.Replace(expanded, []byte(`"labels":{`), []byte(`"labels":{"team":"nlp",`), 1)
	return []benchReview{
		{"other-kind", MutatePath, review("CREATE", "ConfigMap", "", "configmaps", plain, nil)},
		{"unlabelled", MutatePath, ksvc("CREATE", plain, nil)},
		{"unchanged", MutatePath, ksvc("UPDATE", relabelled, expanded)},
		{"expansion", MutatePath, ksvc("CREATE", raw, nil)},
		{"refusal", MutatePath, ksvc("CREATE", greedy, nil)},
		{"unlabelled-validate", ValidatePath, ksvc("CREATE", plain, nil)},
		{"unchanged-validate", ValidatePath, ksvc("UPDATE", relabelled, expanded)},
		{"expanded-validate", ValidatePath, ksvc("CREATE", expanded, nil)},
	}
}

func fieldsOf(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{".": map[string]any{}}
		for k, x := range v {
			out["f:"+k] = fieldsOf(x)
		}
		return out
	case []any:
		out := map[string]any{}
		for i, x := range v {
			out[fmt.Sprintf(`k:{"name":"c%d"}`, i)] = fieldsOf(x)
		}
		return out
	}
	return map[string]any{}
}
