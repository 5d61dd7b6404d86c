package workload_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/workload"
)

// TestEveryNameClass asks for four of each name in one container of a pod, without any policy.
func TestEveryNameClass(t *testing.T) {
	for class, test := range map[string]struct {
		names []string
		want  func(name string) counts
	}{
		"devices count one each": {[]string{
			"nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.5gb", "nvidia.com/mig-1g.10gb", "nvidia.com/mig-1g.5gb.me", "nvidia.com/mig-3g.71gb", "nvidia.com/mig-1g.5gb.shared",
			"amd.com/gpu", "amd.com/spx_nps1", "amd.com/dpx_nps2", "amd.com/tpx_nps1", "amd.com/qpx_nps1", "amd.com/cpx_nps1", "amd.com/cpx_nps4",
			"gpu.intel.com/i915", "gpu.intel.com/xe", "volcano.sh/vgpu-number", "volcano.sh/gpu-number",
			"deviceclass.resource.kubernetes.io/gpu.nvidia.com", "deviceclass.resource.kubernetes.io/mig.nvidia.com", "deviceclass.resource.kubernetes.io/vfio.gpu.nvidia.com",
			"deviceclass.resource.kubernetes.io/gpu.amd.com", "deviceclass.resource.kubernetes.io/gpu.intel.com",
		}, func(string) counts { return counts{gpus: 4} }},
		"a share that stands alone is of one GPU": {[]string{
			"nvidia.com/gpumem", "nvidia.com/gpumem-percentage", "nvidia.com/gpucores",
			"volcano.sh/vgpu-memory", "volcano.sh/vgpu-memory-percentage", "volcano.sh/vgpu-cores", "volcano.sh/gpu-memory",
			"aliyun.com/gpu-mem", "aliyun.com/gpu-core.percentage", "aliyun.com/gpu-core.tflops",
		}, func(string) counts { return counts{gpus: 1} }},
		"what qualifies a device counts nothing": {[]string{
			"gpu.intel.com/memory.max", "gpu.intel.com/millicores", "gpu.intel.com/tiles", "gpu.intel.com/i915_monitoring", "gpu.intel.com/xe_monitoring", "gpu.intel.com/monitoring", "nvidia.com/priority",
			"hygon.com/dcumem", "hygon.com/dcucores", "hygon.com/hcumem", "hygon.com/hcucores", "cambricon.com/mlu.smlu.vcore", "cambricon.com/mlu.smlu.vmemory", "iluvatar.ai/vcuda-core", "iluvatar.ai/vcuda-memory",
			"mthreads.com/sgpu-core", "mthreads.com/sgpu-memory", "metax-tech.com/vcore", "metax-tech.com/vmemory", "enflame.com/vgcu-percentage", "kunlunxin.com/vxpu-memory", "awsneuron.hami.io/memory",
			"huawei.com/Ascend910B3-memory", "huawei.com/Ascend310P-core",
		}, func(string) counts { return counts{} }},
		"accelerators warn until a policy lists them": {[]string{
			"google.com/tpu", "cloud-tpus.google.com/v2", "cloud-tpus.google.com/preemptible-v3", "habana.ai/gaudi", "habana.ai/goya", "habana.ai/greco",
			"aws.amazon.com/neuron", "aws.amazon.com/neuroncore", "aws.amazon.com/neurondevice", "huawei.com/Ascend910", "huawei.com/Ascend910B3", "huawei.com/Ascend310P", "huawei.com/npu",
			"cambricon.com/mlu", "cambricon.com/vmlu", "hygon.com/dcu", "hygon.com/dcunum", "hygon.com/hcunum", "enflame.com/gcu", "enflame.com/vgcu", "kunlunxin.com/xpu", "kunlunxin.com/vxpu", "baidu.com/xpu",
			"qualcomm.com/qaic", "furiosa.ai/warboy", "alpha.furiosa.ai/npu", "rebellions.ai/ATOM", "tenstorrent.com/n300", "graphcore.ai/ipu",
			"npu.intel.com/accel", "ibm.com/spyre_pf", "ibm.com/aiu_pf", "vastaitech.com/va", "acme.com/tpu-v9", "acme.com/big-npu", "sophgo.com/tpu",
		}, func(name string) counts { return counts{unlisted: []string{name}} }},
		"what looks like a GPU cannot be counted": {[]string{
			"alpha.kubernetes.io/nvidia-gpu", "nvidia.com/pgpu", "nvidia.com/gpu-10gb", "nvidia.com/GPU", "nvidia.com/GRID_T4-16Q", "nvidia.com/NVIDIA_A40-48Q", "nvidia.com/TU104GL_TESLA_T4",
			"nvidia.com/GA100_A100_PCIE_40GB", "nvidia.com/GV100GL_TESLA_V100_PCIE_16GB", "nvidia.com/AD102GL_L40S", "nvidia.com/GH100_H100_PCIE", "nvidia.com/GP102GL_TESLA_P40", "nvidia.com/GB202GL_RTX_PRO",
			"amd.com/gpu_vf", "gpu.intel.com/vfio", "aliyun.com/gpu-count", "koordinator.sh/gpu-core", "koordinator.sh/gpu-memory-ratio", "run.ai/gpu", "metax-tech.com/gpu", "metax-tech.com/sgpu", "mthreads.com/vgpu",
			"birentech.com/1-4-gpu", "iluvatar.ai/vgpu", "iluvatar.ai/BI-V150-vgpu", "denglinai.com/gpu", "tke.cloud.tencent.com/qgpu-core", "tencent.com/vcuda-core", "tencent.com/vcuda-memory", "microsoft.com/directx",
			"deviceclass.resource.kubernetes.io/h100",
		}, func(string) counts { return counts{unknown: 1} }},
		"other devices count nothing": {[]string{
			"cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "nvidia.com/hostdev", "nvidia.com/mlnxnics", "rdma/hca_shared_devices_a", "vpc.amazonaws.com/efa", "intel.com/sriov", "qat.intel.com/generic",
			"xilinx.com/fpga-u250", "smarter-devices/fuse", "devices.kubevirt.io/kvm", "acme.com/input-device", "acme.com/license", "deviceclass.resource.kubernetes.io/compute-domain-daemon.nvidia.com",
		}, func(string) counts { return counts{} }},
	} {
		for _, name := range test.names {
			t.Run(class+": "+name, func(t *testing.T) {
				assert.Equal(t, test.want(name), of(count(limits(`{`+name+`: 4}`), workload.BuiltInGPUResources)), "in limits")
				assert.Equal(t, test.want(name), of(count(read(`{initContainers: [{resources: {requests: {`+name+`: 4}}}]}`), workload.BuiltInGPUResources)), "in requests of an init container")
				assert.Equal(t, test.want(name), of(count(read(`{containers: [{}], resources: {limits: {`+name+`: 4}}}`), workload.BuiltInGPUResources)), "of the whole pod")
			})
		}
	}
}

