package review

import (
	"context"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Kinds that are judged, beside ComputePolicies.
var (
	ServiceKind       = workload.ServiceKind
	ConfigurationKind = workload.ConfigurationKind
	RevisionKind      = workload.RevisionKind
	RouteKind         = workload.RouteKind
	AutoscalerKind    = workload.PodAutoscalerKind
	DeploymentKind    = workload.DeploymentKind
)

// live reads what Knative and its users stored in the request's namespace, where the verdict hangs on it.
func (r *Request) live(w World) live { return live{inNamespace{w.Live, r.raw.Namespace}} }

// live finds nothing where there is no cluster to ask.
type live struct{ inNamespace }

// get is an object; nil if there is none.
func (l live) get(ctx context.Context, kind schema.GroupKind, name string) (manifest.Object, error) {
	if l.Reader == nil {
		return nil, nil
	}
	return l.inNamespace.get(ctx, kind, name)
}

// named are the objects that have one of the names.
func (l live) named(ctx context.Context, kind schema.GroupKind, names []string) (workload.Revisions, error) {
	if l.Reader == nil || len(names) == 0 {
		return nil, nil
	}
	return cluster.Named(ctx, l.Reader, kind, l.namespace, names)
}

// all are the objects of a kind.
func (l live) all(ctx context.Context, kind schema.GroupKind) ([]manifest.Object, error) {
	if l.Reader == nil {
		return nil, nil
	}
	return l.List(ctx, kind, l.namespace, labels.Everything())
}

// rootGoes tells whether what answers for an object of Knative's, which may be itself, is being deleted: if
// it is not, it makes others of what is taken from it.
func (l live) rootGoes(ctx context.Context, kind schema.GroupKind, o manifest.Object) (bool, error) {
	above, ok := workload.MadeFor(kind)
	name, uid := controllerOf(o, above)
	if ok && uid != "" {
		owner, err := l.get(ctx, above, name)
		if err != nil {
			return false, err
		}
		if manifest.Text(owner, "metadata", "uid") == uid {
			return l.rootGoes(ctx, above, owner)
		}
	}
	return manifest.Text(o, "metadata", "deletionTimestamp") != "", nil
}
