package workload

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

var replicasPath = field.NewPath(replicasAt[0], replicasAt[1:]...)

// ReplicaSetUsage measures a ReplicaSet or a ReplicationController: spec.replicas pods.
func ReplicaSetUsage(rs manifest.Object, gpus GPUResources) Usage {
	return fixedUsage(rs, templateSpec, liveReplicas(rs), replicasPath, gpus)
}

// liveReplicas is the number of pods that the controller of an object with spec.replicas keeps.
func liveReplicas(o manifest.Object) int64 {
	if deleting(o) {
		return 0
	}
	return Replicas(o)
}
