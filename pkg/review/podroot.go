package review

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// resolvePod reads what a Pod that its controller makes or adopts belongs to, up to the root, and all that
// the root needs; and of one that is changed whose it is, and who reckons with it.
func (r *Request) resolvePod(ctx context.Context, w World, in inNamespace) (err error) {
	if !asksForDevices(r.object) {
		return nil
	}
	if r.old != nil {
		if r.related.owner, err = in.owner(ctx, r.object); err != nil {
			return err
		}
		if r.related.oldOwner, err = in.owner(ctx, r.old); err != nil {
			return err
		}
		if r.related.orphaned, err = r.isOrphaned(ctx, in); err != nil {
			return err
		}
		if r.related.oldOwner == nil || r.related.orphaned {
			if r.related.awaited, err = in.awaited(ctx, r.old); err != nil {
				return err
			}
			if r.related.letGo, err = in.lets(ctx, r.old); err != nil {
				return err
			}
		}
		if !r.byMaker() || r.related.owner == nil || sameUID(r.related.owner, r.related.oldOwner) {
			return nil
		}
	}
	if r.byMaker() {
		err = r.resolveRoot(ctx, w, in, r.object)
	} else {
		err = r.resolveMade(ctx, w, in)
	}
	if err != nil || (r.related.root.kind == "" && r.related.operated == nil) {
		return err
	}
	return r.readLeftClaims(ctx, w, in)
}

// readLeftClaims reads the ResourceClaims in the namespace that were made for pods which are gone or have
// ended: as long as another pod uses one, its devices are taken. Whose the pods were, nothing tells any more.
func (r *Request) readLeftClaims(ctx context.Context, w World, in inNamespace) error {
	if r.gpus.Claims() == nil && !r.gpus.AsksByClass(r.object) {
		return nil
	}
	if r.gpus.Claims() == nil {
		if err := r.readAllClaims(ctx, w, in); err != nil {
			return err
		}
	}
	if !r.gpus.Claims().AnyMade() {
		return nil
	}
	pods, err := in.List(ctx, workload.PodKind, in.namespace, labels.Everything())
	if err == nil {
		r.related.leftClaims = r.gpus.Claims().Left(pods)
	}
	return err
}

// resolveRoot reads what a Pod belongs to, up to the root, and what the root needs with the Pod, which
// may be stored already.
func (r *Request) resolveRoot(ctx context.Context, w World, in inNamespace, pod manifest.Object) error {
	owner, err := in.owner(ctx, pod)
	if err != nil || owner == nil {
		return err
	}
	r.related.owner = owner
	switch workload.KindOf(owner) {
	case workload.DaemonSetKind:
		return nil // each of its pods is charged by itself
	case workload.ReplicaSetKind:
		deployment, err := in.owner(ctx, owner)
		if err != nil {
			return err
		}
		if deployment != nil {
			return r.needOfDeployment(ctx, w, in, pod, deployment)
		}
	}
	pods, err := in.children(ctx, workload.PodKind, owner)
	if err != nil {
		return err
	}
	if err := r.readClaims(ctx, w, in, append(pods, owner)...); err != nil {
		return err
	}
	r.related.root, r.related.need = rootOf(owner), workload.NeedOf(owner, r.held(with(pods, pod)), r.gpus)
	if workload.KindOf(owner) == workload.ReplicationControllerKind {
		if r.related.left, err = in.unselected(ctx, owner); err != nil {
			return err
		}
		if err = r.readClaims(ctx, w, in, r.related.left...); err != nil {
			return err
		}
	}
	return r.underOperator(ctx, w, in, owner)
}

// unselected are the pods that state a ReplicationController which does not select them any more: it is about to let
// go of them.
func (r inNamespace) unselected(ctx context.Context, owner manifest.Object) ([]manifest.Object, error) {
	listed, err := r.List(ctx, workload.PodKind, r.namespace, labels.Everything())
	left, _ := partition(listed, func(o manifest.Object) bool {
		ref, stated := workload.Owner(o)
		return stated && ref.UID == manifest.Text(owner, "metadata", "uid") && !workload.Selects(owner, o)
	})
	return left, err
}

// lets tells whether a Pod states a controller that goes on and does not select it.
func (r inNamespace) lets(ctx context.Context, pod manifest.Object) (bool, error) {
	ref, stated := workload.Owner(pod)
	if !stated {
		return false, nil
	}
	owner, err := r.referred(ctx, ref)
	return owner != nil && manifest.Text(owner, "metadata", "deletionTimestamp") == "" && !workload.Selects(owner, pod), err
}

// dangles tells whether what would answer for an object in a ledger is gone, while the object states it as its
// controller still. The garbage collector lets such an object stay where it has another owner. A count finds it by
// itself, which nobody was asked about: others may have been charged with it, each for what the others had not yet.
// So it is with a ReplicaSet that does not belong to the Deployment that it states: the controller of that may scale it.
func (r *Request) dangles(ctx context.Context, in inNamespace, o manifest.Object) (bool, error) {
	ref, stated := workload.Controller(o)
	if !stated || !r.answers(ref.GroupKind, o) {
		return false, nil
	}
	if workload.KindOf(o) == workload.ReplicaSetKind && ref.GroupKind == workload.DeploymentKind {
		owner, err := in.owner(ctx, o)
		return owner == nil, err
	}
	owner, err := in.referred(ctx, ref)
	return owner == nil, err
}

