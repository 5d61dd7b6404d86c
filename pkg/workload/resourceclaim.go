package workload

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// schedulingGroup is the API group of pod groups.
const schedulingGroup = "scheduling.k8s.io"

// ClaimUsage measures a ResourceClaim by itself: all devices that it may get, whether any pod uses it
// or none.
func ClaimUsage(claim manifest.Object, gpus GPUResources) Usage {
	gpus = gpus.in(claim)
	requests := field.NewPath("spec", "devices", "requests")
	n := gpus.CountClaim(manifest.Map(claim, "spec"), field.NewPath("spec"), gpus.adminAccess())
	d := Usage{
		Fixed: true, MinScale: 1, PeakPods: 1,
		GPUs:    GPUCount{PerPod: n.GPUs, Unknown: n.Unknown, products: n.products},
		GPUType: n.Product, product: n.Product,
		Paths: map[string]*field.Path{PeakKey: requests, knative.MaxScaleKey: requests, knative.MinScaleKey: requests},
		pod:   requests,
		asks:  "devices of one ResourceClaim",
	}
	if n.GPUs > 0 {
		d.GPUs.requests = []gpuRequest{{gpuPlace{list: "requests"}, manifest.List(claim, "spec", "devices", "requests")}}
		if ofPodGroup(claim) {
			d.GPUs.Unknown = append(d.GPUs.Unknown, field.Forbidden(requests,
				"is a claim of a pod group, whose devices cannot be counted as GPUs of its pods; "+
					"have each pod name a ResourceClaimTemplate, or all of them a ResourceClaim"))
		}
	}
	d.claim(d.part(""))
	return d
}

// TemplateUsage measures a ResourceClaimTemplate as one claim that is made of it.
func TemplateUsage(template manifest.Object, gpus GPUResources) Usage {
	claim := manifest.Object{"metadata": manifest.Object{"namespace": manifest.Text(template, "metadata", "namespace")},
		"spec": manifest.Map(template, "spec", "spec")}
	return ClaimUsage(claim, gpus)
}

// UsageOf is what is known to be held; asks words by what, and at is where an error about it is placed.
func UsageOf(parts []Part, asks string, at *field.Path) Usage {
	d := Usage{Fixed: true, asks: asks, pod: at, Paths: map[string]*field.Path{PeakKey: at}}
	for _, p := range parts {
		d.claim(p)
	}
	return d
}

// ofPodGroup tells whether a claim states a pod group as its controller.
func ofPodGroup(claim manifest.Object) bool {
	for _, ref := range manifest.Objects(claim, "metadata", "ownerReferences") {
		if controls, _ := ref["controller"].(bool); controls && manifest.Text(ref, "kind") == "PodGroup" &&
			strings.HasPrefix(manifest.Text(ref, "apiVersion"), schedulingGroup+"/") {
			return true
		}
	}
	return false
}
