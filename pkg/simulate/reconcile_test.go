package simulate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"knative.dev/serving/pkg/autoscaler/scaling"
)

// TestReconcile has the cases of Knative's scaler and of its table of the condition Active.
func TestReconcile(t *testing.T) {
	const minute = time.Minute
	usual := bounds{maxScale: 10, initialScale: 1, stableWindow: minute, retention: 10 * minute, grace: 30 * time.Second, activationTimeout: 2 * minute, scaleToZero: true}
	with := func(change func(*bounds)) bounds {
		b := usual
		change(&b)
		return b
	}
	fresh := func(b bounds) autoscalerState {
		return autoscalerState{bounds: b, since: epoch, proxied: true, proxySince: epoch}
	}
	serving := func(b bounds, c condition) autoscalerState {
		return autoscalerState{bounds: b, active: c, since: epoch, initialized: true, proxied: c == inactive, proxySince: epoch}
	}
	const in, is, no = activating, active, inactive
	for name, test := range map[string]struct {
		state          autoscalerState
		after          time.Duration
		desired, burst int32
		ready          int32
		replicas       int32
		becomes        condition
	}{
		"what the decider wants":                              {serving(usual, is), minute, 4, 0, 2, 4, is},
		"more than max-scale":                                 {serving(usual, is), minute, 40, -1, 2, 10, is},
		"no max-scale is no limit":                            {serving(with(func(b *bounds) { b.maxScale = 0 }), is), minute, 400, 0, 2, 400, is},
		"less than min-scale":                                 {serving(with(func(b *bounds) { b.minScale = 3 }), is), minute, 1, 0, 3, 3, is},
		"zero with a min-scale":                               {serving(with(func(b *bounds) { b.minScale = 1 }), is), minute, 0, 0, 1, 1, is},
		"fewer ready than min-scale is activating":            {serving(with(func(b *bounds) { b.minScale = 3 }), is), minute, 3, 0, 2, 3, in},
		"initial scale holds until it is reached":             {fresh(with(func(b *bounds) { b.initialScale = 5 })), time.Second, 2, -1, 0, 5, in},
		"and may be above max-scale":                          {fresh(with(func(b *bounds) { b.initialScale = 50 })), time.Second, 2, -1, 0, 50, in},
		"once it was reached it is no minimum":                {serving(with(func(b *bounds) { b.initialScale = 5 }), is), minute, 2, 0, 5, 2, is},
		"nothing known of a new revision leaves it":           {fresh(usual), time.Second, scaleUnknown, -1, 0, scaleUnknown, in},
		"nothing known of one that serves leaves it":          {serving(usual, is), time.Second, scaleUnknown, -1, 1, scaleUnknown, is},
		"nothing known of an inactive one leaves it inactive": {serving(usual, no), time.Second, scaleUnknown, -1, 1, scaleUnknown, no},
		"a new revision that fails goes to zero":              {fresh(usual), 2 * minute, 0, -1, 0, 0, no},
		"but not before its deadline":                         {fresh(usual), 2*minute - time.Second, 0, -1, 0, scaleUnknown, in},
		"zero before the stable window is over is one":        {serving(usual, is), minute - time.Second, 0, 0, 3, 1, is},
		"zero after it makes inactive first":                  {serving(usual, is), minute, 0, 0, 1, scaleUnknown, no},
		"inactive waits for the retention":                    {serving(usual, no), 10*minute - time.Second, 0, -1, 1, scaleUnknown, no},
		"and then goes to zero":                               {serving(usual, no), 10 * minute, 0, -1, 1, 0, no},
		"without retention the grace period holds":            {serving(with(func(b *bounds) { b.retention = 0 }), no), 29 * time.Second, 0, -1, 1, scaleUnknown, no},
		"and after it goes to zero":                           {serving(with(func(b *bounds) { b.retention = 0 }), no), 30 * time.Second, 0, -1, 1, 0, no},
		"where scale to zero is off one stays":                {serving(with(func(b *bounds) { b.scaleToZero = false }), is), minute, 0, 0, 1, 1, is},
		"a request to an inactive one makes it activate":      {serving(usual, no), 20 * minute, 2, -1, 0, 2, in},
		"and active if a pod is still there":                  {serving(usual, no), minute, 1, -1, 1, 1, is},
	} {
		t.Run(name, func(t *testing.T) {
			s := test.state
			assert.Equal(t, test.replicas, s.reconcile(epoch.Add(test.after), scaling.DeciderStatus{DesiredScale: test.desired, ExcessBurstCapacity: test.burst}, test.ready))
			assert.Equal(t, test.becomes, s.active)
		})
	}
}

func TestTheActivatorThatIsInThePathForLongSavesTheGracePeriod(t *testing.T) {
	s := autoscalerState{bounds: bounds{initialScale: 1, stableWindow: time.Minute, retention: 10 * time.Second, grace: 30 * time.Second, scaleToZero: true},
		active: active, since: epoch, initialized: true, proxied: true, proxySince: epoch}
	zero := scaling.DeciderStatus{DesiredScale: 0, ExcessBurstCapacity: -1}
	assert.EqualValues(t, scaleUnknown, s.reconcile(epoch.Add(time.Minute), zero, 1), "becomes inactive")
	assert.EqualValues(t, scaleUnknown, s.reconcile(epoch.Add(69*time.Second), zero, 1), "the retention is not over")
	assert.EqualValues(t, 0, s.reconcile(epoch.Add(70*time.Second), zero, 1), "the grace period is not waited for")
}
