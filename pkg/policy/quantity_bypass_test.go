// Quantities of GPUs in any notation, and products that overflow.

package policy_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

func TestWholeGPUs(t *testing.T) {
	whole := map[any]int64{"0": 0, "1": 1, "1k": 1000, "1e3": 1000, "1000m": 1, "2Ki": 2048, "2147483647": math.MaxInt32, int64(3): 3, 2.0: 2, "1.0": 1}
	for v, want := range whole {
		n, ok := workload.WholeGPUs(v)
		assert.True(t, ok, "%v", v)
		assert.Equal(t, want, n, "%v", v)
	}
	for _, v := range []any{"0.5", "500m", "1.5", "1001m", "1e100", "9223372036854775808", "2147483648", "-1", "-500m", "", " 1", "NaN", "١", int64(-1), 1.5, true, nil, []any{}} {
		n, ok := workload.WholeGPUs(v)
		assert.False(t, ok, "%v is %d", v, n)
	}
}

func TestSaturation(t *testing.T) {
	assert.Equal(t, int64(6), workload.SaturatingMul(2, 3))
	assert.Equal(t, int64(0), workload.SaturatingMul(0, workload.Unbounded))
	assert.Equal(t, int64(0), workload.SaturatingMul(workload.Unbounded, 0))
	assert.Equal(t, int64(workload.Unbounded), workload.SaturatingMul(2, workload.Unbounded))
	assert.Equal(t, int64(workload.Unbounded), workload.SaturatingMul(math.MaxInt32, 1<<40))
	assert.Equal(t, int64(workload.Unbounded), workload.SaturatingAdd(workload.Unbounded, 1))
	assert.Equal(t, int64(3), workload.SaturatingAdd(1, 2))
}

func TestStrangeQuantitiesAreRefusedUnderAnyBound(t *testing.T) {
	for _, q := range []string{"500m", "1e100", "9223372036854775808", "-1"} {
		v := judge(policy.Compile(policies(`{spec: {bounds: {scaleDownDelay: {max: 1h}}}}`)), scaled("1", q), nil)
		assert.Equal(t, []string{`spec.template.spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "` + q + `": must be a whole number of GPUs from 0 to 2147483647`}, texts(v.Invalid))
		assert.Empty(t, v.Denied)
	}
	assert.Empty(t, judge(policy.Compile(nil), scaled("1", "500m"), nil).Invalid, "without any policy nothing is judged")
}
