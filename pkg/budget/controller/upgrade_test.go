package controller

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/policy"
)

// earlierRules are what a version went by that counted Knative Services and Deployments only, with the
// same policies and the same Knative.
func earlierRules() string {
	names := []string{"nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-*", "amd.com/gpu", "gpu.intel.com/*"}
	sum := sha256.Sum256(fmt.Appendf(nil, "v1 %q %d %d %d", names, 0, 0, 1))
	return hex.EncodeToString(sum[:8])
}

// A replica of an earlier version, which counts fewer kinds, serves beside one of this version: neither
// lets a claim rise by a ledger that the other counted, and what the earlier one admits while it is
// there is counted before any claim rises again.
func TestAnEarlierVersionAndThisOneSideBySideNeverCountTooLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startCounted(t, 10, map[string]int64{"x": 4})
		charger := charge.NewCharger(f, nil)
		ask := func(rules string) charge.Answer {
			return charger.Charge(t.Context(), []charge.Demand{{
				Budget: "cluster", Version: policy.Version("u", 1), Rules: rules,
				Charges: []ledger.Charge{{Key: ledger.ForUID("new"), Namespace: "a", Amount: ledger.Amount{GPUs: 1}, Rises: true}},
			}}, true)[0]
		}
		assert.True(t, ask(f.rules).Fits)

		// The ledger that the earlier version left holds half of what there is.
		f.others = []charge.Seen{{Budgets: map[string]string{"cluster": policy.Version("u", 1)}, Rules: earlierRules()}}
		earlierCounts := func() {
			b := f.budget.DeepCopy()
			b.Status.Rules = earlierRules()
			meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionCounted, Status: metav1.ConditionTrue, Reason: "Counted", ObservedGeneration: 1})
			f.bump(b)
		}
		f.change(func() { f.objects["pod"] = 5; earlierCounts() })
		f.assertCounted(t, metav1.ConditionFalse, "WaitingForReplicas")
		assert.Equal(t, "its claims are being counted", ask(f.rules).Retry, "nothing rises by this version")
		assert.Equal(t, "its claims are being counted", ask(earlierRules()).Retry, "nothing rises by the earlier one")

		// While the earlier one leads, it says again that everything is counted.
		for range 3 {
			time.Sleep(2 * wait)
			f.mu.Lock()
			earlierCounts()
			f.mu.Unlock()
			assert.Equal(t, "its claims are being counted", ask(f.rules).Retry, "what the earlier one wrote is not believed")
			f.change(func() {})
			f.assertCounted(t, metav1.ConditionFalse, "WaitingForReplicas")
		}

		f.change(func() { f.others = nil; f.objects["late"] = 1 })
		f.assertCounted(t, metav1.ConditionFalse, "WaitingForRequests")
		assert.Equal(t, "its claims are being counted", ask(f.rules).Retry)
		time.Sleep(wait + time.Second)
		synctest.Wait()
		f.assertCounted(t, metav1.ConditionTrue, "Counted")
		assert.EqualValues(t, 10, f.budget.Status.Used)
		assert.False(t, ask(f.rules).Fits, "all 10 are taken")
		assert.Equal(t, "its claims are being counted", ask(earlierRules()).Retry, "an earlier replica that comes back lets nothing rise")
	})
}
