package app

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// TestAnAcceleratorIsToldOfWhereOnlyABudgetCounts: it counts as no GPU, which whoever set the budget wants to know.
func TestAnAcceleratorIsToldOfWhereOnlyABudgetCounts(t *testing.T) {
	const warning = "google.com/tpu is an accelerator that no policy's gpuResources lists, so it counts as no GPU"
	here := v1alpha1.GPUBudgetSpec{Max: new(int64(10))}
	elsewhere := v1alpha1.GPUBudgetSpec{Max: new(int64(10)), NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "other"}}}
	const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"team"},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"google.com/tpu":"4"}}}]}}`
	for name, test := range map[string]struct {
		budget   v1alpha1.GPUBudgetSpec
		kind     metav1.GroupVersionKind
		object   string
		warnings int
	}{
		"a Pod":             {here, metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, pod, 1},
		"a Pod with GPUs":   {here, metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, strings.Replace(pod, "google.com/tpu", "nvidia.com/gpu", 1), 0},
		"a Pod elsewhere":   {elsewhere, metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, pod, 0},
		"a Knative Service": {here, metav1.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}, strings.Replace(string(gpuService(t, "s", "i", "1")), "nvidia.com/gpu", "google.com/tpu", 1), 1},
		"a Deployment": {here, metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"},
			`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","namespace":"team"},"spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"google.com/tpu":"4"}}}]}}}}`, 1},
		"a JobSet": {here, metav1.GroupVersionKind{Group: "jobset.x-k8s.io", Version: "v1alpha2", Kind: "JobSet"},
			`{"apiVersion":"jobset.x-k8s.io/v1alpha2","kind":"JobSet","metadata":{"name":"j","namespace":"team"},"spec":{"replicatedJobs":[{"name":"a","template":{"spec":{"template":{"spec":{"containers":[{"name":"c","resources":{"limits":{"google.com/tpu":"4"}}}]}}}}}]}}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := standaloneWith(test.budget)
			request := ask(admissionv1.Create, "x", []byte(test.object), nil)
			request.Kind = test.kind
			got := e.validate(t.Context(), request)
			assert.True(t, got.Allowed, "%v", got.Result)
			var told []string
			for _, w := range got.Warnings {
				if strings.Contains(w, warning) {
					told = append(told, w)
				}
			}
			assert.Len(t, told, test.warnings, "%v", got.Warnings)
		})
	}
}
