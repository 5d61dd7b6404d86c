package review

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Kinds that are judged, beside ComputePolicies.
var (
	ServiceKind       = schema.GroupKind{Group: "serving.knative.dev", Kind: "Service"}
	ConfigurationKind = schema.GroupKind{Group: "serving.knative.dev", Kind: "Configuration"}
	RevisionKind      = schema.GroupKind{Group: "serving.knative.dev", Kind: "Revision"}
	RouteKind         = schema.GroupKind{Group: "serving.knative.dev", Kind: "Route"}
	AutoscalerKind    = schema.GroupKind{Group: "autoscaling.internal.knative.dev", Kind: "PodAutoscaler"}
	DeploymentKind    = schema.GroupKind{Group: "apps", Kind: "Deployment"}
)

// Live reads objects of the request's namespace as they are stored now, never from a
// cache. It is asked only where the verdict hangs on the answer. What cannot be read is
// left out, and whoever made the Live gives no verdict then.
type Live interface {
	// Named are the objects of a kind that have one of the names, by name.
	Named(kind schema.GroupKind, names ...string) map[string]manifest.Object
	// All are the objects of a kind.
	All(kind schema.GroupKind) []manifest.Object
}

// one is a live object; nil where there is none, or nothing to ask.
func (w World) one(kind schema.GroupKind, name string) manifest.Object {
	if w.Live == nil || name == "" {
		return nil
	}
	return w.Live.Named(kind, name)[name]
}

func (w World) named(kind schema.GroupKind, names []string) workload.Revisions {
	if w.Live == nil || len(names) == 0 {
		return nil
	}
	return w.Live.Named(kind, names...)
}
