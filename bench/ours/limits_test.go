package ours

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/bench/reviews"
)

// TestAllocations holds what a review allocates to limits.json. They are a little above what
// was measured when they were written; whoever lowers the one lowers the other.
func TestAllocations(t *testing.T) {
	file, err := os.ReadFile("limits.json")
	require.NoError(t, err)
	type limit struct{ Allocs, Bytes int64 }
	var limits map[string]limit
	require.NoError(t, json.Unmarshal(file, &limits))

	measured := map[string]limit{}
	for _, c := range reviews.Cases() {
		mutate, validate := callers(t, Options{})
		caller := mutate
		if c.Step == reviews.Validate {
			caller = validate
		}
		require.NoError(t, c.Check(call(t, caller, c.Body)))
		r := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				if _, err := caller.Call(c.Body); err != nil {
					b.Fatal(err)
				}
			}
		})
		measured[c.Name] = limit{r.AllocsPerOp(), r.AllocedBytesPerOp()}
	}
	r := testing.Benchmark(benchmarkBudget)
	measured["budget"] = limit{r.AllocsPerOp(), r.AllocedBytesPerOp()}
	for name, got := range measured {
		assert.Contains(t, limits, name)
		assert.Positive(t, got.Allocs, name)
		assert.LessOrEqual(t, got.Allocs, limits[name].Allocs, "%s: allocations of a review", name)
		assert.LessOrEqual(t, got.Bytes, limits[name].Bytes, "%s: bytes allocated by a review", name)
	}
	assert.Len(t, measured, len(limits), "every limit is of a case")
}
