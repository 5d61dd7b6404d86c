// The number of pods: values that are missing or odd, and scales above max-scale, are never
// small.

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/workload"
)

func TestPeakPods(t *testing.T) {
	for _, text := range []string{"0", "", "-1", " 5", "5 ", "+5", "5e0", "٥", "2147483648", "9223372036854775808", "abc"} {
		d := demand(service(`{autoscaling.knative.dev/max-scale: "`+text+`"}`, onePod))
		assert.Equal(t, int64(workload.Unbounded), d.PeakPods, "max-scale %q is never small", text)
		assert.Equal(t, int64(workload.Unbounded), d.Claim, "max-scale %q", text)
	}
	tests := map[string]struct {
		annotations string
		config      []string
		want        int64
	}{
		"max-scale bounds":                         {annotations: `{autoscaling.knative.dev/max-scale: "5"}`, want: 5},
		"leading zeros do no harm":                 {annotations: `{autoscaling.knative.dev/max-scale: "007"}`, want: 7},
		"an absent max-scale is unbounded":         {annotations: `{}`, want: workload.Unbounded},
		"an absent max-scale is the cluster's":     {annotations: `{}`, config: []string{"max-scale", "6"}, want: 6},
		"0 is unbounded whatever the cluster says": {annotations: `{autoscaling.knative.dev/max-scale: "0"}`, config: []string{"max-scale", "6"}, want: workload.Unbounded},
		"initial-scale above max-scale counts":     {annotations: `{autoscaling.knative.dev/max-scale: "5", autoscaling.knative.dev/initial-scale: "9"}`, want: 9},
		"min-scale above max-scale counts":         {annotations: `{autoscaling.knative.dev/max-scale: "5", autoscaling.knative.dev/min-scale: "8"}`, want: 8},
		"the cluster's initial-scale counts":       {annotations: `{autoscaling.knative.dev/max-scale: "2"}`, config: []string{"initial-scale", "4"}, want: 4},
		"the cluster's min-scale counts":           {annotations: `{autoscaling.knative.dev/max-scale: "2"}`, config: []string{"min-scale", "3"}, want: 3},
		"an unreadable initial-scale is unbounded": {annotations: `{autoscaling.knative.dev/max-scale: "2", autoscaling.knative.dev/initial-scale: "99999999999"}`, want: workload.Unbounded},
		// Knative's autoscaler applies max-scale after it, whatever its webhook was told.
		"activation-scale above max-scale starts no more": {annotations: `{autoscaling.knative.dev/max-scale: "5", autoscaling.knative.dev/activation-scale: "9"}`, want: 5},
		"hpa is counted by max-scale":                     {annotations: `{autoscaling.knative.dev/class: hpa.autoscaling.knative.dev, autoscaling.knative.dev/max-scale: "5"}`, want: 5},
		"hpa without max-scale is unbounded":              {annotations: `{autoscaling.knative.dev/class: hpa.autoscaling.knative.dev}`, want: workload.Unbounded},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := workload.ServiceUsage(service(test.annotations, onePod), "", config(t, test.config...), workload.BuiltInGPUResources, nil)
			assert.Equal(t, test.want, d.PeakPods)
			assert.Equal(t, workload.SaturatingMul(4, test.want), d.Claim)
		})
	}
}
