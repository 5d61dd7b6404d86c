package review

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"knative.dev/pkg/kmeta"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Covered tells whether a verified owner answers for the object: the live one is its
// controller by UID, would make a child of just this name, and itself asks for no less.
// Nothing that the object says of itself is believed. Of each owner there is one such child
// at a time, so that nobody gets the owner's share twice.
func (r *Request) Covered(ctx context.Context, w World) (bool, error) {
	if r.isDeployment() {
		gpus := r.selection(w).GPUResources()
		return w.Cluster != nil && r.madeByKnative(w) && r.withinRevision(w, workload.DeploymentUsage(r.object, workload.Controlled{}, gpus), gpus), nil
	}
	kind, ok := workload.MadeFor(r.kind())
	if !ok {
		return false, nil
	}
	name, uid := controllerOf(r.object, kind)
	owner, err := r.live(w).get(ctx, kind, name)
	if err != nil || uid == "" || manifest.Text(owner, "metadata", "uid") != uid || manifest.Text(r.object, "metadata", "name") != r.nameFor(owner) {
		return false, err
	}
	if r.old == nil && manifest.Text(owner, "metadata", "deletionTimestamp") != "" {
		return false, nil // Knative makes nothing for it any more
	}
	gpus := r.selection(w).GPUResources()
	switch r.kind() {
	case ConfigurationKind:
		d, admitted := workload.ConfigurationUsage(r.object, w.Knative, gpus, nil), workload.ConfigurationUsage(owner, w.Knative, gpus, nil)
		return d.Within(&admitted), nil
	case RevisionKind:
		d, admitted := workload.RevisionUsage(r.object, w.Knative, gpus), workload.ConfigurationUsage(owner, w.Knative, gpus, nil)
		return d.Within(&admitted), nil
	case AutoscalerKind:
		if workload.ScaledDeployment(r.object) != kmeta.ChildName(name, "-deployment") {
			return false, nil // pods beside the Revision's own
		}
		target, err := r.live(w).get(ctx, DeploymentKind, workload.ScaledDeployment(r.object))
		d, admitted := workload.AutoscalerUsage(r.object, target, w.Knative, gpus), workload.RevisionUsage(owner, w.Knative, gpus)
		return d.Within(&admitted), err // without its Deployment it cannot be counted, and is not
	}
	return routedBy(owner, r.object), nil
}

// nameFor is what Knative calls the child of an owner.
func (r *Request) nameFor(owner manifest.Object) string {
	name := manifest.Text(owner, "metadata", "name")
	if r.kind() != RevisionKind {
		return name
	}
	return revisionOf(owner)
}

// controllerOf is the owner of a kind that an object says controls it.
func controllerOf(o manifest.Object, kind schema.GroupKind) (name, uid string) {
	owner := manifest.ControllerOf(o)
	if owner.GroupKind() != kind {
		return "", ""
	}
	return owner.Name, owner.UID
}

// leftDeployment tells whether an update takes a Knative Service from the Deployment that it was made from, which goes on
// and is to have another of its name.
func (r *Request) leftDeployment(ctx context.Context, w World) (bool, error) {
	name, uid := controllerOf(r.old, DeploymentKind)
	if uid == "" || w.Live == nil {
		return false, nil
	}
	d, err := r.live(w).referred(ctx, workload.OwnerRef{GroupKind: DeploymentKind, Name: name, UID: uid})
	return d != nil && manifest.Text(d, "metadata", "deletionTimestamp") == "" && expand.ReadIntent(d).Expands() &&
		handover.ServiceName(d) == manifest.Text(r.object, "metadata", "name"), err
}

// routedBy tells whether a Service's own traffic names all that its Route names.
func routedBy(service, route manifest.Object) bool {
	named := workload.NamedRevisions(service)
	for _, revision := range workload.NamedRevisions(route) {
		if !slices.Contains(named, revision) {
			return false
		}
	}
	for _, configuration := range workload.NamedConfigurations(route) {
		if configuration != manifest.Text(service, "metadata", "name") {
			return false
		}
	}
	return true
}

// routed are the revisions of the request's Service that Routes name and its own traffic
// does not, and what they are. They keep their pods as long as a Route names them.
func (r *Request) routed(ctx context.Context, w World) (names []string, revisions workload.Revisions, err error) {
	known := append(workload.RevisionsToRead(r.object), workload.RevisionsToRead(r.old)...)
	routes, err := r.live(w).all(ctx, RouteKind)
	if err != nil {
		return nil, nil, err
	}
	for _, route := range routes {
		for _, name := range workload.NamedRevisions(route) {
			if !slices.Contains(known, name) {
				known, names = append(known, name), append(names, name)
			}
		}
	}
	revisions, err = r.live(w).named(ctx, RevisionKind, names)
	names = slices.DeleteFunc(names, func(name string) bool { return !r.owns(revisions[name]) })
	slices.Sort(names)
	return names, revisions, err
}

// owns tells whether a revision is one of the request's Service, or says so: a revision
// that lies about it counts for more than it should, never for less.
func (r *Request) owns(revision manifest.Object) bool {
	configuration, _ := controllerOf(revision, ConfigurationKind)
	labels := manifest.Texts(revision, "metadata", "labels")
	return revision != nil && slices.Contains([]string{configuration, labels["serving.knative.dev/service"], labels["serving.knative.dev/configuration"]},
		manifest.Text(r.object, "metadata", "name"))
}
