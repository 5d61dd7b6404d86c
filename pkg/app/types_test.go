package app

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestATypeThatNoNodeHasIsAWarningAndNeverARefusal: also where the nodes cannot be read.
func TestATypeThatNoNodeHasIsAWarningAndNeverARefusal(t *testing.T) {
	const budget = `{"apiVersion":"policy.kubetorch.com/v1alpha1","kind":"GPUBudget","metadata":{"name":"b"},"spec":{"max":8,"gpuTypes":["NVIDIA-H200"]}}`
	const invalid = `{"apiVersion":"policy.kubetorch.com/v1alpha1","kind":"GPUBudget","metadata":{"name":"b"},"spec":{"max":-1,"gpuTypes":["NVIDIA-H200"]}}`
	told := []string{"spec.gpuTypes[0]: no node has GPUs of the type NVIDIA-H200; nodes have NVIDIA-L4"}
	for name, test := range map[string]struct {
		object  string
		nodes   []string
		failure error
		allowed bool
		want    []string
	}{
		"nodes of another type":      {budget, []string{"NVIDIA-L4"}, nil, true, told},
		"nodes of that type":         {budget, []string{"NVIDIA-H200"}, nil, true, nil},
		"nodes that cannot be read":  {budget, nil, errors.New("forbidden"), true, nil},
		"a budget that is no budget": {invalid, []string{"NVIDIA-L4"}, nil, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := standalone()
			e.products = func(context.Context) ([]string, error) { return test.nodes, test.failure }
			request := ask(admissionv1.Create, "b", []byte(test.object), nil)
			request.Namespace, request.Kind = "", metav1.GroupVersionKind{Group: "policy.kubetorch.com", Version: "v1alpha1", Kind: "GPUBudget"}
			got := e.validate(t.Context(), request)
			assert.Equal(t, test.allowed, got.Allowed, "%v", got.Result)
			assert.Equal(t, test.want, got.Warnings)
		})
	}
}