// TestListsOfPoliciesOverEveryNameClass puts a name of each class into each list of a policy, and under a class
// of devices with GPUs, without any, and of which nothing is known.
func TestListsOfPoliciesOverEveryNameClass(t *testing.T) {
	alias := func(class, name string) []workload.DeviceClass {
		return []workload.DeviceClass{{Name: class, ExtendedResource: name}}
	}
	gpus, warned, unknown := counts{gpus: 4}, func(name string) counts { return counts{unlisted: []string{name}} }, counts{unknown: 1}
	for class, test := range map[string]struct {
		name string
		// listed is what it counts where gpuResources has it, and seventh with the weight of a seventh; not in
		// notGPUResources; and as the alias of a class with GPUs, of one without, and of one that nobody lists.
		listed, seventh, not, aliasOfGPU, aliasOfOther, aliasOfUnknown counts
	}{
		"a device":                {"nvidia.com/mig-1g.10gb", gpus, counts{gpus: 1}, gpus, gpus, gpus, gpus},
		"a sibling of it":         {"amd.com/cpx_nps4", gpus, counts{gpus: 1}, gpus, gpus, gpus, gpus},
		"a share":                 {"volcano.sh/vgpu-cores", counts{gpus: 1}, counts{gpus: 1}, counts{}, gpus, counts{gpus: 1}, unknown},
		"a qualifier":             {"gpu.intel.com/millicores", counts{}, counts{gpus: 1}, counts{}, gpus, counts{}, unknown},
		"an accelerator":          {"habana.ai/gaudi", gpus, counts{gpus: 1}, counts{}, gpus, warned("habana.ai/gaudi"), unknown},
		"an accelerator by words": {"sophgo.com/tpu", gpus, counts{gpus: 1}, counts{}, gpus, warned("sophgo.com/tpu"), unknown},
		"what looks like a GPU":   {"nvidia.com/GRID_T4-16Q", gpus, counts{gpus: 1}, counts{}, gpus, unknown, unknown},
		"another device":          {"acme.com/card", gpus, counts{gpus: 1}, counts{}, gpus, counts{}, unknown},
	} {
		t.Run(class, func(t *testing.T) {
			for what, c := range map[string]struct {
				counting workload.Counting
				want     counts
			}{
				"listed":                          {workload.Counting{Listed: []workload.ListedGPU{{Name: test.name}}}, test.listed},
				"listed with a weight":            {workload.Counting{Listed: []workload.ListedGPU{{Name: test.name, GPUs: weight("1/7"), Weighted: true}}}, test.seventh},
				"listed as no GPU":                {workload.Counting{Not: []string{test.name}}, test.not},
				"listed both ways":                {workload.Counting{Listed: []workload.ListedGPU{{Name: test.name, GPUs: weight("1/7"), Weighted: true}}, Not: []string{test.name}}, test.seventh},
				"alias of a class with GPUs":      {workload.Counting{Classes: alias("gpu.nvidia.com", test.name)}, test.aliasOfGPU},
				"alias of it, listed as no GPU":   {workload.Counting{Classes: alias("gpu.nvidia.com", test.name), Not: []string{test.name}}, test.aliasOfGPU},
				"alias of it, with a weight":      {workload.Counting{Classes: alias("gpu.nvidia.com", test.name), Listed: []workload.ListedGPU{{Name: test.name, GPUs: weight("1/7"), Weighted: true}}}, gpus},
				"alias of a class without GPUs":   {workload.Counting{Classes: alias("nic.example.com", test.name), NotDeviceClasses: []string{"nic.example.com"}}, test.aliasOfOther},
				"alias of a class nobody lists":   {workload.Counting{Classes: alias("nic.example.com", test.name)}, test.aliasOfUnknown},
				"listed as alias of such a class": {workload.Counting{Classes: alias("nic.example.com", test.name), Listed: []workload.ListedGPU{{Name: test.name, Weighted: true}}}, gpus},
			} {
				assert.Equal(t, c.want, of(count(limits(`{`+test.name+`: 4}`), workload.NewGPUResources(c.counting))), what)
			}
		})
	}
}

