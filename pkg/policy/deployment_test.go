package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

func TestDeploymentDemand(t *testing.T) {
	const unbounded = int64(workload.Unbounded)
	container := manifest.Object{"resources": manifest.Object{
		"requests": manifest.Object{"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "2"}, "limits": manifest.Object{"memory": "2Gi", "nvidia.com/gpu": "2"}}}
	pod := manifest.Object{"nodeSelector": manifest.Object{"nvidia.com/gpu.product": "NVIDIA-L4"}, "containers": []any{container, manifest.Object{"resources": manifest.Object{"limits": manifest.Object{"cpu": "1"}}}}}
	for name, c := range map[string]struct {
		replicas     any
		pods, claims int64
	}{
		"none is one":               {nil, 1, 2},
		"three":                     {int64(3), 3, 6},
		"zero":                      {int64(0), 0, 0},
		"a negative number":         {int64(-1), unbounded, unbounded},
		"text":                      {"3", unbounded, unbounded},
		"a fraction":                {1.5, unbounded, unbounded},
		"more than can be counted":  {int64(1) << 62, 1 << 62, unbounded},
		"as many as can be counted": {int64(1) << 40, 1 << 40, 1 << 41},
	} {
		t.Run(name, func(t *testing.T) {
			spec := manifest.Object{"template": manifest.Object{"spec": pod}}
			if c.replicas != nil {
				spec["replicas"] = c.replicas
			}
			d := workload.DeploymentUsage(manifest.Object{"spec": spec}, workload.Controlled{}, workload.BuiltInGPUResources)
			assert.True(t, d.Fixed)
			assert.Equal(t, []int64{c.pods, c.pods, c.claims, 2}, []int64{d.PeakPods, d.MinScale, d.Claim, d.GPUs.PerPod})
			assert.Equal(t, "NVIDIA-L4", d.GPUType)
			assert.Zero(t, d.CPUs.Cmp(resource.MustParse("1500m")))
			assert.Zero(t, d.Memory.Cmp(resource.MustParse("2Gi")))
			assert.Empty(t, d.Class)
			assert.Zero(t, d.Retention+d.ScaleDownDelay+d.ProgressDeadline)
		})
	}
}

func TestAnnotationsOfADeploymentAddNothingToItsDemand(t *testing.T) {
	d := workload.DeploymentUsage(manifest.Object{"spec": manifest.Object{"template": manifest.Object{
		"metadata": manifest.Object{"annotations": manifest.Object{"autoscaling.knative.dev/max-scale": "50", "queue.sidecar.serving.knative.dev/cpu-resource-limit": "9"}}}}}, workload.Controlled{}, workload.GPUResources{})
	assert.Equal(t, int64(1), d.PeakPods)
	assert.True(t, d.CPUs.IsZero())
}
