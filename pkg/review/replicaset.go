package review

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// readAwaited reads, for a ReplicaSet that leaves its Deployment, the pods that belong to nobody and that it may
// adopt at any moment: so far they are the Deployment's to have again.
func (r *Request) readAwaited(ctx context.Context, w World, in inNamespace) error {
	if r.related.oldOwner == nil || r.related.owner != nil {
		return nil
	}
	listed, err := in.List(ctx, workload.PodKind, in.namespace, workload.Selector(r.old))
	if err != nil {
		return err
	}
	r.related.adoptable, _ = partition(listed, func(o manifest.Object) bool { return manifest.ControllerOf(o) == (manifest.Owner{}) })
	return r.readClaims(ctx, w, in, r.related.adoptable...)
}

// readRollout tells, of a ReplicaSet that is taken from a Deployment which is being deleted, whether the Deployment
// has several with devices: those of a rollout may be beside the budget, and afterwards there is none.
func (r *Request) readRollout(ctx context.Context, w World, in inNamespace) error {
	owner := r.related.oldOwner
	if owner == nil || r.related.owner != nil || manifest.Text(owner, "metadata", "deletionTimestamp") == "" {
		return nil
	}
	sets, err := in.children(ctx, workload.ReplicaSetKind, owner)
	if err != nil {
		return err
	}
	pods, _, err := in.podsOf(ctx, owner, sets)
	if err != nil {
		return err
	}
	if err := r.readClaims(ctx, w, in, slices.Concat(append(pods, sets, []manifest.Object{owner})...)...); err != nil {
		return err
	}
	some := 0
	for i, set := range sets {
		if workload.NeedOf(set, r.held(pods[i]), r.gpus).Held.GPUs > 0 {
			some++
		}
	}
	r.related.rollsOut = some > 1
	return nil
}

// moved tells whether an update takes a ReplicaSet from one Deployment to another.
func (r *Request) moved(to manifest.Object) bool {
	return r.related.oldOwner != nil && !sameUID(r.related.oldOwner, to)
}

// adopters are the Deployments that control a ReplicaSet, or would as soon as it is stored.
func (r *Request) adopters(ctx context.Context, in inNamespace) ([]manifest.Object, error) {
	if r.related.owner != nil {
		return []manifest.Object{r.related.owner}, nil
	}
	if manifest.ControllerOf(r.object) != (manifest.Owner{}) {
		ref, _ := workload.Owner(r.object)
		if ref.UID == "" {
			return nil, nil
		}
		stated, err := in.referred(ctx, ref)
		if stated != nil && workload.Selects(stated, r.object) {
			r.related.unselecting = stated
		}
		return nil, err
	}
	listed, err := in.List(ctx, DeploymentKind, in.namespace, labels.Everything())
	if err != nil {
		return nil, err
	}
	var found []manifest.Object
	for _, o := range listed {
		switch {
		case manifest.Text(o, "metadata", "deletionTimestamp") != "":
		case workload.Adopts(o, r.object):
			found = append(found, o)
		case workload.Selects(o, r.object):
			r.related.unselecting = o
		}
	}
	return found, nil
}

// selectsStray refuses that a Deployment is made whose controller would have to adopt a ReplicaSet that may not come to it:
// it would make none of its own, and say nothing.
func (r *Request) selectsStray() *field.Error {
	stray := r.related.own.stray
	if stray == nil || r.old != nil {
		return nil
	}
	return field.Forbidden(field.NewPath("spec", "selector"), fmt.Sprintf(
		"selects ReplicaSet %s by its labels, which has other pods; delete it, or give it other labels, first", manifest.Text(stray, "metadata", "name")))
}

// takes are the pods that an object has, or may adopt once it is taken from its owner.
func (r *Request) takes() []manifest.Object {
	return slices.Concat(r.related.pods, r.related.adoptable)
}

// strays refuses that a ReplicaSet with devices comes to a Deployment that does not select its pods: the controller
// of that scales the ReplicaSet, and once it is gone nothing tells whose its pods were.
func (r *Request) strays() *field.Error {
	same := func(path ...string) bool {
		return manifest.Equal(manifest.At(r.old, path...), manifest.At(r.object, path...))
	}
	if r.related.unselecting == nil || !asksForDevices(r.object) ||
		(r.old != nil && asksForDevices(r.old) && same("metadata", "labels") && same("metadata", "ownerReferences")) {
		return nil
	}
	return field.Forbidden(field.NewPath("spec", "selector"), fmt.Sprintf(
		"takes pods that Deployment %s does not select, which this ReplicaSet has labels of; give it other labels, or a selector with all of the Deployment's",
		manifest.Text(r.related.unselecting, "metadata", "name")))
}

// lacksPods tells whether an object has fewer pods than it asks for. One that is orphaned has been charged
// with its owner, whose entry stays until a count has seen that, and so have the pods that it has.
func (r *Request) lacksPods(d workload.Usage) bool {
	return r.held(r.related.pods).Active.GPUs < d.Claim
}

// replicaSetClaim is what a Deployment claims with the request's ReplicaSet. One that somebody else makes
// is charged by itself, and its Deployment as far as it may scale that one. One that is taken from another Deployment
// brings its pods, for which that makes others.
func (r *Request) replicaSetClaim(w World, of deployment) Claim {
	gpus := r.selection(w).GPUResources()
	set := r.object
	if r.old == nil || r.related.owner == nil {
		set = clone(set)
		if spec := manifest.Map(set, "spec"); spec != nil {
			spec["replicas"] = min(1, workload.Replicas(set)) // one at 0 it leaves alone, unless it is paused
		}
	}
	var before manifest.Object
	without := of
	if uid := manifest.Text(of.object, "metadata", "uid"); r.old != nil && manifest.Text(r.related.oldOwner, "metadata", "uid") == uid && uid != "" {
		before = r.old
	} else {
		without.replicaSets = except(of.replicaSets, manifest.Text(r.object, "metadata", "uid"))
	}
	was := without.usage(of.object, before, gpus)
	moved := r.moved(of.object)
	if moved {
		of.pods = slices.Concat(of.pods, r.takes())
	}
	now, root := of.usage(of.object, set, gpus), rootOf(of.object)
	return Claim{Beyond: moved, Key: root.key, Kind: root.kind, Name: root.name, New: now.Parts, Old: was.Parts, Overlap: now.Overlap, Demand: now, was: was}
}

func except(objects []manifest.Object, uid string) []manifest.Object {
	var rest []manifest.Object
	for _, o := range objects {
		if uid == "" || manifest.Text(o, "metadata", "uid") != uid {
			rest = append(rest, o)
		}
	}
	return rest
}
