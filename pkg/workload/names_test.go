package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/workload"
)

// counts is what a pod's resource names come to.
type counts struct {
	gpus     int64
	unknown  int
	unlisted []string
}

func of(c workload.GPUCount) counts {
	n := counts{gpus: c.PerPod, unknown: len(c.Unknown)}
	for _, e := range c.Unlisted {
		n.unlisted = append(n.unlisted, e.BadValue.(string))
	}
	return n
}

func TestQualifiersOfAGPUCountNothingBesideIt(t *testing.T) {
	for name, pod := range map[string]string{
		"Intel GPU Aware Scheduling":   `{gpu.intel.com/i915: 1, gpu.intel.com/memory.max: 500M, gpu.intel.com/millicores: 100}`,
		"Intel tiles":                  `{gpu.intel.com/xe: 1, gpu.intel.com/tiles: 2}`,
		"Intel monitoring":             `{gpu.intel.com/i915: 1, gpu.intel.com/i915_monitoring: 1}`,
		"HAMi":                         `{nvidia.com/gpu: 1, nvidia.com/gpumem: 8000, nvidia.com/gpucores: 50}`,
		"HAMi by percent":              `{nvidia.com/gpu: 1, nvidia.com/gpumem-percentage: 50, nvidia.com/priority: 1}`,
		"Volcano's virtual GPUs":       `{volcano.sh/vgpu-number: 1, volcano.sh/vgpu-memory: 3000, volcano.sh/vgpu-cores: 50}`,
		"Volcano's memory by percent":  `{volcano.sh/vgpu-number: 1, volcano.sh/vgpu-memory-percentage: 50}`,
		"Aliyun's memory alone":        `{aliyun.com/gpu-mem: 3}`,
		"Aliyun's memory in fractions": `{aliyun.com/gpu-mem: 5.5, aliyun.com/gpu-core.percentage: 25}`,
		"HAMi's memory alone":          `{nvidia.com/gpumem: 8000}`,
		"HAMi's memory beside 0 GPUs":  `{nvidia.com/gpu: 0, nvidia.com/gpumem: 8000}`,
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, counts{gpus: 1}, of(count(limits(pod), workload.BuiltInGPUResources)))
		})
	}
	assert.Equal(t, counts{}, of(count(limits(`{gpu.intel.com/i915_monitoring: 1}`), workload.BuiltInGPUResources)), "monitoring is of no GPU")
	assert.Equal(t, counts{}, of(count(limits(`{nvidia.com/gpumem: 0}`), workload.BuiltInGPUResources)), "no share at all")
	shares := read(`{containers: [{resources: {limits: {nvidia.com/gpumem: 100}}}, {resources: {limits: {nvidia.com/gpu: 2, nvidia.com/gpumem: 100}}}]}`)
	assert.Equal(t, counts{gpus: 3}, of(count(shares, workload.BuiltInGPUResources)), "each container has its own")
}

func TestAcceleratorsCountWhereAPolicyListsThem(t *testing.T) {
	for _, name := range []string{"google.com/tpu", "habana.ai/gaudi", "aws.amazon.com/neuron", "aws.amazon.com/neuroncore", "huawei.com/Ascend910B", "huawei.com/Ascend310P",
		"cambricon.com/vmlu", "hygon.com/dcunum", "enflame.com/gcu", "qualcomm.com/qaic", "furiosa.ai/npu", "rebellions.ai/ATOM", "tenstorrent.com/n150", "kunlunxin.com/xpu"} {
		pod := limits(`{` + name + `: 4}`)
		assert.Equal(t, counts{unlisted: []string{name}}, of(count(pod, workload.BuiltInGPUResources)), name)
		listed := workload.NewGPUResources(workload.Counting{Listed: []workload.ListedGPU{{Name: name}}})
		assert.Equal(t, counts{gpus: 4}, of(count(pod, listed)), "%s as a policy lists it", name)
	}
	ascend := workload.NewGPUResources(workload.Counting{Listed: []workload.ListedGPU{{Name: "huawei.com/Ascend910B"}}})
	assert.Equal(t, counts{gpus: 1}, of(count(limits(`{huawei.com/Ascend910B: 1, huawei.com/Ascend910B-memory: 16384}`), ascend)), "HAMi's memory qualifies it")
	both := read(`{initContainers: [{resources: {limits: {google.com/tpu: 1}}}], containers: [{resources: {limits: {habana.ai/gaudi: 8}, requests: {habana.ai/gaudi: 8}}}]}`)
	assert.Equal(t, counts{unlisted: []string{"google.com/tpu", "habana.ai/gaudi"}}, of(count(both, workload.BuiltInGPUResources)), "each once")
}

