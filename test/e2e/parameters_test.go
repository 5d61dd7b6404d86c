package e2e

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestEveryAutoscaleParameterActs follows each parameter to the object that acts on it:
// the PodAutoscaler, the Deployment or, for hpa, the HorizontalPodAutoscaler.
func TestEveryAutoscaleParameterActs(t *testing.T) {
	t.Parallel()
	const as = "autoscale.kubetorch.com/"
	cpu := map[string]string{"compute.kubetorch.com/cpus": "2", "compute.kubetorch.com/memory": "4Gi"}
	for name, c := range map[string]struct {
		parameters map[string]string
		autoscaler map[string]string // annotations of the PodAutoscaler
		spec       map[string]any    // fields of the PodAutoscaler's spec
		deployment map[string]any    // fields of the Deployment's spec
	}{
		"autoscaler-class and metric": {
			parameters: map[string]string{as + "autoscaler-class": "kpa", as + "metric": "rps"},
			autoscaler: map[string]string{"class": "kpa.autoscaling.knative.dev", "metric": "rps", "target": "200"},
		},
		"target and target-utilization": {
			parameters: map[string]string{as + "target": "8", as + "target-utilization": "80"},
			autoscaler: map[string]string{"target": "8", "target-utilization-percentage": "80"},
		},
		"min-, max- and initial-scale": {
			parameters: map[string]string{as + "min-scale": "2", as + "max-scale": "6", as + "initial-scale": "3"},
			autoscaler: map[string]string{"min-scale": "2", "max-scale": "6", "initial-scale": "3"},
			deployment: map[string]any{"replicas": int64(3)},
		},
		"concurrency": {
			parameters: map[string]string{as + "concurrency": "5"},
			autoscaler: map[string]string{"target": "5"},
			spec:       map[string]any{"containerConcurrency": int64(5)},
		},
		"window, scale-down-delay and retention": {
			parameters: map[string]string{as + "window": "90s", as + "scale-down-delay": "2m", as + "scale-to-zero-pod-retention-period": "5m"},
			autoscaler: map[string]string{"window": "90s", "scale-down-delay": "2m", "scale-to-zero-pod-retention-period": "5m"},
		},
		"progress-deadline": {
			parameters: map[string]string{as + "progress-deadline": "15m"},
			deployment: map[string]any{"progressDeadlineSeconds": int64(900)},
		},
		"launch-timeout": {
			parameters: map[string]string{"compute.kubetorch.com/launch-timeout": "15m"},
			deployment: map[string]any{"progressDeadlineSeconds": int64(1080)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			_, err := create(t, ns, autoscaled("app", c.parameters))
			require.NoError(t, err)
			pa := eventually(t, autoscalers, ns, "app-00001")
			for key, want := range c.autoscaler {
				assert.Equal(t, want, pa.GetAnnotations()["autoscaling.knative.dev/"+key], key)
			}
			for key, want := range c.spec {
				got, _, _ := unstructured.NestedFieldNoCopy(pa.Object, "spec", key)
				assert.Equal(t, want, got, key)
			}
			d := eventually(t, deployments, ns, "app-00001-deployment")
			for key, want := range c.deployment {
				got, _, _ := unstructured.NestedFieldNoCopy(d.Object, "spec", key)
				assert.Equal(t, want, got, key)
			}
		})
	}

	for name, c := range map[string]struct {
		parameters map[string]string
		metric     map[string]any
		spec       map[string]any
	}{
		"hpa cpu is a percentage of the request": {
			parameters: map[string]string{as + "metric": "cpu", as + "target": "80", as + "min-scale": "2", as + "max-scale": "20"},
			metric: map[string]any{"type": "Resource", "resource": map[string]any{"name": "cpu",
				"target": map[string]any{"type": "Utilization", "averageUtilization": int64(80)}}},
			spec: map[string]any{"minReplicas": int64(2), "maxReplicas": int64(20)},
		},
		"hpa memory is turned into Mi of the request": {
			parameters: map[string]string{as + "metric": "memory", as + "target": "70"},
			metric: map[string]any{"type": "Resource", "resource": map[string]any{"name": "memory",
				"target": map[string]any{"type": "AverageValue", "averageValue": "2867Mi"}}},
			spec: map[string]any{"minReplicas": int64(1), "maxReplicas": int64(10)},
		},
		"hpa scales on a custom metric": {
			parameters: map[string]string{as + "metric": "DCGM_FI_DEV_GPU_UTIL", as + "target": "80"},
			metric: map[string]any{"type": "Pods", "pods": map[string]any{"metric": map[string]any{"name": "DCGM_FI_DEV_GPU_UTIL"},
				"target": map[string]any{"type": "AverageValue", "averageValue": "80"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			u := autoscaled("app", map[string]string{as + "autoscaler-class": "hpa"})
			annotations := u.GetAnnotations()
			for _, more := range []map[string]string{cpu, c.parameters} {
				maps.Copy(annotations, more)
			}
			u.SetAnnotations(annotations)
			_, err := create(t, ns, u)
			require.NoError(t, err)
			hpa := eventually(t, hpas, ns, "app-00001")
			metrics, _, err := unstructured.NestedSlice(hpa.Object, "spec", "metrics")
			require.NoError(t, err)
			assert.Equal(t, []any{c.metric}, metrics)
			for key, want := range c.spec {
				got, _, _ := unstructured.NestedFieldNoCopy(hpa.Object, "spec", key)
				assert.Equal(t, want, got, key)
			}
		})
	}
}

func TestEveryComputeParameterArrivesOnThePod(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	const cp = "compute.kubetorch.com/"
	_, _, err := kubectl(t, "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: e2e-high}\nvalue: 1000\n", "apply", "-f", "-")
	require.NoError(t, err)
	_, _, err = kubectl(t, "", "create", "serviceaccount", "runner", "-n", ns)
	require.NoError(t, err)
	_, err = create(t, ns, autoscaled("app", map[string]string{
		cp + "cpus": "2", cp + "memory": "8Gi", cp + "disk-size": "20Gi", cp + "gpus": "2", cp + "gpu-type": "NVIDIA-L4", cp + "gpu-memory": "10Gi",
		cp + "shared-memory-limit": "1Gi", cp + "priority-class-name": "e2e-high", cp + "queue-name": "team-a", cp + "service-account-name": "runner",
		cp + "inactivity-ttl": "1h",
	}))
	require.NoError(t, err)
	assert.Equal(t, "1h", get(t, services, ns, "app").GetAnnotations()["kubetorch.com/inactivity-ttl"])

	d := eventually(t, deployments, ns, "app-00001-deployment")
	template := d.Object["spec"].(map[string]any)["template"].(map[string]any)
	metadata := template["metadata"].(map[string]any)
	assert.Equal(t, "10Gi", metadata["annotations"].(map[string]any)["gpu-memory"])
	assert.Equal(t, "team-a", metadata["labels"].(map[string]any)["kueue.x-k8s.io/queue-name"])
	pod := template["spec"].(map[string]any)
	assert.Equal(t, "e2e-high", pod["priorityClassName"])
	assert.Equal(t, "runner", pod["serviceAccountName"])
	assert.Equal(t, map[string]any{"nvidia.com/gpu.product": "NVIDIA-L4"}, pod["nodeSelector"])
	assert.Equal(t, []any{
		map[string]any{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
		map[string]any{"key": "dedicated", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
	}, pod["tolerations"])
	container := pod["containers"].([]any)[0].(map[string]any)
	assert.Equal(t, map[string]any{
		"requests": map[string]any{"cpu": "2", "memory": "8Gi", "ephemeral-storage": "20Gi", "nvidia.com/gpu": "2"},
		"limits":   map[string]any{"nvidia.com/gpu": "2"},
	}, container["resources"])
	assert.Contains(t, container["volumeMounts"], map[string]any{"name": "dshm", "mountPath": "/dev/shm"})
	assert.Contains(t, pod["volumes"], map[string]any{"name": "dshm", "emptyDir": map[string]any{"medium": "Memory", "sizeLimit": "1Gi"}})
}
