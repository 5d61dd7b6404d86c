package workload

import (
	"maps"
	"slices"
	"strings"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// gpuTypeLabels are the node labels that name a GPU product.
var gpuTypeLabels = []string{
	"nvidia.com/gpu.product", "amd.com/gpu.product-name", "gpu.intel.com/product",
	"cloud.google.com/gke-accelerator", "k8s.amazonaws.com/accelerator", "karpenter.k8s.aws/instance-gpu-name",
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
	terms := manifest.Objects(manifest.Map(podSpec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"), "nodeSelectorTerms")
	for _, term := range terms {
		v, pinned := termGPUType(term)
		if !pinned || (ok && v != gpuType) {
			return "", false
		}
		gpuType, ok = v, true
	}
	return gpuType, ok
}

// GPUProduct is the GPU type that well-known labels pin a pod to, empty where none does. A
// label of another name may mean anything, so it takes no pod out of a budget.
func GPUProduct(podSpec manifest.Object) string {
	selector := manifest.Texts(podSpec, "nodeSelector")
	for _, label := range gpuTypeLabels {
		if v := selector[label]; v != "" {
			return v
		}
	}
	product := ""
	terms := manifest.Objects(manifest.Map(podSpec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"), "nodeSelectorTerms")
	for _, term := range terms {
		v := termProduct(term)
		if v == "" || (product != "" && v != product) {
			return ""
		}
		product = v
	}
	return product
}

func termProduct(term manifest.Object) string {
	for _, e := range manifest.Objects(term, "matchExpressions") {
		values := manifest.List(e, "values")
		if manifest.Text(e, "operator") == "In" && len(values) == 1 && slices.Contains(gpuTypeLabels, manifest.Text(e, "key")) {
			v, _ := values[0].(string)
			return v
		}
	}
	return ""
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
