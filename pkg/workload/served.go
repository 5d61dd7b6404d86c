package workload

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// Kinds that counts and verdicts read beside those of the table: what Knative makes, and what points at a
// workload or at its pods.
var (
	CoreServiceKind           = schema.GroupKind{Kind: "Service"}
	IngressKind               = schema.GroupKind{Group: "networking.k8s.io", Kind: "Ingress"}
	NetworkPolicyKind         = schema.GroupKind{Group: "networking.k8s.io", Kind: "NetworkPolicy"}
	PodDisruptionBudgetKind   = schema.GroupKind{Group: "policy", Kind: "PodDisruptionBudget"}
	VerticalPodAutoscalerKind = schema.GroupKind{Group: "autoscaling.k8s.io", Kind: "VerticalPodAutoscaler"}
	ScaledObjectKind          = schema.GroupKind{Group: "keda.sh", Kind: "ScaledObject"}
	HTTPRouteKind             = schema.GroupKind{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}
	GRPCRouteKind             = schema.GroupKind{Group: "gateway.networking.k8s.io", Kind: "GRPCRoute"}
)

// served are the version and the resource of each of them.
var served = map[schema.GroupKind]struct{ version, resource string }{
	ServiceKind:                 {"v1", "services"},
	ConfigurationKind:           {"v1", "configurations"},
	RouteKind:                   {"v1", "routes"},
	RevisionKind:                {"v1", "revisions"},
	PodAutoscalerKind:           {"v1alpha1", "podautoscalers"},
	HorizontalPodAutoscalerKind: {"v2", "horizontalpodautoscalers"},
	VerticalPodAutoscalerKind:   {"v1", "verticalpodautoscalers"},
	ScaledObjectKind:            {"v1alpha1", "scaledobjects"},
	LimitRangeKind:              {"v1", "limitranges"},
	ResourceClaimTemplateKind:   {"v1", "resourceclaimtemplates"},
	DeviceClassKind:             {"v1", "deviceclasses"},
	CoreServiceKind:             {"v1", "services"},
	IngressKind:                 {"v1", "ingresses"},
	NetworkPolicyKind:           {"v1", "networkpolicies"},
	PodDisruptionBudgetKind:     {"v1", "poddisruptionbudgets"},
	HTTPRouteKind:               {"v1", "httproutes"},
	GRPCRouteKind:               {"v1", "grpcroutes"},
}

// ResourceOf is how the API server serves a kind, of the table or beside it; false for a kind that is not read.
func ResourceOf(kind schema.GroupKind) (schema.GroupVersionResource, bool) {
	if s, ok := served[kind]; ok {
		return schema.GroupVersionResource{Group: kind.Group, Version: s.version, Resource: s.resource}, true
	}
	k, ok := KindFor(kind)
	return k.GVR(), ok
}

// MustResource is ResourceOf for variables of packages. It panics for a kind that is not read.
func MustResource(kind schema.GroupKind) schema.GroupVersionResource {
	resource, ok := ResourceOf(kind)
	if !ok {
		panic("objects of kind " + kind.String() + " are not read")
	}
	return resource
}

// States tells whether an object states a kind in the version in which it is read.
func States(o manifest.Object, kind schema.GroupKind) bool {
	resource, ok := ResourceOf(kind)
	return ok && manifest.Text(o, "kind") == kind.Kind && manifest.Text(o, "apiVersion") == resource.GroupVersion().String()
}