// answers tells whether an object of a kind holds the claim of what it controls.
func (r *Request) answers(kind schema.GroupKind, of manifest.Object) bool {
	if row, ok := r.operators.For(kind); ok {
		return row.Charged()
	}
	_, ofKubernetes := workload.Owner(of)
	return (ofKubernetes && kind != workload.CronJobKind) || kind == workload.PodKind // which leads a group
}

// with adds a pod to those that are stored, in the place of what is stored of it.
func with(pods []manifest.Object, pod manifest.Object) []manifest.Object {
	return append(except(pods, manifest.Text(pod, "metadata", "uid")), pod)
}

// awaited tells whether a Deployment selects a Pod that belongs to nobody: until a ReplicaSet of it adopts
// the Pod it makes no other in its place.
func (r inNamespace) awaited(ctx context.Context, pod manifest.Object) (bool, error) {
	listed, err := r.List(ctx, DeploymentKind, r.namespace, labels.Everything())
	if err != nil {
		return false, err
	}
	for _, deployment := range listed {
		if workload.Selects(deployment, pod) {
			return true, nil
		}
	}
	return false, nil
}

// sameUID tells whether two objects are there, and are one.
func sameUID(a, b manifest.Object) bool {
	uid := manifest.Text(a, "metadata", "uid")
	return uid != "" && uid == manifest.Text(b, "metadata", "uid")
}

// needOfDeployment is for a Pod of a Deployment, which may itself belong to a Revision. A Pod whose owners are
// going while they are read is part of none of them, and is charged by itself.
func (r *Request) needOfDeployment(ctx context.Context, w World, in inNamespace, pod, deployment manifest.Object) error {
	revision, err := in.owner(ctx, deployment)
	if err != nil {
		return err
	}
	deployments := []manifest.Object{deployment}
	r.related.root = rootOf(deployment)
	top := deployment
	if revision != nil {
		if top, deployments, err = in.knativeRoot(ctx, revision, deployment); err != nil {
			return err
		}
		r.related.root = rootOf(top)
		if r.related.left, r.related.leftRevisions, err = in.leftByKnative(ctx); err != nil {
			return err
		}
		r.related.leftRevisions = except(r.related.leftRevisions, manifest.Text(revision, "metadata", "uid"))
		if err := r.readClaims(ctx, w, in, slices.Concat(r.related.left, r.related.leftRevisions)...); err != nil {
			return err
		}
	}
	if r.related.dangles, err = r.dangles(ctx, in, top); err != nil {
		return err
	}
	counted := false
	for _, d := range deployments {
		sets, err := in.children(ctx, workload.ReplicaSetKind, d)
		if err != nil {
			return err
		}
		pods, loose, err := in.podsOf(ctx, d, sets)
		if err != nil {
			return err
		}
		if err := r.readClaims(ctx, w, in, slices.Concat(sets, loose, slices.Concat(pods...))...); err != nil {
			return err
		}
		loose = except(loose, manifest.Text(pod, "metadata", "uid"))
		for i, set := range sets {
			adopted, rest := partition(loose, func(o manifest.Object) bool {
				return manifest.ControllerOf(o) == (manifest.Owner{}) && workload.Selects(set, o)
			})
			pods[i], loose = append(pods[i], adopted...), rest
			if sameUID(set, r.related.owner) {
				pods[i], counted = with(pods[i], pod), true
			}
			r.related.need = r.related.need.Plus(workload.NeedOf(set, r.held(pods[i]), r.gpus))
		}
		for _, pod := range loose {
			r.related.left = with(r.related.left, pod)
		}
	}
	r.related.left = except(r.related.left, manifest.Text(pod, "metadata", "uid"))
	if !counted {
		r.related.root, r.related.need, r.related.left, r.related.leftRevisions = root{}, workload.Need{}, nil, nil
	}
	return nil
}

// partition are the objects that something holds of, and the others.
func partition(objects []manifest.Object, holds func(manifest.Object) bool) (found, others []manifest.Object) {
	for _, o := range objects {
		if holds(o) {
			found = append(found, o)
		} else {
			others = append(others, o)
		}
	}
	return found, others
}

// knativeRoot is what holds the claim of a Revision, and the Deployments of all that it holds the claim
// for.
func (r inNamespace) knativeRoot(ctx context.Context, revision, own manifest.Object) (root manifest.Object, deployments []manifest.Object, err error) {
	configuration, err := r.owner(ctx, revision)
	if err != nil || configuration == nil {
		return revision, []manifest.Object{own}, err
	}
	service, err := r.owner(ctx, configuration)
	if err != nil {
		return nil, nil, err
	}
	holder := configuration
	if service != nil {
		holder = service
	}
	revisions, err := r.children(ctx, RevisionKind, configuration)
	if err != nil {
		return nil, nil, err
	}
	listed, err := r.List(ctx, DeploymentKind, r.namespace, labels.Everything())
	if err != nil {
		return nil, nil, err
	}
	for _, revision := range revisions {
		deployments = append(deployments, belonging(listed, revision)...)
	}
	return holder, deployments, nil
}
