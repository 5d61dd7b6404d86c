package workload

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// Groups of the kinds.
const (
	appsGroup        = "apps"
	batchGroup       = "batch"
	servingGroup     = "serving.knative.dev"
	autoscalingGroup = "autoscaling.internal.knative.dev"
	resourceGroup    = "resource.k8s.io"
)

// The kinds that make pods, and those that decide how many there are.
var (
	PodKind                   = schema.GroupKind{Kind: "Pod"}
	ReplicationControllerKind = schema.GroupKind{Kind: "ReplicationController"}
	DeploymentKind            = schema.GroupKind{Group: appsGroup, Kind: "Deployment"}
	ReplicaSetKind            = schema.GroupKind{Group: appsGroup, Kind: "ReplicaSet"}
	StatefulSetKind           = schema.GroupKind{Group: appsGroup, Kind: "StatefulSet"}
	DaemonSetKind             = schema.GroupKind{Group: appsGroup, Kind: "DaemonSet"}
	JobKind                   = schema.GroupKind{Group: batchGroup, Kind: "Job"}
	CronJobKind               = schema.GroupKind{Group: batchGroup, Kind: "CronJob"}
	ServiceKind               = schema.GroupKind{Group: servingGroup, Kind: "Service"}
	ConfigurationKind         = schema.GroupKind{Group: servingGroup, Kind: "Configuration"}
	RouteKind                 = schema.GroupKind{Group: servingGroup, Kind: "Route"}
	RevisionKind              = schema.GroupKind{Group: servingGroup, Kind: "Revision"}
	PodAutoscalerKind         = schema.GroupKind{Group: autoscalingGroup, Kind: "PodAutoscaler"}

	HorizontalPodAutoscalerKind = schema.GroupKind{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}
	LimitRangeKind              = schema.GroupKind{Kind: "LimitRange"}

	ResourceClaimKind         = schema.GroupKind{Group: resourceGroup, Kind: "ResourceClaim"}
	ResourceClaimTemplateKind = schema.GroupKind{Group: resourceGroup, Kind: "ResourceClaimTemplate"}
	DeviceClassKind           = schema.GroupKind{Group: resourceGroup, Kind: "DeviceClass"}
)

// Kind is what differs from one kind of object with pods to another.
type Kind struct {
	schema.GroupKind
	Version, Resource string
	// Scale is whether the resource has a subresource of that name.
	Scale bool
	// PodSpec is where an object describes its pods.
	PodSpec []string
	// Replicas is where an object states how many pods it has; nil for a kind that has no such number.
	Replicas []string
	// Owners are the kinds whose controllers make objects of this kind, and Account is the service
	// account in kube-system that each of them has. Jobs of CronJobs have no such account: each Job
	// is judged whoever made it.
	Owners map[schema.GroupKind]string
	// Charged is whether a budget holds a claim for an object itself. What a CronJob or a DaemonSet
	// makes is charged for it.
	Charged bool
	// usage measures an object by itself.
	usage func(o manifest.Object, gpus GPUResources) Usage
}

// templateSpec is where most kinds describe their pods.
var templateSpec = []string{"spec", "template", "spec"}

// Where kinds state how many pods they have.
var (
	replicasAt           = []string{"spec", "replicas"}
	parallelismAt        = []string{"spec", "parallelism"}
	cronJobParallelismAt = []string{"spec", "jobTemplate", "spec", "parallelism"}
)

// kinds are those of Kubernetes itself, owners before what they own.
var kinds = []Kind{
	{GroupKind: CronJobKind, Version: "v1", Resource: "cronjobs",
		PodSpec: []string{"spec", "jobTemplate", "spec", "template", "spec"}, Replicas: cronJobParallelismAt, usage: CronJobUsage},
	{GroupKind: JobKind, Version: "v1", Resource: "jobs", PodSpec: templateSpec, Replicas: parallelismAt, Charged: true, usage: JobUsage},
	{GroupKind: DeploymentKind, Version: "v1", Resource: "deployments", Scale: true, PodSpec: templateSpec, Replicas: replicasAt, Charged: true,
		usage: func(o manifest.Object, gpus GPUResources) Usage { return DeploymentUsage(o, Controlled{}, gpus) }},
	{GroupKind: ReplicaSetKind, Version: "v1", Resource: "replicasets", Scale: true, PodSpec: templateSpec, Replicas: replicasAt, Charged: true,
		Owners: map[schema.GroupKind]string{DeploymentKind: "deployment-controller"}, usage: ReplicaSetUsage},
	{GroupKind: ReplicationControllerKind, Version: "v1", Resource: "replicationcontrollers", Scale: true,
		PodSpec: templateSpec, Replicas: replicasAt, Charged: true, usage: ReplicaSetUsage},
	{GroupKind: StatefulSetKind, Version: "v1", Resource: "statefulsets", Scale: true, PodSpec: templateSpec,
		Replicas: replicasAt, Charged: true, usage: StatefulSetUsage},
	{GroupKind: DaemonSetKind, Version: "v1", Resource: "daemonsets", PodSpec: templateSpec, usage: DaemonSetUsage},
	{GroupKind: PodKind, Version: "v1", Resource: "pods", PodSpec: []string{"spec"}, Charged: true,
		Owners: map[schema.GroupKind]string{
			ReplicaSetKind: "replicaset-controller", ReplicationControllerKind: "replication-controller",
			StatefulSetKind: "statefulset-controller", JobKind: "job-controller", DaemonSetKind: "daemon-set-controller",
		}, usage: PodUsage},
}

// claimKind is that of claims, which hold devices without pods of their own.
var claimKind = Kind{GroupKind: ResourceClaimKind, Version: "v1", Resource: "resourceclaims", Charged: true,
	Owners: map[schema.GroupKind]string{PodKind: "resource-claim-controller"}, usage: ClaimUsage}

// Kinds are the kinds of Kubernetes itself that have pods, owners before what they own.
func Kinds() []Kind { return slices.Clone(kinds) }

// KindFor is the row of a kind that holds devices, with pods or as a ResourceClaim; false for one that
// the table has not.
func KindFor(kind schema.GroupKind) (Kind, bool) {
	if kind == ResourceClaimKind {
		return claimKind, true
	}
	for i := range kinds {
		if kinds[i].GroupKind == kind {
			return kinds[i], true
		}
	}
	return Kind{}, false
}

// KindOf is the kind that an object states; whatever its version is.
func KindOf(o manifest.Object) schema.GroupKind {
	gv, err := schema.ParseGroupVersion(manifest.Text(o, "apiVersion"))
	if err != nil {
		return schema.GroupKind{} // that of nothing
	}
	return schema.GroupKind{Group: gv.Group, Kind: manifest.Text(o, "kind")}
}

// GVR is the kind as the API server serves it.
func (k Kind) GVR() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Resource}
}

// Usage measures an object by itself, without the objects that belong to it.
func (k Kind) Usage(o manifest.Object, gpus GPUResources) Usage { return k.usage(o, gpus) }

// Pods is the specification of an object's pods; nil where it has none.
func (k Kind) Pods(o manifest.Object) manifest.Object {
	if len(k.PodSpec) == 0 {
		return nil
	}
	return manifest.Map(o, k.PodSpec...)
}

// Replaces tells whether the controller of an object makes a new pod beside one that terminates,
// instead of waiting until it is gone.
func Replaces(o manifest.Object) bool {
	switch KindOf(o) {
	case DeploymentKind, ReplicaSetKind, ReplicationControllerKind:
		return true
	case JobKind:
		return manifest.Text(o, "spec", "podReplacementPolicy") != "Failed"
	}
	return false
}
