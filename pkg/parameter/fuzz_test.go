package parameter

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"knative.dev/serving/pkg/apis/autoscaling"
	autoscalerconfig "knative.dev/serving/pkg/autoscaler/config"
)

// corpus are texts that some parser somewhere takes for something.
var corpus = []string{
	"", "0", "1", "-1", "+5", "007", "0x1p4", "1_0", "1e3", ".5", "5.", "NaN", "inf", "-Inf", "1e400", "0.01", "100.1", "80%", "٦٠", "１０", "10\n", " 10",
	"60s", "1m", "+60s", ".5m", "6000ms", "1h0m1s", "1.5s", "1ns", "1d", "1m 5s", "٦٠s", "9999999999h", "2562047h47m16.854775807s", "-0s",
	"1Gi", "1024Mi", "500m", "0.5", "1e100", "9223372036854775808", "1E", "1e", "1Ei", "-0", "0.0000000001",
	"kpa", "hpa.autoscaling.knative.dev", "rps", "vllm:num_requests_waiting", "a b", "a/b", "..", "%2f",
	"NVIDIA-L4", "nvidia.com/gpu.product: NVIDIA-L4", "a/b/c: x", ": ", "label: a: b", "\x00", "\xff", "ü",
}

// FuzzValues holds for every type and any two texts: nothing panics; comparing is
// reflexive and symmetric; and what is accepted means to Knative what it means here.
func FuzzValues(f *testing.F) {
	for i, text := range corpus {
		f.Add(text, corpus[(i+1)%len(corpus)])
	}
	f.Add("60s", "1m")
	f.Add("1000m", "1")
	f.Add("NVIDIA-L4", "nvidia.com/gpu.product: NVIDIA-L4")
	config, err := autoscalerconfig.NewConfigFromMap(map[string]string{"allow-zero-initial-scale": "true"})
	if err != nil {
		f.Fatal(err)
	}
	knative := func(t *testing.T, annotations map[string]string) {
		t.Helper()
		if err := autoscaling.ValidateAnnotations(t.Context(), config, annotations); err != nil {
			t.Errorf("accepted, and Knative says: %v", err)
		}
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, p := range Table {
			checkA, checkB := p.Type.Check(a), p.Type.Check(b)
			if !p.Type.Same(a, a) {
				t.Errorf("%s: %q is not the same as itself", p.Name, a)
			}
			same := p.Type.Same(a, b)
			if same != p.Type.Same(b, a) {
				t.Errorf("%s: %q and %q are the same in one order only", p.Name, a, b)
			}
			if checkA == nil && checkB == nil && same && meaning(p, a) != meaning(p, b) {
				t.Errorf("%s: %q and %q count as the same and mean %s and %s", p.Name, a, b, meaning(p, a), meaning(p, b))
			}
			if checkA == nil && checkB == nil && !same && p.Type != Quantity && meaning(p, a) == meaning(p, b) {
				t.Errorf("%s: %q and %q count as different and both mean %s", p.Name, a, b, meaning(p, a))
			}
			if checkA != nil {
				if strings.Contains(checkA.Error(), errMalformed.Error()) && !strings.Contains(a, errMalformed.Error()) {
					t.Errorf("%s: %q is refused without a reason: %v", p.Name, a, checkA)
				}
				continue
			}
			if strings.TrimSpace(a) != a && p != Distribute { // which is any text
				t.Errorf("%s: %q is accepted with white space around it", p.Name, a)
			}
			switch p {
			case Metric:
				class := autoscaling.HPA
				knative(t, map[string]string{autoscaling.ClassAnnotationKey: class, autoscaling.MetricAnnotationKey: a})
			case AutoscalerClass:
				full, _ := ParseClass(a)
				knative(t, map[string]string{autoscaling.ClassAnnotationKey: full})
			case Target:
				knative(t, map[string]string{autoscaling.TargetAnnotationKey: a})
			case Utilization:
				knative(t, map[string]string{autoscaling.TargetUtilizationPercentageKey: a})
			case MinScale, MaxScale, InitialScale:
				knative(t, map[string]string{autoscaling.MinScaleAnnotationKey: a, autoscaling.InitialScaleAnnotationKey: a})
				knative(t, map[string]string{autoscaling.MaxScaleAnnotationKey: a})
			case Window:
				knative(t, map[string]string{autoscaling.WindowAnnotationKey: a})
			case ScaleDownDelay:
				knative(t, map[string]string{autoscaling.ScaleDownDelayAnnotationKey: a})
			case Retention:
				knative(t, map[string]string{autoscaling.ScaleToZeroPodRetentionPeriodKey: a})
			case ProgressDeadline:
				if d, err := time.ParseDuration(a); err != nil || d%time.Second != 0 || int32(d.Seconds()) < 1 {
					t.Errorf("a Deployment cannot have the deadline %q", a)
				}
			}
		}
	})
}

// meaning is what a text that was accepted comes to, read by other code than the types'.
func meaning(p *Parameter, text string) string {
	switch p {
	case AutoscalerClass:
		return strings.TrimSuffix(text, ".autoscaling.knative.dev")
	case Target, Utilization:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return "not finite"
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case MinScale, MaxScale, InitialScale, Concurrency, GPUs:
		v, err := strconv.Atoi(text)
		if err != nil || v < 0 || v > math.MaxInt32 {
			return "out of range"
		}
		return strconv.Itoa(v)
	case Window, ScaleDownDelay, Retention, ProgressDeadline, LaunchTimeout, InactivityTTL:
		d, err := time.ParseDuration(text)
		if err != nil {
			return "no duration"
		}
		return d.String()
	case CPUs, Memory, DiskSize, GPUMemory, SharedMemoryLimit:
		q, err := resource.ParseQuantity(text)
		if err != nil || q.Sign() <= 0 {
			return "no amount"
		}
		return strconv.FormatFloat(q.AsApproximateFloat64(), 'g', -1, 64)
	case GPUType:
		if !strings.Contains(text, ": ") {
			text = DefaultGPUTypeLabel + ": " + text
		}
		return text
	}
	return text
}

// FuzzNearest asks for the known key most like any other.
func FuzzNearest(f *testing.F) {
	for _, key := range []string{"", "autoscale.kubetorch.com/", "autoscale.kubetorch.com/max_scale", "compute.kubetorch.com/GPU", "/", strings.Repeat("é", 300), "\xff/\xff"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if _, ok := Lookup(Nearest(key)); !ok {
			t.Errorf("the key nearest to %q is %q, which is unknown", key, Nearest(key))
		}
		if p, ok := Lookup(key); ok && Nearest(key) != p.Key() {
			t.Errorf("the key nearest to %q is %q", key, Nearest(key))
		}
	})
}
