package e2e

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// seedExamples are the examples of kubetorch's guide to autoscaling, with what the
// PodAutoscaler of each has to say.
var seedExamples = map[string]struct {
	compute, autoscale map[string]string
	want               map[string]string // beside the defaults of kpa
	deadline, replicas int64
}{
	"basic configuration": {
		compute:   map[string]string{"cpus": "2", "gpus": "1", "memory": "8Gi"},
		autoscale: map[string]string{"min-scale": "1", "max-scale": "10", "target": "10"},
		want:      map[string]string{"min-scale": "1", "target": "10"},
		deadline:  600, replicas: 1,
	},
	"concurrency-based scaling": {
		compute:   map[string]string{"cpus": "2", "gpus": "1"},
		autoscale: map[string]string{"metric": "concurrency", "target": "10", "target-utilization": "70", "min-scale": "1", "max-scale": "20"},
		want:      map[string]string{"min-scale": "1", "max-scale": "20", "target": "10"},
		deadline:  600, replicas: 1,
	},
	"rps-based scaling": {
		compute:   map[string]string{"cpus": "2", "gpus": "1"},
		autoscale: map[string]string{"metric": "rps", "target": "100", "target-utilization": "80", "min-scale": "2", "max-scale": "50"},
		want:      map[string]string{"metric": "rps", "target": "100", "target-utilization-percentage": "80", "min-scale": "2", "max-scale": "50", "initial-scale": "2"},
		deadline:  600, replicas: 2,
	},
	"concurrency limiting": {
		compute:   map[string]string{"cpus": "2", "gpus": "1"},
		autoscale: map[string]string{"concurrency": "5", "target": "5", "min-scale": "1", "max-scale": "10"},
		want:      map[string]string{"target": "5", "min-scale": "1"},
		deadline:  600, replicas: 1,
	},
	"scale to zero": {
		compute:   map[string]string{"cpus": "2", "gpus": "1"},
		autoscale: map[string]string{"min-scale": "0", "scale-to-zero-pod-retention-period": "5m", "scale-down-delay": "2m"},
		want:      map[string]string{"scale-to-zero-pod-retention-period": "5m", "scale-down-delay": "2m"},
		deadline:  600, replicas: 1,
	},
	"scaling timing": {
		compute:   map[string]string{"cpus": "2", "gpus": "1"},
		autoscale: map[string]string{"window": "60s", "scale-down-delay": "5m", "initial-scale": "3", "min-scale": "1", "max-scale": "20"},
		want:      map[string]string{"scale-down-delay": "5m", "initial-scale": "3", "min-scale": "1", "max-scale": "20"},
		deadline:  600, replicas: 3,
	},
	"complete configuration": {
		compute: map[string]string{"cpus": "4", "gpus": "1", "memory": "16Gi"},
		autoscale: map[string]string{"min-scale": "1", "max-scale": "50", "initial-scale": "2", "metric": "concurrency", "target": "10", "target-utilization": "70",
			"concurrency": "20", "window": "60s", "scale-down-delay": "2m", "scale-to-zero-pod-retention-period": "10m", "progress-deadline": "15m"},
		want:     map[string]string{"min-scale": "1", "max-scale": "50", "initial-scale": "2", "target": "10", "scale-down-delay": "2m"},
		deadline: 900, replicas: 2,
	},
	"inference service": {
		compute:   map[string]string{"cpus": "4", "gpus": "1", "memory": "16Gi"},
		autoscale: map[string]string{"min-scale": "1", "max-scale": "10", "target": "5", "concurrency": "10", "scale-down-delay": "5m"},
		want:      map[string]string{"min-scale": "1", "target": "5", "scale-down-delay": "5m"},
		deadline:  600, replicas: 1,
	},
	"batch processing with scale to zero": {
		compute:   map[string]string{"cpus": "8", "memory": "32Gi"},
		autoscale: map[string]string{"min-scale": "0", "max-scale": "20", "metric": "rps", "target": "50", "scale-to-zero-pod-retention-period": "2m"},
		want:      map[string]string{"metric": "rps", "target": "50", "max-scale": "20", "scale-to-zero-pod-retention-period": "2m"},
		deadline:  600, replicas: 1,
	},
}

