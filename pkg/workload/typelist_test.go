package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/workload"
)

// TestTypesInAnyVendorsWords: a pin counts as another type only if both it and the list are
// understood.
func TestTypesInAnyVendorsWords(t *testing.T) {
	for name, test := range map[string]struct {
		list          []string
		counts, other []string
	}{
		"as feature discovery names it": {[]string{"NVIDIA-L4"},
			[]string{"", "NVIDIA-L4", "nvidia-l4", "l4", "L4", "NVIDIA-L4-SHARED", "NVIDIA-L4-24Q", "made-up", "true"},
			[]string{"NVIDIA-A100-SXM4-40GB", "nvidia-tesla-t4", "h100", "NVIDIA-L40S", "NVIDIA-L40S-SHARED", "AMD_Instinct_MI300X_OAM", "Max_1100", "NVIDIA-RTX-A6000", "NVIDIA-GeForce-RTX-5090"}},
		"in GKE's words": {[]string{"nvidia-l4"},
			[]string{"NVIDIA-L4", "nvidia-l4", "l4", "NVIDIA-L4-SHARED", "NVIDIA-RTX-A6000"}, []string{"NVIDIA-H200", "v100"}},
		"in Karpenter's words, which mean several products": {[]string{"a100"},
			[]string{"NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", "nvidia-tesla-a100", "nvidia-a100-80gb", "A100"}, []string{"l4", "NVIDIA-H100-80GB-HBM3"}},
		"one of the products that a word means": {[]string{"NVIDIA-A100-SXM4-40GB"},
			[]string{"a100", "A100", "nvidia-tesla-a100", "NVIDIA-A100-SXM4-40GB-MIG-3g.20gb-SHARED"}, []string{"NVIDIA-A100-SXM4-80GB", "nvidia-h100-80gb"}},
		"a glob": {[]string{"NVIDIA-A100-*"},
			[]string{"NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-PCIE-40GB-SHARED", "a100", "nvidia-a100-80gb"}, []string{"NVIDIA-L4", "l4", "t4"}},
		"a list that is not understood": {[]string{"gold"}, []string{"gold", "NVIDIA-L4", "l4", "NVIDIA-RTX-A6000"}, nil},
		"one of several that is not":    {[]string{"NVIDIA-L4", "gold"}, []string{"gold", "NVIDIA-H200", "l4"}, nil},
		"a product that the table lacks": {[]string{"NVIDIA-GeForce-RTX-5090"},
			[]string{"NVIDIA-GeForce-RTX-5090", "NVIDIA-GeForce-RTX-5090-SHARED", "GeForce-RTX-5090", "l4", "gold"}, []string{"NVIDIA-L4", "NVIDIA-RTX-A6000"}},
		"a shared product":   {[]string{"NVIDIA-L4-SHARED"}, []string{"NVIDIA-L4-SHARED", "NVIDIA-L4", "l4"}, []string{"NVIDIA-H200"}},
		"AMD's":              {[]string{"AMD_Instinct_MI300X_OAM"}, []string{"AMD_Instinct_MI300X", "MI300X", "AMD_Instinct_MI300X_HF"}, []string{"AMD_Instinct_MI210", "NVIDIA-L4", "l4"}},
		"no list at all":     {nil, []string{"", "NVIDIA-L4", "gold"}, nil},
		"a glob of anything": {[]string{"*"}, []string{"", "NVIDIA-L4", "gold"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := workload.NewTypeList(test.list)
			for _, pin := range test.counts {
				assert.True(t, l.MayBe(pin), "%q counts", pin)
			}
			for _, pin := range test.other {
				assert.False(t, l.MayBe(pin), "%q is another type", pin)
			}
		})
	}
}

func TestAllowedTypesInAnyVendorsWords(t *testing.T) {
	for name, test := range map[string]struct {
		list              []string
		allowed, excluded []string
	}{
		"as feature discovery names it":                     {[]string{"NVIDIA-L4"}, []string{"NVIDIA-L4", "nvidia-l4", "l4", "NVIDIA-L4-SHARED"}, []string{"", "gold", "NVIDIA-H200", "NVIDIA-L4-24Q"}},
		"every product that a word means has to be allowed": {[]string{"NVIDIA-A100-SXM4-40GB"}, []string{"NVIDIA-A100-SXM4-40GB"}, []string{"a100", "A100", "nvidia-tesla-a100"}},
		"as they are here":                                  {[]string{"NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB"}, []string{"a100", "nvidia-tesla-a100"}, []string{"A100"}},
		"or behind a glob":                                  {[]string{"NVIDIA-A100-*"}, []string{"a100", "A100"}, []string{"l4"}},
		"only shared ones":                                  {[]string{"NVIDIA-L4-SHARED"}, []string{"NVIDIA-L4-SHARED"}, []string{"NVIDIA-L4", "l4"}},
		"a name that nobody owns":                           {[]string{"gold"}, []string{"gold"}, []string{"NVIDIA-L4", "golden"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := workload.NewTypeList(test.list)
			for _, pin := range test.allowed {
				assert.True(t, l.Includes(pin), "%q is allowed", pin)
			}
			for _, pin := range test.excluded {
				assert.False(t, l.Includes(pin), "%q is not", pin)
			}
		})
	}
}

