package ledger

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

func conditionsFor(generation int64) []metav1.Condition {
	return []metav1.Condition{{Type: v1alpha1.ConditionCounted, Status: metav1.ConditionTrue, ObservedGeneration: generation}}
}
