package workload

import (
	"strconv"
	"strings"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// StatefulSetUsage measures a StatefulSet: spec.replicas pods. Those that a partition keeps at an
// earlier template are seen as its pods (Usage.Hold). It makes no pod beside one that terminates.
func StatefulSetUsage(set manifest.Object, gpus GPUResources) Usage {
	return fixedUsage(set, templateSpec, liveReplicas(set), replicasPath, gpus)
}

// isReplica tells whether a name is that of a pod of a StatefulSet: its own with an ordinal.
func isReplica(pod, set string) bool {
	_, ok := ordinalOf(pod, set)
	return ok
}

// ordinalOf is the ordinal in the name of a StatefulSet's pod.
func ordinalOf(pod, set string) (int64, bool) {
	ordinal, ok := strings.CutPrefix(pod, set+"-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(ordinal, 10, 32)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == ordinal
}
