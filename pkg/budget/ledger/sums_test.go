package ledger

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// What a ledger keeps up to date is what adding up its claims anew gives, and what was
// written before is not written again for other claims.
func TestSumsFollowTheClaims(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	amount := func() Amount {
		of := []int64{0, 0, 1, 2, 7, Most - 1, Most}
		return Amount{GPUs: of[r.IntN(len(of))], Overlap: of[r.IntN(len(of))]}
	}
	for range 200 {
		b := &Book{settled: Claims{}, reservations: map[Key]reservation{}}
		for range 50 {
			id := r.IntN(12)
			namespace, key := "ns"+strconv.Itoa(id%3), derived(strconv.Itoa(id))
			switch r.IntN(5) {
			case 0:
				b.settle(namespace, key, amount())
			case 1:
				b.reserve(key, reservation{Amount: amount(), namespace: namespace})
			case 2:
				b.release(key)
			case 3:
				b.Set(namespace, key, amount())
			case 4:
				c := Charge{Key: key, Namespace: namespace, Amount: amount()}
				b.Charge(Limits{Max: Most}, "t", c, c)
			}
			b.totals()
			var status, anew v1alpha1.GPUBudgetStatus
			b.Write(&status, Most)
			again := &Book{settled: b.settled, reservations: b.reservations}
			again.Write(&anew, Most)
			require.Equal(t, anew, status)
			require.Equal(t, again.totals().held(), b.totals().held())
			for namespace := range b.settled {
				require.Equal(t, again.totals().heldIn(namespace), b.totals().heldIn(namespace))
			}
			read, err := Read(&status)
			require.NoError(t, err)
			require.True(t, read.Equal(again))
		}
	}
}
