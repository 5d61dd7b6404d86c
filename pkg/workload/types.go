package workload

import (
	"maps"
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// gpuTypeLabels are the node labels that name a GPU product. Their words are in the table of
// products.
var gpuTypeLabels = []string{
	nvidiaTypeLabel, amdTypeLabel, intelTypeLabel, "beta.amd.com/gpu.product-name",
	"cloud.google.com/gke-accelerator", "k8s.amazonaws.com/accelerator", "eks.amazonaws.com/instance-gpu-name",
	"karpenter.k8s.aws/instance-gpu-name", "karpenter.azure.com/sku-gpu-name", "karpenter.k8s.gcp/instance-gpu-name",
}

// The labels of the vendors' own feature discovery.
const (
	nvidiaTypeLabel = "nvidia.com/gpu.product"
	amdTypeLabel    = "amd.com/gpu.product-name"
	intelTypeLabel  = "gpu.intel.com/product"
)

// TypeLabel is the node label that names the products of a GPU resource's vendor; empty where
// none is known.
func TypeLabel(resource string) string {
	domain, class, _ := strings.Cut(resource, "/")
	if domain+"/" == resourcev1.ResourceDeviceClassPrefix { // of a class such as gpu.nvidia.com
		domain = class[strings.Index(class, ".")+1:]
	}
	switch domain {
	case "nvidia.com", "volcano.sh", "aliyun.com": // the latter two give shares of NVIDIA's
		return nvidiaTypeLabel
	case "amd.com":
		return amdTypeLabel
	case "gpu.intel.com", "intel.com":
		return intelTypeLabel
	}
	return ""
}

// ProductLabel is the node label that names a product, whatever the resource that stands for it is
// called; empty for a product that is not known.
func ProductLabel(product string) string {
	base := baseType(product)
	if names := productsOf(base); names != nil {
		base = names[0]
	}
	switch {
	case !understood(base):
		return ""
	case strings.HasPrefix(base, "AMD_"):
		return amdTypeLabel
	case strings.HasPrefix(base, "Flex_"), strings.HasPrefix(base, "Max_"), strings.HasPrefix(base, "Arc_"):
		return intelTypeLabel
	}
	return nvidiaTypeLabel
}

// NamesProduct tells whether a node label is known to name a GPU product.
func NamesProduct(label string) bool { return slices.Contains(gpuTypeLabels, label) }

// NodeProducts are the products that a node's labels say its GPUs are of.
func NodeProducts(labels map[string]string) (products []string) {
	for _, label := range gpuTypeLabels {
		if value := labels[label]; value != "" && !slices.Contains(products, value) {
			products = append(products, value)
		}
	}
	return products
}

// gpuTypeNames are the names, behind any prefix, of further labels that do: what the
// parameter gpu-type may name.
var gpuTypeNames = []string{"gpu", "gpu-type", "gpu.type", "gpu-product", "gpu.product", "accelerator", "accelerator-type"}

func namesGPUType(label string) bool {
	return slices.Contains(gpuTypeLabels, label) || slices.Contains(gpuTypeNames, label[strings.LastIndex(label, "/")+1:])
}

// GPUType is the one GPU type that a pod's nodeSelector or required node affinity pins
// it to; ok is false where it may land on several.
func GPUType(podSpec manifest.Object) (gpuType string, ok bool) {
	selector := manifest.Texts(podSpec, "nodeSelector")
	for _, label := range gpuTypeLabels {
		if v, found := selector[label]; found {
			return v, true
		}
	}
	for _, label := range slices.Sorted(maps.Keys(selector)) {
		if namesGPUType(label) {
			return selector[label], true
		}
	}
	for _, term := range requiredTerms(podSpec) {
		v, pinned := termGPUType(term)
		if !pinned || (ok && v != gpuType) {
			return "", false
		}
		gpuType, ok = v, true
	}
	return gpuType, ok
}

// Pin is the node label, and its value, that pins a pod to a GPU product.
type Pin struct{ Label, Value string }

// GPUProduct is the GPU type that well-known labels pin a pod to, empty where none does. A
// label of another name may mean anything, so it takes no pod out of a budget.
func GPUProduct(podSpec manifest.Object) string { return ProductPin(podSpec).Value }

// ProductPin is the well-known label that pins a pod to a GPU product. Of several, which all
// have to hold, it is the first whose value is understood.
func ProductPin(podSpec manifest.Object) Pin {
	var first Pin
	selector := manifest.Map(podSpec, "nodeSelector")
	if len(selector) > 0 {
		for _, label := range gpuTypeLabels {
			v, _ := selector[label].(string)
			if v != "" && understood(v) {
				return Pin{label, v}
			}
			if v != "" && first.Value == "" {
				first = Pin{label, v}
			}
		}
	}
	affinity := affinityPin(podSpec)
	if first.Value == "" || understood(affinity.Value) {
		return affinity.or(first)
	}
	return first
}

func (p Pin) or(other Pin) Pin {
	if p.Value == "" {
		return other
	}
	return p
}

// understood tells whether the table of products has a word, or feature discovery writes it.
func understood(value string) bool {
	base := baseType(value)
	return productsOf(base) != nil || isDiscovered(base)
}

// requiredTerms are those of a required node affinity, of which one has to hold.
func requiredTerms(podSpec manifest.Object) []manifest.Object {
	affinity := manifest.Map(podSpec, "affinity", "nodeAffinity")
	return manifest.Objects(affinity, "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
}

// affinityPin is the one product that every term of a required node affinity asks for.
func affinityPin(podSpec manifest.Object) Pin {
	var pin Pin
	for _, term := range requiredTerms(podSpec) {
		p := termProduct(term)
		if p.Value == "" || (pin.Value != "" && p.Value != pin.Value) {
			return Pin{}
		}
		pin = p
	}
	return pin
}

func termProduct(term manifest.Object) Pin {
	for _, e := range manifest.Objects(term, "matchExpressions") {
		values, label := manifest.List(e, "values"), manifest.Text(e, "key")
		if manifest.Text(e, "operator") == "In" && len(values) == 1 && NamesProduct(label) {
			v, _ := values[0].(string)
			return Pin{label, v}
		}
	}
	return Pin{}
}

func termGPUType(term manifest.Object) (string, bool) {
	for _, e := range manifest.Objects(term, "matchExpressions") {
		values := manifest.List(e, "values")
		if manifest.Text(e, "operator") == "In" && len(values) == 1 && namesGPUType(manifest.Text(e, "key")) {
			v, ok := values[0].(string)
			return v, ok
		}
	}
	return "", false
}
