package workload

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// DaemonSetUsage measures a DaemonSet, for bounds: a pod on as many nodes as its controller last
// saw, at least one. Each of its pods is charged by itself.
func DaemonSetUsage(set manifest.Object, gpus GPUResources) Usage {
	nodes, _ := manifest.Whole(set, "status", "desiredNumberScheduled")
	if nodes = max(1, nodes); deleting(set) {
		nodes = 0
	}
	return fixedUsage(set, templateSpec, nodes, field.NewPath("spec", "template", "spec"), gpus).boundsOnly()
}
