package ledger

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhatIsKeptOfWhatNobodyWasAskedAbout: an entry never holds more than it did, or than was asked about, and never
// less than what of it may have been used.
func TestWhatIsKeptOfWhatNobodyWasAskedAbout(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	amount := func(most int64) Amount { return Amount{GPUs: r.Int64N(most), Overlap: r.Int64N(most)} }
	for range 100_000 {
		live, held, asked := amount(9), amount(9), amount(5)
		if asked.all() > live.all() {
			continue // it is of what is there
		}
		kept := live.keptOf(asked, held)
		most := max(asked.all(), min(live.all(), held.all()))
		require.LessOrEqual(t, kept.all(), most, "%v of %v, asked about %v, held %v", kept, live, asked, held)
		require.GreaterOrEqual(t, kept.all(), asked.all(), "%v of %v, asked about %v, held %v", kept, live, asked, held)
		require.LessOrEqual(t, kept.GPUs, max(asked.GPUs, held.GPUs), "%v of %v, asked about %v, held %v", kept, live, asked, held)
		if live.Overlap >= held.Overlap && live.GPUs <= held.GPUs {
			require.Equal(t, most, kept.all(), "%v of %v, asked about %v, held %v", kept, live, asked, held)
		}
	}
	for name, test := range map[string]struct{ live, asked, held, want Amount }{
		"a rollout's pods came within the claim":    {Amount{2, 2}, Amount{2, 0}, Amount{8, 0}, Amount{4, 0}},
		"what was asked about as a rollout's is it": {Amount{2, 0}, Amount{1, 1}, Amount{2, 0}, Amount{2, 0}},
		"what nobody was asked about is not raised": {Amount{9, 0}, Amount{2, 0}, Amount{3, 0}, Amount{3, 0}},
		"nor as a rollout's":                        {Amount{2, 9}, Amount{2, 0}, Amount{2, 1}, Amount{2, 1}},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, test.live.keptOf(test.asked, test.held)) })
	}
}
