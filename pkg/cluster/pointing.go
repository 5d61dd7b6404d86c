package cluster

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// mostPointing is how many bytes a verdict keeps of the objects of one kind that may point at a Deployment. All
// of them are listed at the same time.
const mostPointing = 4 << 20

// pointing is what is kept of kinds that no count reads, and that may point at a Deployment or at its pods: what
// the conversion of a Deployment looks at (pkg/convert), and all of a spec that names Services anywhere in it.
var pointing = map[schema.GroupKind]*shape{
	{Kind: "Service"}: of("selector", "ports"),
	{Group: "networking.k8s.io", Kind: "Ingress"}:                all,
	{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}:      all,
	{Group: "gateway.networking.k8s.io", Kind: "GRPCRoute"}:      all,
	{Group: "networking.k8s.io", Kind: "NetworkPolicy"}:          of("podSelector", "policyTypes", "ingress"),
	{Group: "policy", Kind: "PodDisruptionBudget"}:               of("selector", "minAvailable", "maxUnavailable"),
	{Group: "autoscaling.k8s.io", Kind: "VerticalPodAutoscaler"}: of("targetRef"),
	{Group: "keda.sh", Kind: "ScaledObject"}:                     of("scaleTargetRef", "minReplicaCount", "maxReplicaCount"),
}

// keptOf is what a verdict keeps of listed objects, and how many bytes of them. Of an operator's kind any field
// may count.
func keptOf(kind schema.GroupKind, resource Resource) (*kept, int) {
	if counted := kinds[resource]; counted != nil {
		return counted, mostPruned
	}
	if spec, ok := pointing[kind]; ok {
		return keep(resource, kind.Kind, true, none, spec, nil), mostPointing
	}
	return keep(resource, kind.Kind, true, none, all, all), mostPruned
}
