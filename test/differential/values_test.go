package differential

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// Texts that some parser somewhere takes for something.
var (
	oddNumbers = []string{
		"", "0", "3", "4", " 10", "10 ", "10\n", "+5", "-1", "-0", "007", "0x1p4", "0x10", "1_0", "1e3", "1E3", ".5", "5.", "0.5", "0.7", "0.99", "100.1",
		"NaN", "nan", "Inf", "-Inf", "+Inf", "infinity", "1e400", "1e-400", "0.01", "0.0099", "2147483647", "2147483648", "99999999999",
		"9223372036854775808", "99999999999999999999", "80%", "٦٠", "１０", "1,5", "true", "null", "1 0", "1e2s",
	}
	oddDurations = []string{
		"", "60", "0", "0s", "-0s", "-1s", "+60s", ".5m", "0.1h", "6000ms", "90000ms", "5.999s", "6s", "1h", "1h0m1s", "90m", "1.5s", "1ns", "1d",
		"60S", " 60s", "60s ", "60s\n", "60 s", "1m 5s", "٦٠s", "9999999999h", "999999h", "1_0s", "1e2s", "23h59m59s", "24h", "25h", "600s", "1m5s",
	}
	oddQuantities = []string{
		"", "0", "-1", "0.5", "500m", "1k", "1e3", "1e100", "1Gi", "1024Mi", "9223372036854775808", "1.5Gi", "1500M", "2Gi ", "NaN", "1gi", "1 Gi",
		"1Ei", "0.0000001", "100", "+2",
	}
	oddNames = []string{"", "a b", "UPPER", "a_b", "nvidia.com/gpu.product: NVIDIA-L4", "label:nospace", "a/b/c: x", ": NVIDIA-L4", "k: ", "ok.name", "-x", "ü", "vllm:num_requests"}
)

// pool is what may stand for a parameter: healthy texts, and any.
type pool struct{ good, odd []string }

var pools = map[*parameter.Parameter]pool{
	parameter.AutoscalerClass:    {[]string{"kpa", "hpa", parameter.KPA, parameter.HPA}, []string{"", "KPA", "keda.autoscaling.knative.dev", "KPA.autoscaling.knative.dev", "kpa.autoscaling.knative.dev ", "keda.sh", "kpa", "hpa"}},
	parameter.Metric:             {[]string{"concurrency", "rps"}, []string{"", "cpu", "memory", "queue_depth", "CPU", "a b/ç", "rps ", "concurrency", "rps", "vllm:num_requests_waiting"}},
	parameter.Target:             {[]string{"1", "10", "2.5", "80", "150", "1e2"}, oddNumbers},
	parameter.Utilization:        {[]string{"1", "50", "70", "85.5", "100"}, oddNumbers},
	parameter.MinScale:           {[]string{"0", "1", "2"}, oddNumbers},
	parameter.MaxScale:           {[]string{"3", "4", "5", "6"}, oddNumbers},
	parameter.InitialScale:       {[]string{"1", "2", "3"}, oddNumbers},
	parameter.Concurrency:        {[]string{"1", "4", "8"}, append(slices.Clone(oddNumbers), "1000", "1001", "101")},
	parameter.Window:             {[]string{"6s", "60s", "1m", "1h", "90s"}, oddDurations},
	parameter.ScaleDownDelay:     {[]string{"0s", "15m", "60s", "1h"}, oddDurations},
	parameter.Retention:          {[]string{"0s", "10m", "1.5s", "1h"}, oddDurations},
	parameter.ProgressDeadline:   {[]string{"600s", "20m", "1h"}, oddDurations},
	parameter.Port:               {[]string{"8080", "http"}, oddNames},
	parameter.ServiceName:        {[]string{"other"}, oddNames},
	parameter.CPUs:               {[]string{"500m", "1", "0.4"}, oddQuantities},
	parameter.Memory:             {[]string{"100M", "150Mi", "128Mi"}, oddQuantities},
	parameter.DiskSize:           {[]string{"500M", "600M"}, oddQuantities},
	parameter.GPUs:               {[]string{"0", "1", "2", "8"}, append(slices.Clone(oddNumbers), "500m")},
	parameter.GPUType:            {[]string{"NVIDIA-L4", "NVIDIA-A100-SXM4-80GB", "cloud.google.com/gke-accelerator: nvidia-l4"}, oddNames},
	parameter.GPUAntiAffinity:    {nil, []string{"true", "", "false"}},
	parameter.GPUMemory:          {[]string{"16Gi", "4096Mi"}, oddQuantities},
	parameter.SharedMemoryLimit:  {[]string{"2Gi", "512Mi"}, oddQuantities},
	parameter.PriorityClassName:  {[]string{"high"}, oddNames},
	parameter.QueueName:          {[]string{"team-a"}, oddNames},
	parameter.ServiceAccountName: {[]string{"runner", "default"}, oddNames},
	parameter.LaunchTimeout:      {[]string{"15m", "900s", "1s", "2h"}, oddDurations},
	parameter.InactivityTTL:      {[]string{"1h", "30m"}, oddDurations},
	parameter.Distribute:         {nil, []string{"pytorch", ""}},
}

// nativeKeys are the template annotations that say the same as a parameter, canonical
// spelling first.
var nativeKeys = map[*parameter.Parameter][]string{
	parameter.AutoscalerClass:  {knative.ClassKey},
	parameter.Metric:           {knative.MetricKey},
	parameter.Target:           {knative.TargetKey},
	parameter.Utilization:      {knative.UtilizationKey, "autoscaling.knative.dev/targetUtilizationPercentage"},
	parameter.MinScale:         {knative.MinScaleKey, "autoscaling.knative.dev/minScale"},
	parameter.MaxScale:         {knative.MaxScaleKey, "autoscaling.knative.dev/maxScale"},
	parameter.InitialScale:     {knative.InitialScaleKey, "autoscaling.knative.dev/initialScale"},
	parameter.Window:           {knative.WindowKey},
	parameter.ScaleDownDelay:   {knative.ScaleDownDelayKey, "autoscaling.knative.dev/scaleDownDelay"},
	parameter.Retention:        {knative.RetentionKey, "autoscaling.knative.dev/scaleToZeroPodRetentionPeriod"},
	parameter.ProgressDeadline: {knative.ProgressDeadlineKey},
}

// otherAnnotations are template annotations that no parameter lands in.
var otherAnnotations = []struct {
	key  string
	good []string
	odd  []string
}{
	{"autoscaling.knative.dev/activation-scale", []string{"2", "3"}, oddNumbers},
	{"autoscaling.knative.dev/panic-window-percentage", []string{"10"}, oddNumbers},
	{"autoscaling.knative.dev/panicThresholdPercentage", []string{"200"}, oddNumbers},
	{"autoscaling.knative.dev/target-burst-capacity", []string{"-1", "0", "100"}, oddNumbers},
	{"autoscaling.knative.dev/metric-aggregation-algorithm", []string{"linear", "weighted-exponential"}, []string{"foo", "", "weightedExponential"}},
	{"autoscaling.knative.dev/min_replicas", nil, []string{"1"}},
	{"queue.sidecar.serving.knative.dev/cpu-resource-request", []string{"100m"}, oddQuantities},
	{"queue.sidecar.serving.knative.dev/resource-percentage", []string{"10"}, oddNumbers},
	{"example.com/note", []string{"a note", ""}, []string{"\u2028", "\x00"}},
}

// labelValue tells whether a text can stand in a label.
func labelValue(text string) bool { return len(validation.IsValidLabelValue(text)) == 0 }
