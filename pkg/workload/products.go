package workload

import (
	"slices"
	"strings"
)

// product is a GPU product under its canonical name, which is the one that the vendor's own
// feature discovery writes, and the words of others for it. A word may stand at several
// products: then it means any of them.
type product struct {
	name string
	// also are other names that feature discovery writes, by the driver's version.
	also []string
	// cloud are the words of GKE, EKS and cluster autoscalers; karpenter those of Karpenter
	// and EKS Auto Mode on AWS; aks those of AKS node auto-provisioning.
	cloud, karpenter, aks []string
}

// products are the canonical names.
//
// Sources:
//   - name, also: the label nvidia.com/gpu.product of NVIDIA GPU feature discovery is NVML's
//     product name with - for blanks (NVIDIA k8s-device-plugin, docs/gpu-feature-discovery);
//     amd.com/gpu.product-name of AMD's node labeller (ROCm k8s-device-plugin,
//     cmd/k8s-node-labeller); gpu.intel.com/product of Intel's NFD rules (intel-device-plugins-for-kubernetes,
//     deployments/nfd/overlays/node-feature-rules).
//   - cloud: cloud.google.com/gke-accelerator (GKE, "GPU platforms" and "GPU models" of Compute
//     Engine), k8s.amazonaws.com/accelerator (cluster-autoscaler's AWS provider; values are chosen by
//     whoever makes the node group, those of eksctl and AWS' examples are listed).
//   - karpenter: karpenter.k8s.aws/instance-gpu-name and eks.amazonaws.com/instance-gpu-name (Karpenter's
//     instance types reference, from EC2's DescribeInstanceTypes in lower case).
//   - aks: karpenter.azure.com/sku-gpu-name (AKS node auto-provisioning, "SKU selectors").
var products = []product{
	{name: "Tesla-K80", cloud: []string{"nvidia-tesla-k80"}, karpenter: []string{"k80"}, aks: []string{"K80"}},
	{name: "Tesla-M60", cloud: []string{"nvidia-tesla-m60"}, karpenter: []string{"m60"}, aks: []string{"M60"}},
	{name: "Tesla-P4", cloud: []string{"nvidia-tesla-p4"}},
	{name: "Tesla-P40", aks: []string{"P40"}},
	{name: "Tesla-P100-PCIE-16GB", cloud: []string{"nvidia-tesla-p100"}, aks: []string{"P100"}},
	{name: "Tesla-P100-SXM2-16GB", cloud: []string{"nvidia-tesla-p100"}},
	{name: "Tesla-V100-SXM2-16GB", cloud: []string{"nvidia-tesla-v100"}, karpenter: []string{"v100"}, aks: []string{"V100"}},
	{name: "Tesla-V100-SXM2-32GB", cloud: []string{"nvidia-tesla-v100"}, karpenter: []string{"v100"}, aks: []string{"V100"}},
	{name: "Tesla-V100-SXM3-32GB"},
	{name: "Tesla-V100-PCIE-16GB", cloud: []string{"nvidia-tesla-v100"}, aks: []string{"V100"}},
	{name: "Tesla-V100-PCIE-32GB", aks: []string{"V100"}},
	{name: "Tesla-T4", also: []string{"NVIDIA-T4", "NVIDIA-Tesla-T4"}, cloud: []string{"nvidia-tesla-t4", "nvidia-t4"}, karpenter: []string{"t4"}, aks: []string{"T4"}},
	{name: "NVIDIA-T4G", also: []string{"T4G"}, cloud: []string{"nvidia-t4g", "nvidia-tesla-t4g"}, karpenter: []string{"t4g"}},
	{name: "NVIDIA-A2"},
	{name: "NVIDIA-A10", also: []string{"A10"}, cloud: []string{"nvidia-tesla-a10", "nvidia-ampere-a10", "nvidia-a10"}, aks: []string{"A10"}},
	{name: "NVIDIA-A10G", also: []string{"A10G"}, cloud: []string{"nvidia-a10g", "nvidia-tesla-a10g", "nvidia-tesla-a10", "nvidia-ampere-a10"}, karpenter: []string{"a10g"}},
	{name: "NVIDIA-A16", also: []string{"A16"}},
	{name: "NVIDIA-A30", also: []string{"A30"}},
	{name: "NVIDIA-A40", also: []string{"A40"}},
	{name: "NVIDIA-A100-SXM4-40GB", also: []string{"A100-SXM4-40GB"}, cloud: []string{"nvidia-tesla-a100", "nvidia-ampere-a100", "nvidia-a100"}, karpenter: []string{"a100"}, aks: []string{"A100"}},
	{name: "NVIDIA-A100-SXM4-80GB", also: []string{"A100-SXM4-80GB", "A100-SXM-80GB"}, cloud: []string{"nvidia-a100-80gb", "nvidia-tesla-a100", "nvidia-ampere-a100", "nvidia-a100"}, karpenter: []string{"a100"}, aks: []string{"A100"}},
	{name: "NVIDIA-A100-SXM-64GB"},
	{name: "NVIDIA-A100-PCIE-40GB", also: []string{"A100-PCIE-40GB"}, aks: []string{"A100"}},
	{name: "NVIDIA-A100-80GB-PCIe", also: []string{"A100-80GB-PCIe"}, aks: []string{"A100"}},
	{name: "NVIDIA-A100X"},
	{name: "NVIDIA-A800-SXM4-80GB"},
	{name: "NVIDIA-A800-80GB-PCIe"},
	{name: "NVIDIA-L2"},
	{name: "NVIDIA-L4", cloud: []string{"nvidia-l4", "nvidia-tesla-l4"}, karpenter: []string{"l4"}, aks: []string{"L4"}},
	{name: "NVIDIA-L20"},
	{name: "NVIDIA-L40", cloud: []string{"nvidia-l40"}, aks: []string{"L40"}},
	{name: "NVIDIA-L40S", cloud: []string{"nvidia-l40s"}, karpenter: []string{"l40s"}, aks: []string{"L40S"}},
	{name: "NVIDIA-H20"},
	{name: "NVIDIA-H100-80GB-HBM3", cloud: []string{"nvidia-h100-80gb", "nvidia-h100-mega-80gb", "nvidia-h100", "nvidia-tesla-h100"}, karpenter: []string{"h100"}, aks: []string{"H100"}},
	{name: "NVIDIA-H100-PCIe", aks: []string{"H100"}},
	{name: "NVIDIA-H100-NVL", aks: []string{"H100"}},
	{name: "NVIDIA-H100-SXM-64GB"},
	{name: "NVIDIA-H800"},
	{name: "NVIDIA-H800-PCIe"},
	{name: "NVIDIA-H200", cloud: []string{"nvidia-h200-141gb", "nvidia-h200"}, karpenter: []string{"h200"}, aks: []string{"H200"}},
	{name: "NVIDIA-H200-NVL", aks: []string{"H200"}},
	{name: "NVIDIA-GH200-480GB"},
	{name: "NVIDIA-GH200-144G-HBM3e"},
	{name: "NVIDIA-B200", cloud: []string{"nvidia-b200"}, karpenter: []string{"b200"}, aks: []string{"B200"}},
	{name: "NVIDIA-GB200", cloud: []string{"nvidia-gb200"}, karpenter: []string{"gb200"}, aks: []string{"GB200"}},
	{name: "NVIDIA-B300-SXM6-AC", cloud: []string{"nvidia-b300"}, karpenter: []string{"b300"}},
	{name: "NVIDIA-GB300", cloud: []string{"nvidia-gb300"}, karpenter: []string{"gb300"}, aks: []string{"GB300"}},
	{name: "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", cloud: []string{"nvidia-rtx-pro-6000"}, karpenter: []string{"rtx-pro-server-6000", "rtx-pro-6000"}},

	{name: "AMD_Radeon_Pro_V520", karpenter: []string{"radeon-pro-v520"}},
	{name: "AMD_Radeon_Pro_V710_MxGPU", aks: []string{"V710"}},
	{name: "AMD_Instinct_MI100", also: []string{"Instinct_MI100"}},
	{name: "AMD_Instinct_MI210", also: []string{"Instinct_MI210"}},
	{name: "AMD_Instinct_MI250", also: []string{"Instinct_MI250"}},
	{name: "AMD_Instinct_MI250X", also: []string{"Instinct_MI250X", "AMD_Instinct_MI250X_MI250"}},
	{name: "AMD_Instinct_MI300A", also: []string{"AMD_Instinct_MI300A_OAM"}},
	{name: "AMD_Instinct_MI300X_OAM", also: []string{"AMD_Instinct_MI300X", "AMD_Instinct_MI300X_VF"}, aks: []string{"MI300X"}},
	{name: "AMD_Instinct_MI308X", also: []string{"AMD_Instinct_MI308X_OAM"}},
	{name: "AMD_Instinct_MI325_OAM", also: []string{"AMD_Instinct_MI325X", "AMD_Instinct_MI325X_OAM"}},
	{name: "AMD_Instinct_MI350X", also: []string{"AMD_Instinct_MI350X_OAM"}},
	{name: "AMD_Instinct_MI355_OAM", also: []string{"AMD_Instinct_MI355X", "AMD_Instinct_MI355X_OAM"}},

	{name: "Flex_140"}, {name: "Flex_170"}, {name: "Max_1100"}, {name: "Max_1550"},
	{name: "Arc_A770"}, {name: "Arc_B580"}, {name: "Arc_Pro_B60"},
}

