package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
)

func TestANewWorkloadIsExpandedOncePerEndpoint(t *testing.T) {
	expanded := 0
	expandService = func(in expand.Input) expand.Result { expanded++; return expand.Service(in) }
	t.Cleanup(func() { expandService = expand.Service })
	const labels = `labels: {kubetorch.com/autoscale: "true"}, annotations: {compute.kubetorch.com/gpus: "2", autoscale.kubetorch.com/max-scale: "4"}`
	var bounded v1alpha1.ComputePolicy
	require.NoError(t, yaml.UnmarshalStrict([]byte(`{metadata: {name: p}, spec: {bounds: {maxScale: {max: 3, enforcement: Clamp}, gpusPerWorkload: {max: 64}}, exempt: [{users: [ada]}]}}`), &bounded))
	for name, test := range map[string]struct {
		kind   metav1.GroupVersionKind
		object string
		user   string
		gpus   int64 // claimed
	}{
		"a Deployment": {kind: metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, gpus: 6,
			object: `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: ml, ` + labels + `}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "a/b:v1", ports: [{containerPort: 8080}]}]}}}}`},
		"a Deployment of somebody who is exempt": {kind: metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, user: "ada", gpus: 8,
			object: `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: ml, ` + labels + `}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "a/b:v1", ports: [{containerPort: 8080}]}]}}}}`},
		"a Knative Service": {kind: metav1.GroupVersionKind{Group: ServiceKind.Group, Version: "v1", Kind: ServiceKind.Kind},
			object: `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: web, namespace: ml, ` + labels + `}, spec: {template: {spec: {containers: [{image: "a/b:v1"}]}}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := yaml.YAMLToJSON([]byte(test.object))
			require.NoError(t, err)
			request := &admissionv1.AdmissionRequest{UID: "u", Kind: test.kind, Operation: admissionv1.Create, Namespace: "ml", Name: "web", Object: runtime.RawExtension{Raw: raw}}
			request.UserInfo.Username = test.user
			w := World{Policies: policy.Compile([]v1alpha1.ComputePolicy{bounded}), Knative: knative.Default(), Cluster: &Cluster{Knative: true}, Budgets: policy.CompileBudgets([]v1alpha1.GPUBudget{{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: v1alpha1.GPUBudgetSpec{Max: new(int64(10))}}})}

			r, refused := Read(request)
			require.Nil(t, refused)
			expanded = 0
			answer, err := r.Mutate(t.Context(), w)
			require.NoError(t, err)
			require.True(t, answer.Allowed, "%v", answer.Result)
			assert.Equal(t, 1, expanded, "the mutating step")

			r, refused = Read(request)
			require.Nil(t, refused)
			expanded = 0
			answer, err = r.Validate(t.Context(), w)
			require.NoError(t, err)
			claims, err := r.Claims(t.Context(), w)
			require.NoError(t, err)
			assert.Equal(t, 1, expanded, "the validating step, and what it charges")
			if test.gpus > 0 {
				require.True(t, answer.Allowed, "%v", answer.Result)
				assert.Equal(t, test.gpus, total(claims[len(claims)-1].New))
			}
		})
	}
}
