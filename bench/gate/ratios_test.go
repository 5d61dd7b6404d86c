// Package gate holds the webhook to ratios: it and another engine are measured by turns in
// one process, so that a busy or slow machine slows both.
package gate

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/bench/kubernetes"
	"github.com/kubetorch/webhook/bench/ours"
	"github.com/kubetorch/webhook/bench/reviews"
)

// rounds are measured, the two by turns, and calls timed together in each.
const (
	rounds = 15
	calls  = 40
)

// TestRatios holds what a review costs, in terms of what the evaluators of Kubernetes' own
// admission policies cost for the same defaults and bounds, to ratios.json: 1.3 times what was
// measured when they were written. Whoever makes the webhook faster lowers them.
func TestRatios(t *testing.T) {
	file, err := os.ReadFile("ratios.json")
	require.NoError(t, err)
	type ratio struct{ Time, Allocs float64 }
	var limits map[string]ratio
	require.NoError(t, json.Unmarshal(file, &limits))

	handlers, err := ours.Handlers(ours.Options{})
	require.NoError(t, err)
	evaluator, err := kubernetes.New(t.Context())
	require.NoError(t, err)
	for _, c := range reviews.Cases() {
		path := "/" + string(c.Step)
		caller := reviews.NewCaller(handlers[path], path)
		answer, err := caller.Call(c.Body)
		require.NoError(t, err)
		require.NoError(t, c.Check(answer))
		require.NoError(t, evaluator.Check(t.Context(), c))

		mine := func() { _, _ = caller.Call(c.Body) }
		peers := func() { _, _ = evaluator.Decide(t.Context(), c) }
		var times []float64
		for range rounds {
			times = append(times, float64(timed(mine))/float64(timed(peers)))
		}
		slices.Sort(times)
		got := ratio{times[rounds/2], testing.AllocsPerRun(calls, mine) / testing.AllocsPerRun(calls, peers)}
		t.Logf("%s: %.2f of the time, %.2f of the allocations", c.Name, got.Time, got.Allocs)
		require.Contains(t, limits, c.Name)
		assert.LessOrEqual(t, got.Time, limits[c.Name].Time, "%s: time of a review to that of Kubernetes' own policies", c.Name)
		assert.LessOrEqual(t, got.Allocs, limits[c.Name].Allocs, "%s: allocations of a review to those of Kubernetes' own policies", c.Name)
	}
	assert.Len(t, limits, len(reviews.Cases()), "every limit is of a case")
}

func timed(f func()) time.Duration {
	began := time.Now()
	for range calls {
		f()
	}
	return time.Since(began)
}