// discoveryShapes begin the names that feature discovery writes for products that the table
// may lack: such a name is a product of its own.
var discoveryShapes = []string{"NVIDIA-", "Tesla-", "Quadro-", "GeForce-", "TITAN-", "AMD_", "Flex_", "Max_", "Arc_"}

// DiscoveredName is how feature discovery names the product that a word means; empty if the
// word is such a name, or means several products or none.
func DiscoveredName(word string) string {
	base := baseType(word)
	names := productsOf(base)
	if len(names) != 1 || isDiscovered(base) {
		return ""
	}
	for i := range products {
		if products[i].name == names[0] && (products[i].name == base || slices.Contains(products[i].also, base)) {
			return ""
		}
	}
	return names[0]
}

// wordsAsWritten are the canonical names behind every word, and words the same behind words in
// lower case: one word may be written otherwise elsewhere, and mean more there.
var wordsAsWritten, words = func() (written, lower map[string][]string) {
	written, lower = map[string][]string{}, map[string][]string{}
	add := func(m map[string][]string, word, name string) {
		if !slices.Contains(m[word], name) {
			m[word] = append(m[word], name)
		}
	}
	for _, p := range products {
		for _, more := range [][]string{{p.name}, p.also, p.cloud, p.karpenter, p.aks} {
			for _, word := range more {
				add(written, word, p.name)
				add(lower, strings.ToLower(word), p.name)
			}
		}
	}
	return written, lower
}()

// productsOf are the canonical names of the products that a word means; none if the table has
// none of it.
func productsOf(word string) []string {
	if names := wordsAsWritten[word]; names != nil {
		return names
	}
	return words[strings.ToLower(word)]
}
