package workload

import (
	"regexp"
	"slices"
	"strings"
)

// DefaultGPUResource is what the parameter gpus asks for unless a policy says otherwise.
const DefaultGPUResource = "nvidia.com/gpu"

// builtInGPUs count as GPUs everywhere, one each. A trailing * matches any suffix.
//
// Sources: NVIDIA k8s-device-plugin (README, "Shared access" and "mig.strategy"), ROCm
// k8s-device-plugin ("resource naming strategy"), Intel device plugins for Kubernetes
// (cmd/gpu_plugin), Volcano ("GPU virtualization" and "GPU number").
var builtInGPUs = []string{
	"nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-*",
	"amd.com/gpu", "amd.com/spx_*", "amd.com/dpx_*", "amd.com/tpx_*", "amd.com/qpx_*", "amd.com/cpx_*",
	"gpu.intel.com/i915", "gpu.intel.com/xe",
	"volcano.sh/vgpu-number", "volcano.sh/gpu-number",
}

// qualifier is a resource that says how much of a GPU, or what beside it, a container gets.
type qualifier struct {
	name string // a trailing * matches any suffix
	// shareOf is the GPU that a container gets where it asks for the share alone; empty for
	// what brings no GPU by itself.
	shareOf string
}

// builtInQualifiers count nothing beside a GPU of the same container.
//
// Sources: HAMi (charts/hami, device-config.yaml), Volcano's device plugins, Aliyun's
// gpushare scheduler extender and device plugin, Intel GPU Aware Scheduling
// (resources of the GPU plugin's NFD rules).
var builtInQualifiers = []qualifier{
	{"nvidia.com/gpumem", DefaultGPUResource}, {"nvidia.com/gpumem-percentage", DefaultGPUResource},
	{"nvidia.com/gpucores", DefaultGPUResource}, {"nvidia.com/priority", ""},
	{"volcano.sh/vgpu-memory", DefaultGPUResource}, {"volcano.sh/vgpu-memory-percentage", DefaultGPUResource},
	{"volcano.sh/vgpu-cores", DefaultGPUResource}, {"volcano.sh/gpu-memory", DefaultGPUResource},
	{"aliyun.com/gpu-mem", DefaultGPUResource}, {"aliyun.com/gpu-core.percentage", DefaultGPUResource},
	{"aliyun.com/gpu-core.tflops", DefaultGPUResource},
	{"gpu.intel.com/memory.max", ""}, {"gpu.intel.com/millicores", ""}, {"gpu.intel.com/tiles", ""},
	{"gpu.intel.com/i915_monitoring", ""}, {"gpu.intel.com/xe_monitoring", ""}, {"gpu.intel.com/monitoring", ""},
	{"hygon.com/dcumem", ""}, {"hygon.com/dcucores", ""}, {"hygon.com/hcumem", ""}, {"hygon.com/hcucores", ""},
	{"cambricon.com/mlu.smlu.vcore", ""}, {"cambricon.com/mlu.smlu.vmemory", ""},
	{"iluvatar.ai/vcuda-core", ""}, {"iluvatar.ai/vcuda-memory", ""},
	{"mthreads.com/sgpu-core", ""}, {"mthreads.com/sgpu-memory", ""},
	{"metax-tech.com/vcore", ""}, {"metax-tech.com/vmemory", ""},
	{"enflame.com/vgcu-percentage", ""}, {"kunlunxin.com/vxpu-memory", ""}, {"awsneuron.hami.io/memory", ""},
}

// builtInAccelerators count as GPUs where a policy's gpuResources lists them.
//
// Sources: GKE (TPUs), Habana device plugin, AWS Neuron device plugin, Huawei Ascend device
// plugin, Cambricon device plugin, Hygon DCU device plugin, Enflame, Kunlunxin, Qualcomm
// Cloud AI, FuriosaAI, Rebellions, Tenstorrent and Graphcore device plugins, Intel NPU device plugin, IBM
// Spyre operator, Vastai (HAMi, device-config.yaml).
var builtInAccelerators = []string{
	"google.com/tpu", "cloud-tpus.google.com/*",
	"habana.ai/gaudi", "habana.ai/goya", "habana.ai/greco",
	"aws.amazon.com/neuron", "aws.amazon.com/neuroncore", "aws.amazon.com/neurondevice",
	"huawei.com/Ascend*", "huawei.com/npu*", "cambricon.com/*",
	"hygon.com/dcu*", "hygon.com/hcu*", "enflame.com/*", "kunlunxin.com/*", "baidu.com/xpu*",
	"qualcomm.com/qaic*", "furiosa.ai/*", "alpha.furiosa.ai/*", "rebellions.ai/*", "tenstorrent.com/*", "graphcore.ai/*",
	"npu.intel.com/*", "ibm.com/aiu_*", "ibm.com/spyre_*", "vastaitech.com/*",
}

// nvidiaChip begins the names of NVIDIA's KubeVirt device plugin after its domain: a virtual GPU, or the chip of
// one that a virtual machine gets whole.
var nvidiaChip = regexp.MustCompile(`^(GRID_|NVIDIA_|(G[KMPVABH]|TU|AD)[0-9]{2,3})`)

// looksLikeGPU tells whether the name of an extended resource speaks of GPUs, or is one of those that do not
// say so: shares by CUDA (Tencent's GPU manager), virtual GPUs, DirectX on Windows.
func looksLikeGPU(name string) bool {
	domain, base, _ := strings.Cut(name, "/")
	lower := strings.ToLower(name)
	return strings.Contains(lower, "gpu") || strings.Contains(lower, "cuda") ||
		(domain == "nvidia.com" && nvidiaChip.MatchString(base)) || name == "microsoft.com/directx"
}

// looksLikeAccelerator tells whether a word in the name of an extended resource is what vendors call one.
func looksLikeAccelerator(name string) bool {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r < 'a' || r > 'z' })
	return slices.ContainsFunc(words, func(word string) bool { return word == "tpu" || word == "npu" || word == "xpu" })
}

// ascendPart tells whether a name is one of HAMi's shares of an Ascend device.
func ascendPart(name string) bool {
	return strings.HasPrefix(name, "huawei.com/Ascend") && (strings.HasSuffix(name, "-memory") || strings.HasSuffix(name, "-core"))
}

// IsBuiltInGPU tells whether a name, or a pattern with a trailing *, is one that counts as
// GPUs everywhere.
func IsBuiltInGPU(name string) bool {
	for _, g := range builtInGPUs {
		if prefix, pattern := strings.CutSuffix(g, "*"); g == name || (pattern && strings.HasPrefix(name, prefix)) {
			return true
		}
	}
	return false
}

// IsQualifier tells whether a name is one that counts nothing beside a GPU.
func IsQualifier(name string) bool {
	for _, q := range builtInQualifiers {
		if q.name == name {
			return true
		}
	}
	return ascendPart(name)
}
