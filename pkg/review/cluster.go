package review

import (
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"knative.dev/pkg/kmeta"

	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Cluster is what else there is in the cluster that the verdict on a Deployment depends
// on. All objects are live; nil stands for one that does not exist.
type Cluster struct {
	// Knative is whether Knative Services are served.
	Knative bool
	// Service is the Knative Service of the name that the Deployment asks for, and
	// CoreService the core Service of that name.
	Service, CoreService manifest.Object
	// Revision is the one that the Deployment says it was made for.
	Revision manifest.Object
	// Deployment is the one that controls the Knative Service of the request.
	Deployment manifest.Object
}

// Lookups are the names of what Cluster holds; empty for what need not be read. Around is
// whether World.Around is needed.
type Lookups struct {
	Service, CoreService, Revision, Deployment string
	Around                                     bool
}

// Scaled is the name of what a request scales, of the kind that Kind is; empty for other requests.
func (r *Request) Scaled() string {
	if r.scale {
		return r.raw.Name
	}
	return ""
}

// Object is what is judged, as it is to be.
func (r *Request) Object() manifest.Object { return r.object }

// Labelled tells whether the object asks to be expanded, or to be given resources.
func (r *Request) Labelled() bool {
	intent := expand.ReadIntent(r.object)
	return intent.Expands() || intent.FillsResources()
}

// Kind is the kind of what is judged: of what is scaled, if the request asks for that.
func (r *Request) Kind() schema.GroupKind { return r.of }

// ScaleOf makes a request to scale an object one to update its replicas.
func (r *Request) ScaleOf(scaled manifest.Object) {
	with := func(scale manifest.Object) manifest.Object {
		replicas, _ := manifest.Whole(scale, "spec", "replicas") // 0 is left out
		o := clone(scaled)
		path := []string{"spec", "replicas"}
		if row, ok := r.operators.For(r.of); ok {
			path = row.ReplicasPath()
		}
		if at := manifest.Map(o, path[:len(path)-1]...); at != nil {
			at[path[len(path)-1]] = replicas
		}
		return o
	}
	r.object, r.old = with(r.object), with(r.old)
}

// Lookups tells what the verdict depends on. self is the user that the controller is.
func (r *Request) Lookups(self string) Lookups {
	var l Lookups
	if !r.isDeployment() {
		l.Deployment = r.madeFrom(self)
		return l
	}
	if expand.ReadIntent(r.object).Expands() {
		l.Service = handover.ServiceName(r.object)
		l.Around = !r.scale && (r.old == nil || !sameWorkload(r.old, r.object))
		if !r.expandedBefore() {
			l.CoreService = l.Service
		}
	}
	l.Revision, _, _ = convert.RevisionOwner(r.object)
	return l
}

// expandedBefore tells whether the stored object is labelled for autoscaling already.
func (r *Request) expandedBefore() bool {
	return r.old != nil && expand.ReadIntent(r.old).Expands()
}

// isDeployment tells whether the request is about a Deployment, or its scale.
func (r *Request) isDeployment() bool { return r.of == DeploymentKind }

// scaledKind is the kind that the request scales; not ok for other requests.
func (r *Request) scaledKind() (kind schema.GroupKind, ok bool) {
	raw := r.raw
	if raw.SubResource != "scale" || raw.Operation != admissionv1.Update {
		return kind, false
	}
	for _, k := range workload.Kinds() {
		if k.Scale && k.Group == raw.Resource.Group && k.Resource == raw.Resource.Resource {
			return k.GroupKind, true
		}
	}
	for _, k := range r.operators.Kinds {
		if k.Scale && k.Group == raw.Resource.Group && k.Resource == raw.Resource.Resource {
			return k.GroupKind(), true
		}
	}
	return kind, false
}

// isStatus tells whether a request changes the status of what has pods, or of an object of an operator's kind: it may say
// how much of it has ended, and change annotations, labels and owners with it.
func (r *Request) isStatus() bool {
	if r.raw.SubResource != "status" || r.raw.Operation != admissionv1.Update {
		return false
	}
	return r.of == DeploymentKind || r.hasPods() || r.isOperatedStatus()
}

// onlyStatus tells whether a request changes a status, and not whose an object is, or its labels: the API server stores
// these with the status of most kinds.
func (r *Request) onlyStatus() bool {
	return r.raw.SubResource == "status" && !r.changes("ownerReferences") && !r.changes("labels")
}

// changes tells whether an update changes a part of the metadata.
func (r *Request) changes(key string) bool {
	return !manifest.Equal(manifest.At(r.old, "metadata", key), manifest.At(r.object, "metadata", key))
}

// madeByKnative tells whether Knative made the Deployment for a Revision. What the
// Deployment says of itself counts only as far as the live Revision bears it out.
func (r *Request) madeByKnative(w World) bool {
	name, uid, ok := convert.RevisionOwner(r.object)
	if !ok {
		return false
	}
	if w.Cluster == nil {
		return true // there is nothing to ask
	}
	return uid != "" && manifest.Text(w.Cluster.Revision, "metadata", "uid") == uid &&
		manifest.Text(r.object, "metadata", "name") == kmeta.ChildName(name, "-deployment")
}

// withinRevision tells whether a Deployment that Knative made asks for no more than its
// Revision, which was admitted.
func (r *Request) withinRevision(w World, d workload.Usage, gpus workload.GPUResources) bool {
	if w.Cluster == nil {
		return false
	}
	admitted := workload.RevisionUsage(w.Cluster.Revision, w.Knative, gpus)
	return d.Within(&admitted)
}

// taken names what has the name that the Knative Service needs; empty for nothing.
func (r *Request) taken(w World, name string) string {
	key := r.Namespace() + "/" + name
	switch {
	case w.Cluster == nil:
	case w.Cluster.Service != nil:
		owner := manifest.ControllerOf(w.Cluster.Service)
		if !handover.Owns(r.object, w.Cluster.Service) && !handover.Leftover(manifest.Text(r.object, "metadata", "name"), owner) {
			return "the Knative Service " + key
		}
	case w.Cluster.CoreService != nil && !handover.MadeByKnative(w.Cluster.CoreService):
		return "the core Service " + key
	}
	return ""
}

// withoutBookkeeping is a Deployment as its author wrote it: without what the webhook and
// its controller keep on it, and without what was filled in while it had a fixed size. None
// of it is to end up on the Knative Service.
func withoutBookkeeping(o manifest.Object) manifest.Object {
	o = clone(o)
	expand.Undo(o)
	annotations := manifest.Map(o, "metadata", "annotations")
	for _, key := range append([]string{
		expand.RecordAnnotation, handover.ExemptAnnotation, handover.ExemptUnderAnnotation,
	}, handover.Bookkeeping...) {
		delete(annotations, key)
	}
	return o
}
