package knative_test

import (
	"errors"
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
	for name, test := range map[string]struct {
		configMap string
		data      map[string]string
		want      []string
	}{
		"O2 a limit without a max-scale within it": {knative.AutoscalerConfig, map[string]string{"max-scale-limit": "5"},
			[]string{"ConfigMap config-autoscaler: max-scale = 0, must be in [1, max-scale-limit(5)] range"}},
		"a number that is none": {knative.AutoscalerConfig, map[string]string{"max-scale": " 5"},
			[]string{`ConfigMap config-autoscaler: data[max-scale]: Invalid value: " 5": must be a whole number`}},
		"a limit on concurrency below its default": {knative.DefaultsConfig, map[string]string{"container-concurrency": "2000"},
			[]string{"ConfigMap config-defaults: expected 0 <= 2000 <= 1000: container-concurrency"}},
		"a deadline below zero": {knative.DeploymentConfig, map[string]string{"progress-deadline": "-1s"},
			[]string{"ConfigMap config-deployment: progress-deadline cannot be a non-positive duration, was -1s"}},
		"values that are right only together": {knative.DefaultsConfig, map[string]string{"revision-timeout-seconds": "700", "max-revision-timeout-seconds": "800"}, nil},
		"every key that cannot be read": {knative.AutoscalerConfig, map[string]string{"enable-scale-to-zero": "maybe", "max-scale": "99999999999", "panic-window-percentage": "a tenth", "stable-window": "60", "min-scale": ""}, []string{
			`ConfigMap config-autoscaler: data[enable-scale-to-zero]: Invalid value: "maybe": must be true or false`,
			`ConfigMap config-autoscaler: data[max-scale]: Invalid value: "99999999999": must be a whole number that Knative can hold, from -2147483648 to 2147483647`,
			`ConfigMap config-autoscaler: data[min-scale]: Invalid value: "": must be a whole number`,
			`ConfigMap config-autoscaler: data[panic-window-percentage]: Invalid value: "a tenth": must be a number`,
			`ConfigMap config-autoscaler: data[stable-window]: Invalid value: "60": must be a duration, such as 90s or 10m`}},
		"and then every one that is out of range": {knative.AutoscalerConfig, map[string]string{"min-scale": "few", "stable-window": "1s", "activator-capacity": "0", "max-scale": "-1"}, []string{
			`ConfigMap config-autoscaler: data[min-scale]: Invalid value: "few": must be a whole number`,
			"ConfigMap config-autoscaler: activator-capacity = 0, must be at least 1",
			"ConfigMap config-autoscaler: stable-window = 1s, must be in [6s; 1h0m0s] range",
			"ConfigMap config-autoscaler: max-scale = -1, must be in [0, max-scale-limit(0)] range"}},
		"templates and quantities": {knative.DefaultsConfig, map[string]string{"container-name-template": "{{.Name", "init-container-name-template": "{{.Nonsense}}", "revision-cpu-request": "lots"}, []string{
			`ConfigMap config-defaults: data[container-name-template]: Invalid value: "{{.Name": must be a name, or a template of one by the object's metadata, such as user-container or {{.Name}}`,
			`ConfigMap config-defaults: data[init-container-name-template]: Invalid value: "{{.Nonsense}}": must be a name, or a template of one by the object's metadata, such as user-container or {{.Name}}`,
			`ConfigMap config-defaults: data[revision-cpu-request]: Invalid value: "lots": must be a quantity, such as 500m, 2 or 16Gi`}},
		"the classes of a RuntimeClass": {knative.DeploymentConfig, map[string]string{"runtime-class-name": "[a"},
			[]string{`ConfigMap config-deployment: data[runtime-class-name]: Invalid value: "[a": must be YAML: names of RuntimeClasses, each with a selector of labels, such as kata: {selector: {team: a}}`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := knative.ParseConfig(map[string]map[string]string{test.configMap: test.data})
			var errs knative.ConfigErrors
			errors.As(err, &errs)
			var got []string
			for _, e := range errs.Errors() {
				got = append(got, e.Error())
			}
			assert.Equal(t, test.want, got)
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
