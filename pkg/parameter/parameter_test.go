package parameter_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/parameter"
)

// TestTable holds the table against the names that kubetorch's client and the policy API use.
func TestTable(t *testing.T) {
	type names struct{ key, seed, field string }
	var got []names
	for _, p := range parameter.Table {
		got = append(got, names{p.Key(), p.Seed, p.Field()})
		found, ok := parameter.Lookup(p.Key())
		assert.True(t, ok && found == p, p.Key())
		assert.NotEmpty(t, p.Lands, p.Key())
		assert.NotEmpty(t, p.Type.Name, p.Key())
		assert.NotEmpty(t, p.Type.Allowed, p.Key())
		assert.Equal(t, p.Group.Prefix()+p.Name, p.Key())
		if p.Seed != "" {
			assert.Equal(t, strings.ReplaceAll(p.Name, "-", "_"), p.Seed)
		}
	}
	const a, c = "autoscale.kubetorch.com/", "compute.kubetorch.com/"
	assert.Equal(t, []names{
		{a + "autoscaler-class", "autoscaler_class", "autoscalerClass"}, {a + "metric", "metric", "metric"}, {a + "target", "target", "target"},
		{a + "target-utilization", "target_utilization", "targetUtilization"}, {a + "min-scale", "min_scale", "minScale"}, {a + "max-scale", "max_scale", "maxScale"},
		{a + "initial-scale", "initial_scale", "initialScale"}, {a + "concurrency", "concurrency", "concurrency"}, {a + "window", "window", "window"},
		{a + "scale-down-delay", "scale_down_delay", "scaleDownDelay"}, {a + "scale-to-zero-pod-retention-period", "scale_to_zero_pod_retention_period", "scaleToZeroPodRetentionPeriod"},
		{a + "progress-deadline", "progress_deadline", "progressDeadline"}, {a + "port", "", "port"}, {a + "service-name", "", "serviceName"},
		{c + "cpus", "cpus", "cpus"}, {c + "memory", "memory", "memory"}, {c + "disk-size", "disk_size", "diskSize"}, {c + "gpus", "gpus", "gpus"}, {c + "gpu-type", "gpu_type", "gpuType"},
		{c + "gpu-anti-affinity", "gpu_anti_affinity", "gpuAntiAffinity"}, {c + "gpu-memory", "gpu_memory", "gpuMemory"}, {c + "shared-memory-limit", "shared_memory_limit", "sharedMemoryLimit"}, {c + "priority-class-name", "priority_class_name", "priorityClassName"},
		{c + "queue-name", "queue_name", "queueName"}, {c + "service-account-name", "service_account_name", "serviceAccountName"}, {c + "launch-timeout", "launch_timeout", "launchTimeout"},
		{c + "inactivity-ttl", "inactivity_ttl", "inactivityTtl"}, {c + "distribute", "distribute", "distribute"},
	}, got)
	_, ok := parameter.Lookup("autoscale.kubetorch.com/max_scale")
	assert.False(t, ok)
	assert.True(t, parameter.IsKey("compute.kubetorch.com/anything"))
	assert.False(t, parameter.IsKey("kubetorch.com/autoscale"))
	assert.False(t, parameter.IsKey("xcompute.kubetorch.com/gpus"))
}

