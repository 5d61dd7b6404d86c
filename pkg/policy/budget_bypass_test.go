// A budget is deleted and made anew under its name, with another max.

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/policy"
)

// TestABudgetMadeAnewIsAnotherOne: it begins at the first generation again.
func TestABudgetMadeAnewIsAnotherOne(t *testing.T) {
	version := func(uid types.UID) string {
		b := v1alpha1.GPUBudget{ObjectMeta: metav1.ObjectMeta{Name: "b", UID: uid, Generation: 1}, Spec: v1alpha1.GPUBudgetSpec{Max: new(int64(1))}}
		return policy.CompileBudgets([]v1alpha1.GPUBudget{b}).Versions()["b"]
	}
	assert.Equal(t, version("u"), version("u"))
	assert.NotEqual(t, version("u"), version("v"))
}

// TestABudgetHoldsWhereLabelsAreNotKnown: what they leave open counts as selected.
func TestABudgetHoldsWhereLabelsAreNotKnown(t *testing.T) {
	named := func(name string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": name}}
	}
	for name, test := range map[string]struct {
		selector *metav1.LabelSelector
		want     bool
	}{
		"no selector":       {nil, true},
		"an empty selector": {&metav1.LabelSelector{}, true},
		"its name":          {named("ml"), true},
		"another name":      {named("web"), false},
		"another label":     {&metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}, true},
	} {
		b := v1alpha1.GPUBudget{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: v1alpha1.GPUBudgetSpec{Max: new(int64(1)), NamespaceSelector: test.selector}}
		all := policy.CompileBudgets([]v1alpha1.GPUBudget{b}).All()
		if assert.Len(t, all, 1, name) {
			assert.Equal(t, test.want, all[0].Selects("ml", map[string]string{"kubernetes.io/metadata.name": "ml"}, false), name)
		}
	}
}