var kpaDefaults = map[string]string{
	"class": "kpa.autoscaling.knative.dev", "metric": "concurrency", "target": "100", "target-utilization-percentage": "70",
	"min-scale": "0", "max-scale": "10", "initial-scale": "1", "window": "60s", "scale-down-delay": "1m", "scale-to-zero-pod-retention-period": "10m",
}

func parameters(compute, autoscale map[string]string) map[string]string {
	all := map[string]string{}
	for k, v := range compute {
		all["compute.kubetorch.com/"+k] = v
	}
	for k, v := range autoscale {
		all["autoscale.kubetorch.com/"+k] = v
	}
	return all
}

func TestEverySeedExampleReachesKnativesAutoscaler(t *testing.T) {
	t.Parallel()
	for name, c := range seedExamples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			_, err := create(t, ns, autoscaled("app", parameters(c.compute, c.autoscale)))
			require.NoError(t, err)
			want := maps.Clone(kpaDefaults)
			maps.Copy(want, c.want)
			pa := eventually(t, autoscalers, ns, "app-00001")
			for key, value := range want {
				assert.Equal(t, value, pa.GetAnnotations()["autoscaling.knative.dev/"+key], key)
			}
			d := eventually(t, deployments, ns, "app-00001-deployment")
			deadline, _, _ := unstructured.NestedInt64(d.Object, "spec", "progressDeadlineSeconds")
			replicas, _, _ := unstructured.NestedInt64(d.Object, "spec", "replicas")
			assert.Equal(t, c.deadline, deadline, "progressDeadlineSeconds")
			assert.Equal(t, c.replicas, replicas, "replicas")
			require.NoError(t, cluster.MakeReady(t.Context(), ns, "app"))
		})
	}
}

func TestTheSeedsHPAExamplesReachAHorizontalPodAutoscaler(t *testing.T) {
	t.Parallel()
	resource := func(name string, target map[string]any) []any {
		return []any{map[string]any{"type": "Resource", "resource": map[string]any{"name": name, "target": target}}}
	}
	for name, c := range map[string]struct {
		compute, autoscale map[string]string
		minimum, maximum   int64
		metrics            []any
	}{
		"cpu-based scaling": {
			compute:   map[string]string{"cpus": "4", "memory": "8Gi"},
			autoscale: map[string]string{"autoscaler-class": "hpa.autoscaling.knative.dev", "metric": "cpu", "target": "80", "min-scale": "2", "max-scale": "20"},
			minimum:   2, maximum: 20,
			metrics: resource("cpu", map[string]any{"type": "Utilization", "averageUtilization": int64(80)}),
		},
		"memory-based scaling": {
			compute:   map[string]string{"cpus": "2", "memory": "16Gi"},
			autoscale: map[string]string{"autoscaler-class": "hpa.autoscaling.knative.dev", "metric": "memory", "target": "70", "min-scale": "1", "max-scale": "10"},
			minimum:   1, maximum: 10,
			metrics: resource("memory", map[string]any{"type": "AverageValue", "averageValue": "11468Mi"}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			_, err := create(t, ns, autoscaled("app", parameters(c.compute, c.autoscale)))
			require.NoError(t, err)
			hpa := eventually(t, hpas, ns, "app-00001")
			minimum, _, _ := unstructured.NestedInt64(hpa.Object, "spec", "minReplicas")
			maximum, _, _ := unstructured.NestedInt64(hpa.Object, "spec", "maxReplicas")
			metrics, _, _ := unstructured.NestedSlice(hpa.Object, "spec", "metrics")
			assert.Equal(t, c.minimum, minimum)
			assert.Equal(t, c.maximum, maximum)
			assert.Equal(t, c.metrics, metrics)
		})
	}
}