func TestWhatPoliciesListDecides(t *testing.T) {
	listed := func(names ...string) []workload.ListedGPU {
		var all []workload.ListedGPU
		for _, name := range names {
			all = append(all, workload.ListedGPU{Name: name})
		}
		return all
	}
	for name, test := range map[string]struct {
		counting workload.Counting
		pod      string
		want     counts
	}{
		"a qualifier that a policy lists stays one": {workload.Counting{Listed: listed("nvidia.com/gpu", "nvidia.com/gpumem", "nvidia.com/gpucores")},
			`{nvidia.com/gpu: 1, nvidia.com/gpumem: 8000, nvidia.com/gpucores: 50}`, counts{gpus: 1}},
		"one behind a pattern too": {workload.Counting{Listed: listed("gpu.intel.com/*")}, `{gpu.intel.com/i915: 1, gpu.intel.com/memory.max: 500M}`, counts{gpus: 1}},
		"with a weight of its own it counts": {workload.Counting{Listed: []workload.ListedGPU{{Name: "aliyun.com/gpu-mem", GPUs: weight("1/24"), Weighted: true}}},
			`{aliyun.com/gpu-mem: 36}`, counts{gpus: 2}},
		"a name that is no count":                      {workload.Counting{Not: []string{"acme.com/gpu-class"}}, `{acme.com/gpu-class: 7}`, counts{}},
		"by a pattern":                                 {workload.Counting{Not: []string{"acme.com/gpu*"}}, `{acme.com/gpu-class: 7, acme.com/gpumem: 9}`, counts{}},
		"a share that is taken out brings no GPU":      {workload.Counting{Not: []string{"aliyun.com/gpu-mem"}}, `{aliyun.com/gpu-mem: 3}`, counts{}},
		"what counts somewhere counts":                 {workload.Counting{Listed: listed("acme.com/gpu"), Not: []string{"acme.com/gpu"}}, `{acme.com/gpu: 2}`, counts{gpus: 2}},
		"a closer pattern holds":                       {workload.Counting{Listed: listed("acme.com/gpu*"), Not: []string{"acme.com/gpu-mem*"}}, `{acme.com/gpu-mem: 9, acme.com/gpu-a: 2}`, counts{gpus: 2}},
		"a built-in GPU cannot be taken out":           {workload.Counting{Not: []string{"nvidia.com/*", "nvidia.com/mig-1g.5gb", "nvidia.com/gpu"}}, `{nvidia.com/gpu: 1, nvidia.com/mig-1g.5gb: 1}`, counts{gpus: 2}},
		"the closest weight holds":                     {workload.Counting{Listed: []workload.ListedGPU{{Name: "nvidia.com/mig-*", GPUs: weight("1/2")}, {Name: "nvidia.com/mig-1g.10gb", GPUs: weight("1/7")}}}, `{nvidia.com/mig-1g.10gb: 7, nvidia.com/mig-3g.40gb: 2}`, counts{gpus: 2}},
		"of two weights of one name the larger":        {workload.Counting{Listed: []workload.ListedGPU{{Name: "nvidia.com/gpu.shared", GPUs: weight("1/4")}, {Name: "nvidia.com/gpu.shared"}}}, `{nvidia.com/gpu.shared: 4}`, counts{gpus: 4}},
		"a card with two GPUs":                         {workload.Counting{Listed: []workload.ListedGPU{{Name: "acme.com/dual-gpu", GPUs: weight("2")}}}, `{acme.com/dual-gpu: 3}`, counts{gpus: 6}},
		"a share counts as what it is a share of does": {workload.Counting{Listed: []workload.ListedGPU{{Name: "nvidia.com/gpu", GPUs: weight("3")}}}, `{nvidia.com/gpumem: 100}`, counts{gpus: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, of(count(limits(test.pod), workload.NewGPUResources(test.counting))))
		})
	}
}

func TestWhatCannotBeCountedNamesBothFields(t *testing.T) {
	assert.Equal(t, []string{
		"spec.containers[0].resources.limits[acme.example/gpu]: Forbidden: looks like a GPU resource that no policy's gpuResources lists, so it cannot be counted; the platform team lists it there, or in notGPUResources if it is no number of GPUs",
		"spec.containers[0].resources.limits[deviceclass.resource.kubernetes.io/h100]: Forbidden: devices of DeviceClass h100, which no policy lists, cannot be counted as GPUs; the platform team lists it in gpuDeviceClasses, or in notGPUDeviceClasses if it has none",
	}, texts(count(limits(`{acme.example/gpu: 1, deviceclass.resource.kubernetes.io/h100: 1}`), workload.BuiltInGPUResources).Unknown))
}