func TestValues(t *testing.T) {
	tests := map[*parameter.Parameter]struct{ good, bad []string }{
		parameter.AutoscalerClass:    {[]string{"kpa", "hpa", parameter.KPA, parameter.HPA}, []string{"", "KPA", "kpa ", "keda", "keda.autoscaling.knative.dev"}},
		parameter.Metric:             {[]string{"concurrency", "rps", "cpu", "memory", "vllm:num_requests_waiting", "DCGM_FI_DEV_GPU_UTIL"}, []string{"", "a b", "a\tb", "a/b", "..", "a\u00a0b", "a%b"}},
		parameter.Target:             {[]string{"0.01", "1", "1e3", ".5", "5.", "+5", "1E2", "100000000"}, []string{"", "0", "0.009", "-1", "NaN", "nan", "Inf", "-inf", "infinity", "0x1p4", "0X10", "1_000", "80%", " 1", "1 ", "1e400", "١"}},
		parameter.Utilization:        {[]string{"1", "70", "99.5", "100"}, []string{"", "0", "0.7", "0.99", "100.1", "101", "NaN", "70%"}},
		parameter.MinScale:           {[]string{"0", "1", "007", "2147483647"}, []string{"", "-1", "+1", "1.0", "1e3", " 1", "١", "１", "2147483648", "99999999999999999999", "-", "0x1"}},
		parameter.Concurrency:        {[]string{"1", "1000", "5000"}, []string{"", "0", "-1", "1.5"}},
		parameter.Window:             {[]string{"6s", "1h", "60s", "6000ms", "0.1h", ".5m", "+60s", "1m5s"}, []string{"", "5s", "5.999s", "1h0m1s", "90m", "60", "1m 5s", "60s\n", "٦٠s", "1d", "9999999999h", "6.5s"}},
		parameter.ScaleDownDelay:     {[]string{"0", "0s", "1h"}, []string{"", "1.5s", "61m", "-1s", "15"}},
		parameter.Retention:          {[]string{"0s", "1ns", "1.5s", "1h"}, []string{"", "1h1ns", "-1ns", "5"}},
		parameter.ProgressDeadline:   {[]string{"1s", "24h"}, []string{"", "0s", "1.5s", "999999h", "24h1s", "-5m"}},
		parameter.ServiceName:        {[]string{"a", "a-1", strings.Repeat("a", 63)}, []string{"", "1a", "A", "a.b", "a_b", "a-", strings.Repeat("a", 64)}},
		parameter.CPUs:               {[]string{"1", "500m", "0.5", "1e3", "2k", "100k"}, []string{"", "0", "-1", "2 cores", "1e400x", "NaN", "16Gi", "512Mi"}},
		parameter.Memory:             {[]string{"16Gi", "1Mi", "1e9", "1073741824"}, []string{"", "0", "16GB", "16 Gi", "-1Gi", "512m", "16", "1", "1000k", "0.5"}},
		parameter.GPUs:               {[]string{"0", "1", "8"}, []string{"", "-1", "0.5", "500m", "1k", "1000m", "2Ki", "1e100", "9223372036854775808"}},
		parameter.GPUType:            {[]string{"NVIDIA-L4", "NVIDIA-A100-SXM4-80GB", "cloud.google.com/gke-accelerator: nvidia-l4", "pool: gpu"}, []string{"", "a b", "a=b", "nvidia.com/gpu.product:NVIDIA-L4", "nvidia.com/gpu.product: ", "a/b/c: d", ": NVIDIA-L4", strings.Repeat("a", 64)}},
		parameter.PriorityClassName:  {[]string{"high", "a.b"}, []string{"", "High", "a b", strings.Repeat("a", 254)}},
		parameter.QueueName:          {[]string{"q", "Q_1.a"}, []string{"", "a b", "-a", strings.Repeat("a", 64)}},
		parameter.ServiceAccountName: {[]string{"default"}, []string{"", "a/b"}},
		parameter.LaunchTimeout:      {[]string{"1s", "15m", "1.5s", "20h", "900", "72000", "1"}, []string{"", "0s", "21h", "0", "72001", "-900", "1d", "900 "}},
		parameter.Port:               {[]string{"1", "8080", "65535", "http", "http-api", "a"}, []string{"", "0", "65536", "-1", "+80", "8080 ", "a_b", "Http", strings.Repeat("a", 16)}},
		parameter.GPUAntiAffinity:    {[]string{"true"}, []string{"", "false", "True", "1"}},
		parameter.InactivityTTL:      {[]string{"1s", "9999h", "1d", "365d"}, []string{"", "0s", "0d", "d", "1.5d", "-1d", "1d12h", "99999999999999999999d", "900"}},
		parameter.Distribute:         {[]string{"pytorch", " ", "{}"}, []string{""}},
	}
	for p, test := range tests {
		t.Run(p.Name, func(t *testing.T) {
			for _, text := range test.good {
				assert.NoError(t, p.Type.Check(text), "%q", text)
				assert.True(t, p.Type.Same(text, text))
			}
			for _, text := range test.bad {
				assert.Error(t, p.Type.Check(text), "%q", text)
			}
		})
	}
	for _, p := range parameter.Table {
		assert.EqualError(t, p.Type.Check(""), "may not be empty; allowed: "+p.Type.Allowed, p.Name)
	}
}

