package knative_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/knative"
)

func parse(t *testing.T, name string, pairs ...string) *knative.Config {
	t.Helper()
	data := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		data[pairs[i]] = pairs[i+1]
	}
	c, err := knative.ParseConfig(map[string]map[string]string{name: data})
	require.NoError(t, err)
	return c
}

func TestFeaturesAreReadAsKnativeReadsThem(t *testing.T) {
	for text, want := range map[string]bool{"enabled": true, "Enabled": true, "allowed": true, "ALLOWED": true, "disabled": false, "Enabld": false, "true": false, "": false, " enabled": false} {
		c := parse(t, knative.FeaturesConfig, knative.FlagNodeSelector, text)
		assert.Equal(t, want, c.Feature(knative.FlagNodeSelector), "%q", text)
	}
	c := knative.Default()
	assert.True(t, c.Feature(knative.FlagEmptyDir), "on unless turned off")
	assert.False(t, c.Feature(knative.FlagTolerations))
	for text, want := range map[string]bool{"disabled": false, "Disabled": false, "allowed": false, "off": true, "ENABLED": true} {
		assert.Equal(t, want, parse(t, knative.FeaturesConfig, knative.FlagEmptyDir, text).Feature(knative.FlagEmptyDir), "%q", text)
	}
	assert.False(t, c.SecurePodDefaults())
	assert.True(t, parse(t, knative.FeaturesConfig, "secure-pod-defaults", "Enabled").SecurePodDefaults())
}

func TestOnlyWhatIsStatedIsADefault(t *testing.T) {
	for _, p := range []string{"autoscaler-class", "min-scale", "max-scale", "initial-scale", "window", "scale-down-delay", "scale-to-zero-pod-retention-period", "target-utilization", "concurrency", "progress-deadline"} {
		_, ok := knative.Default().Explicit(p)
		assert.False(t, ok, p)
	}
	autoscaler := parse(t, knative.AutoscalerConfig, "max-scale", "0", "min-scale", "2", "container-concurrency-target-percentage", "0.7", "requests-per-second-target-default", "150", "_example", "max-scale: 9")
	_, ok := autoscaler.Explicit("max-scale")
	assert.False(t, ok, "0 is unlimited, and so no default")
	v, ok := autoscaler.Explicit("min-scale")
	assert.True(t, ok)
	assert.Equal(t, knative.Value{Text: "2", From: "cluster config-autoscaler min-scale"}, v)
	v, _ = autoscaler.Explicit("target-utilization")
	assert.Equal(t, knative.Value{Text: "70", From: "cluster config-autoscaler container-concurrency-target-percentage"}, v)
	v, ok = autoscaler.TargetDefault("rps")
	assert.True(t, ok)
	assert.Equal(t, knative.Value{Text: "150", From: "cluster config-autoscaler requests-per-second-target-default"}, v)
	_, ok = autoscaler.TargetDefault("concurrency")
	assert.False(t, ok)
	_, ok = parse(t, knative.DefaultsConfig, "container-concurrency", "0").Explicit("concurrency")
	assert.False(t, ok, "0 is no limit")
}

func TestWhatKnativeUsesByItself(t *testing.T) {
	c := knative.Default()
	assert.Equal(t, []any{int64(0), int64(0), int64(1), int64(0), false, true, "kpa.autoscaling.knative.dev", time.Duration(0), time.Duration(0), 10 * time.Minute, int64(1000), int64(0), false, true},
		[]any{c.MinScale(), c.MaxScale(), c.InitialScale(), c.MaxScaleLimit(), c.AllowZeroInitialScale(), c.ScaleToZero(), c.Class(), c.Retention(), c.ScaleDownDelay(), c.ProgressDeadline(),
			c.ConcurrencyLimit(), c.ConcurrencyDefault(), c.ConcurrencyRequired(), c.HPAInstalled()})
	without := c.WithHPA(false)
	assert.False(t, without.HPAInstalled())
	assert.True(t, c.HPAInstalled(), "the first one is left alone")
	r := parse(t, knative.DefaultsConfig, "revision-cpu-request", "400m", "revision-memory-limit", "2Gi")
	assert.Equal(t, "400m", r.ResourceDefault("requests", "cpu").String())
	assert.Equal(t, "2Gi", r.ResourceDefault("limits", "memory").String())
	assert.Nil(t, r.ResourceDefault("limits", "cpu"))
	assert.Nil(t, r.ResourceDefault("limits", "nvidia.com/gpu"))
}

func TestConfigMapsThatKnativeRefuses(t *testing.T) {
	for name, test := range map[string]struct{ configMap, key, value, want string }{
		"O2 a limit without a max-scale within it": {knative.AutoscalerConfig, "max-scale-limit", "5", "ConfigMap config-autoscaler: max-scale = 0, must be in [1, max-scale-limit(5)] range"},
		"a number that is none":                    {knative.AutoscalerConfig, "max-scale", " 5", `ConfigMap config-autoscaler: failed to parse data: failed to parse "max-scale": strconv.ParseInt: parsing " 5": invalid syntax`},
		"a limit on concurrency below its default": {knative.DefaultsConfig, "container-concurrency", "2000", "ConfigMap config-defaults: expected 0 <= 2000 <= 1000: container-concurrency"},
		"a deadline below zero":                    {knative.DeploymentConfig, "progress-deadline", "-1s", "ConfigMap config-deployment: progress-deadline cannot be a non-positive duration, was -1s"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := knative.ParseConfig(map[string]map[string]string{test.configMap: {test.key: test.value}})
			assert.EqualError(t, err, test.want)
		})
	}
}

func TestSpellings(t *testing.T) {
	key, value, ok := knative.Get(map[string]any{"autoscaling.knative.dev/maxScale": "2", "autoscaling.knative.dev/max-scale": "5"}, knative.MaxScaleKey)
	assert.Equal(t, []any{"autoscaling.knative.dev/max-scale", "5", true}, []any{key, value, ok})
	_, _, ok = knative.Get(map[string]any{"autoscaling.knative.dev/MaxScale": "2"}, knative.MaxScaleKey)
	assert.False(t, ok)
	canonical, ok := knative.Canonical("autoscaling.knative.dev/scaleToZeroPodRetentionPeriod")
	assert.Equal(t, []any{knative.RetentionKey, true}, []any{canonical, ok})
	_, ok = knative.Canonical("autoscaling.knative.dev/min_replicas")
	assert.False(t, ok)
	assert.True(t, knative.IsAutoscaling("autoscaling.knative.dev/anything"))
	assert.False(t, knative.IsAutoscaling("autoscaling.knative.dev-foo"))
}
