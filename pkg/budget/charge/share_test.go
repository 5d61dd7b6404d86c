package charge

import (
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

func TestCreatesThatAreNeverStoredLeaveRoomForOtherNamespaces(t *testing.T) {
	later := Answer{Retry: "what this namespace has under way, and is not seen stored yet, holds up to 50 % of what is free, so that other namespaces have room", After: 1}
	for name, test := range map[string]struct {
		change func(*v1alpha1.GPUBudget)
		// second is the answer to a second claim that is more than the share.
		second Answer
	}{
		"a budget of many namespaces": {func(*v1alpha1.GPUBudget) {}, later},
		"one that selects by labels": {func(b *v1alpha1.GPUBudget) {
			b.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "nlp"}}
		}, later},
		"one of a namespace by its name": {func(b *v1alpha1.GPUBudget) {
			b.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "a"}}
		}, Answer{}},
		"one of a list of one namespace": {func(b *v1alpha1.GPUBudget) {
			b.Spec.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpIn, Values: []string{"a"}}}}
		}, Answer{}},
		"one that refuses nothing": {func(b *v1alpha1.GPUBudget) { b.Spec.Enforcement = v1alpha1.BudgetWarn }, Answer{}},
	} {
		t.Run(name, func(t *testing.T) {
			b := counted("b", 10)
			test.change(b)
			s := newStore(b)
			c := NewCharger(s, nil)
			c.UnseenShare = 50
			ask := func(object, namespace string, gpus int64) Answer {
				d := demand("b", object, gpus)
				d.Charges[0].Namespace = namespace
				return c.Charge(t.Context(), []Demand{d}, false)[0]
			}
			assert.True(t, ask("x", "a", 4).Fits)
			second := ask("y", "a", 2)
			assert.Equal(t, test.second, Answer{Retry: second.Retry, After: second.After})
			if test.second.Retry == "" {
				assert.True(t, second.Fits)
				return
			}
			assert.False(t, second.Admits())
			assert.EqualValues(t, 4, taken(t, s, "b"))
			assert.True(t, ask("z", "b", 6).Fits, "another namespace finds what is free")
		})
	}
}