func TestSame(t *testing.T) {
	tests := []struct {
		parameter *parameter.Parameter
		a, b      string
		same      bool
	}{
		{parameter.Window, "60s", "1m", true}, {parameter.Window, "60s", "61s", false}, {parameter.Window, "soon", "soon", true}, {parameter.Window, "soon", "later", false},
		{parameter.LaunchTimeout, "900", "15m", true}, {parameter.InactivityTTL, "1d", "24h", true}, {parameter.CPUs, "1000m", "1", true}, {parameter.Memory, "1024Mi", "1Gi", true}, {parameter.Memory, "1G", "1Gi", false},
		{parameter.MaxScale, "007", "7", true}, {parameter.Target, "1e2", "100", true}, {parameter.Utilization, "70.0", "70", true},
		{parameter.AutoscalerClass, "kpa", parameter.KPA, true}, {parameter.AutoscalerClass, "kpa", "hpa", false},
		{parameter.GPUType, "NVIDIA-L4", "nvidia.com/gpu.product: NVIDIA-L4", true}, {parameter.GPUType, "NVIDIA-L4", "cloud.google.com/gke-accelerator: NVIDIA-L4", false},
		{parameter.Metric, "cpu", "CPU", false}, {parameter.QueueName, "a", "b", false}, {parameter.MaxScale, "x", "x", true},
	}
	for _, test := range tests {
		assert.Equal(t, test.same, test.parameter.Type.Same(test.a, test.b), "%s: %s and %s", test.parameter.Name, test.a, test.b)
		assert.Equal(t, test.same, test.parameter.Type.Same(test.b, test.a), "%s: %s and %s", test.parameter.Name, test.b, test.a)
	}
}

func TestNearest(t *testing.T) {
	for key, want := range map[string]string{
		"autoscale.kubetorch.com/max_scale":         "autoscale.kubetorch.com/max-scale",
		"autoscale.kubetorch.com/maxScale":          "autoscale.kubetorch.com/max-scale",
		"autoscale.kubetorch.com/MaxScale":          "autoscale.kubetorch.com/max-scale",
		"autoscale.kubetorch.com/maxscale":          "autoscale.kubetorch.com/max-scale",
		"autoscale.kubetorch.com/min-replicas":      "autoscale.kubetorch.com/min-scale",
		"autoscale.kubetorch.com/targetUtilization": "autoscale.kubetorch.com/target-utilization",
		"compute.kubetorch.com/gpu":                 "compute.kubetorch.com/gpus",
		"compute.kubetorch.com/cpu":                 "compute.kubetorch.com/cpus",
		"compute.kubetorch.com/inactivityTTL":       "compute.kubetorch.com/inactivity-ttl",
		"autoscale.kubetorch.com/gpus":              "compute.kubetorch.com/gpus",
		"compute.kubetorch.com/maxScale":            "autoscale.kubetorch.com/max-scale",
	} {
		assert.Equal(t, want, parameter.Nearest(key), key)
	}
	for _, odd := range []string{"", "/", "compute.kubetorch.com/", strings.Repeat("x/", 5000), "compute.kubetorch.com/\xff"} {
		assert.NotEmpty(t, parameter.Nearest(odd))
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", time.Second: "1s", 90 * time.Second: "90s", 10 * time.Minute: "10m", time.Hour: "1h", 90 * time.Minute: "90m", 18 * time.Minute: "18m", 1500 * time.Millisecond: "1.5s", -time.Minute: "-60s"} {
		assert.Equal(t, want, parameter.Seconds(d))
	}
}
