// GPUs under any vendor's name, known or not.

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

func TestGPUsOfEveryVendorCountOrAreRefused(t *testing.T) {
	counted := []string{
		"nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.5gb", "nvidia.com/mig-3g.20gb.me", "amd.com/gpu", "amd.com/cpx_nps4", "amd.com/spx_nps1",
		"gpu.intel.com/i915", "gpu.intel.com/xe", "volcano.sh/vgpu-number",
		// Shares that bring one GPU where nothing else does.
		"nvidia.com/gpumem", "nvidia.com/gpumem-percentage", "nvidia.com/gpucores", "volcano.sh/gpu-memory", "aliyun.com/gpu-mem", "aliyun.com/gpu-core.percentage",
	}
	// Virtual GPUs of device plugins, and names that nobody has heard of.
	flagged := []string{
		"nvidia.com/vgpu", "nvidia.com/GPU", "nvidia.com/gpu-h100", "amd.com/gpu.shared", "metax-tech.com/gpu", "mthreads.com/vgpu", "iluvatar.ai/vgpu",
		"gpu.intel.com/other", "acme.example/gpu", "acme.example/vGPU", "nvidia.com/gpumemory",
	}
	others := []string{"cpu", "memory", "nvidia.com/migration", "example.com/fpga", "smarter-devices/fuse", "gpu", "amd.com/cpx",
		"gpu.intel.com/memory.max", "gpu.intel.com/millicores", "gpu.intel.com/tiles", "gpu.intel.com/i915_monitoring", "gpu.intel.com/xe_monitoring", "nvidia.com/priority"}
	pod := func(resource string) map[string]any {
		return map[string]any{"containers": []any{map[string]any{"resources": map[string]any{"limits": map[string]any{resource: int64(1)}}}}}
	}
	type counts struct {
		gpus    int64
		unknown int
	}
	for want, names := range map[counts][]string{{gpus: 1}: counted, {unknown: 1}: flagged, {}: others} {
		for _, name := range names {
			got := workload.CountGPUs(pod(name), field.NewPath("spec"), gpus())
			assert.Equal(t, want, counts{got.PerPod, len(got.Unknown)}, name)
		}
	}
	assert.Equal(t, []string{"spec.containers[0].resources.limits[acme.example/gpu]: Forbidden: looks like a GPU resource that no policy's gpuResources lists, so it cannot be counted; the platform team lists it there, or in notGPUResources if it is no number of GPUs"},
		texts(workload.CountGPUs(pod("acme.example/gpu"), field.NewPath("spec"), gpus()).Unknown))
}

func TestGPUResourcesOfPolicies(t *testing.T) {
	set := policy.Compile(policies(`{metadata: {name: a}, spec: {gpuResources: [acme.example/vgpu, "acme.example/gpu-*"]}}`, `{metadata: {name: b}, spec: {priority: 1, gpuResources: [amd.com/gpu]}}`))
	got := workload.CountGPUs(read(`{containers: [{resources: {limits: {acme.example/vgpu: 1, acme.example/gpu-half: 2, acme.example/gpus: 4}}}]}`), field.NewPath("spec"), set.GPUResources())
	assert.Equal(t, int64(3), got.PerPod)
	assert.Len(t, got.Unknown, 1, "a name that only resembles a listed one")
	assert.Equal(t, "amd.com/gpu", set.For(policy.Subject{NamespaceKnown: true}).GPUResource(), "the first one of the policy with the highest priority")
	assert.Equal(t, "nvidia.com/gpu", policy.Compile(nil).For(policy.Subject{}).GPUResource())
}