func TestPinsByVendorLabel(t *testing.T) {
	for label, value := range map[string]string{
		"nvidia.com/gpu.product": "NVIDIA-L4-SHARED", "amd.com/gpu.product-name": "AMD_Instinct_MI210", "beta.amd.com/gpu.product-name": "AMD_Instinct_MI210", "gpu.intel.com/product": "Flex_170",
		"cloud.google.com/gke-accelerator": "nvidia-l4", "k8s.amazonaws.com/accelerator": "nvidia-l4", "eks.amazonaws.com/instance-gpu-name": "l4",
		"karpenter.k8s.aws/instance-gpu-name": "l4", "karpenter.azure.com/sku-gpu-name": "T4", "karpenter.k8s.gcp/instance-gpu-name": "nvidia-l4",
	} {
		assert.Equal(t, workload.Pin{Label: label, Value: value}, workload.ProductPin(read(`{nodeSelector: {`+label+`: `+value+`}}`)))
		affinity := `{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: ` + label + `, operator: In, values: [` + value + `]}]}]}}}}`
		assert.Equal(t, workload.Pin{Label: label, Value: value}, workload.ProductPin(read(affinity)))
	}
	for name, test := range map[string]struct {
		pod  string
		want workload.Pin
	}{
		"of two labels the one that is understood": {`{nodeSelector: {nvidia.com/gpu.product: gold, karpenter.k8s.aws/instance-gpu-name: l4}}`, workload.Pin{Label: "karpenter.k8s.aws/instance-gpu-name", Value: "l4"}},
		"of none that is the first":                {`{nodeSelector: {nvidia.com/gpu.product: gold, k8s.amazonaws.com/accelerator: "true"}}`, workload.Pin{Label: "nvidia.com/gpu.product", Value: "gold"}},
		"an affinity that is understood": {`{nodeSelector: {k8s.amazonaws.com/accelerator: "true"}, affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [NVIDIA-L4]}]}]}}}}`,
			workload.Pin{Label: "nvidia.com/gpu.product", Value: "NVIDIA-L4"}},
		"a label that may mean anything": {`{nodeSelector: {accelerator: NVIDIA-L4}}`, workload.Pin{}},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, workload.ProductPin(read(test.pod))) })
	}
}

func TestVendorsLabels(t *testing.T) {
	for resource, label := range map[string]string{"nvidia.com/gpu": "nvidia.com/gpu.product", "nvidia.com/mig-1g.5gb": "nvidia.com/gpu.product", "acme.com/gpu": "", "metax-tech.com/gpu": "", "huawei.com/Ascend910": "", "volcano.sh/vgpu-number": "nvidia.com/gpu.product",
		"deviceclass.resource.kubernetes.io/gpu.nvidia.com": "nvidia.com/gpu.product", "deviceclass.resource.kubernetes.io/mig.nvidia.com": "nvidia.com/gpu.product",
		"deviceclass.resource.kubernetes.io/gpu.intel.com": "gpu.intel.com/product", "deviceclass.resource.kubernetes.io/shared": "",
		"amd.com/gpu": "amd.com/gpu.product-name", "amd.com/cpx_nps4": "amd.com/gpu.product-name", "gpu.intel.com/xe": "gpu.intel.com/product"} {
		assert.Equal(t, label, workload.TypeLabel(resource), resource)
	}
	for product, label := range map[string]string{"NVIDIA-L4": "nvidia.com/gpu.product", "l4": "nvidia.com/gpu.product", "NVIDIA-A100-*": "nvidia.com/gpu.product", "Tesla-T4-SHARED": "nvidia.com/gpu.product",
		"AMD_Instinct_MI300X_OAM": "amd.com/gpu.product-name", "mi300x": "amd.com/gpu.product-name", "Max_1100": "gpu.intel.com/product", "C500": "", "gold": "", "": ""} {
		assert.Equal(t, label, workload.ProductLabel(product), product)
	}
	for word, name := range map[string]string{"l4": "NVIDIA-L4", "L4": "NVIDIA-L4", "nvidia-l4": "NVIDIA-L4", "T4": "Tesla-T4", "mi300x": "AMD_Instinct_MI300X_OAM",
		"NVIDIA-L4": "", "NVIDIA-L4-SHARED": "", "Tesla-T4": "", "A100-SXM4-40GB": "", "a100": "", "gold": ""} {
		assert.Equal(t, name, workload.DiscoveredName(word), word)
	}
}
