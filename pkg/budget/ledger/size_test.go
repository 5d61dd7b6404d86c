package ledger

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// size is how many bytes a status has as it is stored.
func size(t *testing.T, b *Book) int {
	t.Helper()
	var status v1alpha1.GPUBudgetStatus
	b.Write(&status, Most)
	text, err := json.Marshal(status)
	require.NoError(t, err)
	return len(text)
}

func TestAChargeWritesAsLittleWithManyClaimsAsWithFew(t *testing.T) {
	few, _, _ := folded(t, (&Tracker{}).Rebuild(many(10), nil, 0))
	least := size(t, few)
	for claims, most := range map[int]int{10_000: 16 << 10, 100_000: 64 << 10} {
		t.Run(fmt.Sprintf("%d claims", claims), func(t *testing.T) {
			all := many(claims)
			over, base, _ := folded(t, (&Tracker{}).Rebuild(all, nil, 0))
			// Names of parts beside, it is as large.
			assert.LessOrEqual(t, size(t, over), least*11/10+120*len(base.from.Parts))
			// As many claims have changed as there may be before there is a new base.
			for i := range max(512, claims/64) {
				namespace := fmt.Sprintf("ns-%d", i%7)
				all[namespace][derived(fmt.Sprint(i))] = Amount{GPUs: 70}
			}
			over, recent := (&Tracker{}).Rebuild(all, nil, 0).Over(base)
			require.Equal(t, max(512, claims/64), recent)
			assert.Less(t, size(t, over), most)
		})
	}
	t.Run("what is in flight", func(t *testing.T) {
		plain := (&Tracker{}).Rebuild(many(10), nil, 0)
		for i := range 1000 {
			plain.Charge(Limits{Max: Most - 1}, fmt.Sprintf("token%d", i/64), charge(fmt.Sprintf("in-flight-%d", i), 4))
		}
		over, _, _ := folded(t, plain)
		assert.Less(t, size(t, over)-least, 32*1000, "bytes for each of 1,000 admissions")
		assert.Greater(t, size(t, plain)-least, 120*1000, "and as a list")
	})
}
