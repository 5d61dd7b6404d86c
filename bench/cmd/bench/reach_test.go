package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// measured is one line of results.
func measured(unit string, value float64, keys ...string) line {
	l := line{keys: map[string]string{}, values: map[string]float64{unit: value}}
	for i := 0; i < len(keys); i += 2 {
		l.keys[keys[i]] = keys[i+1]
	}
	return l
}

func TestReach(t *testing.T) {
	for name, c := range map[string]struct {
		lines []line
		value func(*results) (float64, bool)
		want  float64
		none  bool
	}{
		"by turns, a machine that is ten times slower in one of three rounds makes no difference": {
			lines: []line{
				measured("p50-ms", 2, "webhook", "with"), measured("p50-ms", 1, "webhook", "without"),
				measured("p50-ms", 10, "webhook", "without"), measured("p50-ms", 21, "webhook", "with"),
				measured("p50-ms", 3, "webhook", "with"), measured("p50-ms", 1, "webhook", "without"),
			},
			value: byTurns("p50-ms", "webhook=with", "webhook=without"),
			want:  2.1,
		},
		"by turns, a round that lacks one contender is no comparison": {
			lines: []line{measured("p50-ms", 2, "webhook", "with")},
			value: byTurns("p50-ms", "webhook=with", "webhook=without"),
			none:  true,
		},
		"what is added is summed over the kinds": {
			lines: []line{
				measured("p50-ms", 10, "limit", "none", "kind", "Pod", "claims", "10"), measured("p50-ms", 20, "limit", "none", "kind", "Job", "claims", "10"),
				measured("p50-ms", 11, "limit", "ResourceQuota", "kind", "Pod", "claims", "10"), measured("p50-ms", 23, "limit", "ResourceQuota", "kind", "Job", "claims", "10"),
				measured("p50-ms", 14, "limit", "GPUBudget", "kind", "Pod", "claims", "10"), measured("p50-ms", 22, "limit", "GPUBudget", "kind", "Job", "claims", "10"),
			},
			value: added("GPUBudget", "ResourceQuota"),
			want:  1.5,
		},
		"growth beside a quota is less what the quota's creates grow": {
			lines: []line{
				measured("p50-ms", 10, "limit", "GPUBudget", "claims", "10"), measured("p50-ms", 24, "limit", "GPUBudget", "claims", "10000"),
				measured("p50-ms", 5, "limit", "ResourceQuota", "claims", "10"), measured("p50-ms", 10, "limit", "ResourceQuota", "claims", "10000"),
			},
			value: besideQuota("p50-ms", "claims=10000", "claims=10"),
			want:  1.2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, some := c.value(&results{lines: c.lines})
			assert.Equal(t, !c.none, some)
			assert.InDelta(t, c.want, got, 1e-9)
		})
	}
}
