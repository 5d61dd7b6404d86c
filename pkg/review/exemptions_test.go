package review_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhoUsesAnExemptionIsToldWhenItEnds: in its last seven days, once, and with the reason.
func TestWhoUsesAnExemptionIsToldWhenItEnds(t *testing.T) {
	const limit = `{metadata: {name: gpus}, spec: {bounds: {gpusPerWorkload: {max: 4}}, exempt: [{users: [eve], until: "2027-01-31T00:00:00Z", reason: a paper}]}}`
	const service = `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {namespace: ml, name: inference}, spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "9"}}, spec: {containers: [{image: a/b, resources: {limits: {nvidia.com/gpu: 1}}}]}}}}`
	const told = "policy gpus exempts this until 2027-01-31T00:00:00Z (a paper); its bounds hold from then on"
	end := time.Date(2027, time.January, 31, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		user     string
		before   time.Duration
		warnings []string
		allowed  bool
	}{
		"eight days before":            {"eve", 8 * 24 * time.Hour, nil, true},
		"seven days before":            {"eve", 7 * 24 * time.Hour, []string{told}, true},
		"a second before":              {"eve", time.Second, []string{told}, true},
		"at its end":                   {"eve", 0, nil, false},
		"somebody whom it exempts not": {"ada", time.Second, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := world(limit)
			w.Policies = w.Policies.WithClock(func() time.Time { return end.Add(-test.before) })
			r := request(service, "")
			r.UserInfo.Username = test.user
			mutated, validated := both(t, r, w)
			require.True(t, mutated.Allowed)
			assert.Empty(t, mutated.Warnings, "the other step says it")
			assert.Equal(t, test.allowed, validated.Allowed)
			assert.Equal(t, test.warnings, validated.Warnings)
		})
	}
}