// TestProductsByEveryVendorsLabel pins pods by each vendor's label to a word of theirs: it counts for a budget
// of each product that it means, in that vendor's words too, and for no budget of another product.
func TestProductsByEveryVendorsLabel(t *testing.T) {
	everything := []string{"Tesla-T4", "Tesla-V100-SXM2-16GB", "NVIDIA-A10", "NVIDIA-A10G", "NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe", "NVIDIA-L4", "NVIDIA-L40S", "NVIDIA-H100-80GB-HBM3",
		"NVIDIA-H100-NVL", "NVIDIA-H200", "NVIDIA-GB200", "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "AMD_Instinct_MI210", "AMD_Instinct_MI300X_OAM", "AMD_Instinct_MI325_OAM", "Flex_170", "Max_1550"}
	for label, words := range map[string]map[string][]string{
		"nvidia.com/gpu.product": {
			"NVIDIA-L4": {"NVIDIA-L4"}, "NVIDIA-L4-SHARED": {"NVIDIA-L4"}, "Tesla-T4": {"Tesla-T4"}, "NVIDIA-Tesla-T4-SHARED": {"Tesla-T4"}, "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb": {"NVIDIA-A100-SXM4-40GB"},
			"A100-SXM4-80GB": {"NVIDIA-A100-SXM4-80GB"}, "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb-SHARED": {"NVIDIA-H100-80GB-HBM3"}, "NVIDIA-H100-NVL": {"NVIDIA-H100-NVL"}, "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition": {"NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition"},
			"NVIDIA-GeForce-RTX-4090": nil, "Quadro-RTX-8000": nil, "NVIDIA-RTX-A6000-SHARED": nil,
		},
		"cloud.google.com/gke-accelerator": {
			"nvidia-l4": {"NVIDIA-L4"}, "nvidia-tesla-t4": {"Tesla-T4"}, "nvidia-tesla-v100": {"Tesla-V100-SXM2-16GB"}, "nvidia-tesla-a100": {"NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB"}, "nvidia-a100-80gb": {"NVIDIA-A100-SXM4-80GB"},
			"nvidia-h100-80gb": {"NVIDIA-H100-80GB-HBM3"}, "nvidia-h100-mega-80gb": {"NVIDIA-H100-80GB-HBM3"}, "nvidia-h200-141gb": {"NVIDIA-H200"}, "nvidia-gb200": {"NVIDIA-GB200"}, "nvidia-rtx-pro-6000": {"NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition"},
		},
		"karpenter.k8s.gcp/instance-gpu-name": {"nvidia-l4": {"NVIDIA-L4"}, "nvidia-h100-80gb": {"NVIDIA-H100-80GB-HBM3"}},
		"k8s.amazonaws.com/accelerator": {
			"nvidia-l4": {"NVIDIA-L4"}, "nvidia-tesla-v100": {"Tesla-V100-SXM2-16GB"}, "nvidia-tesla-t4": {"Tesla-T4"}, "nvidia-a10g": {"NVIDIA-A10G"}, "nvidia-tesla-a10": {"NVIDIA-A10", "NVIDIA-A10G"}, "nvidia-l40s": {"NVIDIA-L40S"},
		},
		"eks.amazonaws.com/instance-gpu-name": {"l4": {"NVIDIA-L4"}, "l40s": {"NVIDIA-L40S"}, "a10g": {"NVIDIA-A10G"}, "h200": {"NVIDIA-H200"}},
		"karpenter.k8s.aws/instance-gpu-name": {
			"l4": {"NVIDIA-L4"}, "t4": {"Tesla-T4"}, "v100": {"Tesla-V100-SXM2-16GB"}, "a100": {"NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB"}, "h100": {"NVIDIA-H100-80GB-HBM3"}, "gb200": {"NVIDIA-GB200"}, "rtx-pro-server-6000": {"NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition"},
			"radeon-pro-v520": nil, "m60": nil,
		},
		"karpenter.azure.com/sku-gpu-name": {
			"T4": {"Tesla-T4"}, "V100": {"Tesla-V100-SXM2-16GB"}, "A10": {"NVIDIA-A10"}, "A100": {"NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe"}, "H100": {"NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-NVL"}, "H200": {"NVIDIA-H200"}, "MI300X": {"AMD_Instinct_MI300X_OAM"},
		},
		"amd.com/gpu.product-name":      {"AMD_Instinct_MI300X_OAM": {"AMD_Instinct_MI300X_OAM"}, "AMD_Instinct_MI300X_VF": {"AMD_Instinct_MI300X_OAM"}, "Instinct_MI210": {"AMD_Instinct_MI210"}, "AMD_Instinct_MI325X": {"AMD_Instinct_MI325_OAM"}, "AMD_Radeon_Pro_W7900": nil},
		"beta.amd.com/gpu.product-name": {"AMD_Instinct_MI210": {"AMD_Instinct_MI210"}, "AMD_Instinct_MI325_OAM": {"AMD_Instinct_MI325_OAM"}},
		"gpu.intel.com/product":         {"Flex_170": {"Flex_170"}, "Max_1550": {"Max_1550"}, "Arc_A770": nil, "Max_1450": nil},
	} {
		for word, products := range words {
			t.Run(label+": "+word, func(t *testing.T) {
				pin := workload.ProductPin(read(`{nodeSelector: {` + label + `: ` + word + `}}`))
				require.Equal(t, workload.Pin{Label: label, Value: word}, pin)
				for _, product := range everything {
					assert.Equal(t, slices.Contains(products, product), workload.NewTypeList([]string{product}).MayBe(pin.Value), "a budget of %s", product)
				}
				assert.True(t, workload.NewTypeList([]string{word}).MayBe(pin.Value), "a budget in the same words")
				assert.True(t, workload.NewTypeList([]string{word}).Includes(pin.Value), "a bound in the same words")
				for _, product := range products {
					assert.True(t, workload.NewTypeList([]string{word}).MayBe(product), "a budget of %s in the words of %s", product, label)
				}
			})
		}
	}
}
