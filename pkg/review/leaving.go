package review

import (
	"context"
	"maps"
	"slices"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// This file says of every kind when an update takes an object out of what answered for it so far: from its
// owner, from the traffic that did not reach it, or from the target that it scaled.

// resolveLeaving reads whether an update takes an object from the one of an operator's kind that answered for
// it, which goes on, so that its operator makes another in the object's place; or from what answered for it and
// is gone.
func (r *Request) resolveLeaving(ctx context.Context, w World, in inNamespace) (err error) {
	ref, ok := workload.Controller(r.old)
	if now, still := workload.Controller(r.object); !ok || (still && now == ref) {
		return nil
	}
	if r.of != workload.PodKind && r.of != workload.ResourceClaimKind {
		r.related.leaves, err = r.dangles(ctx, in, r.old)
	}
	if _, ofKubernetes := workload.Owner(r.old); err != nil || (ofKubernetes && !r.related.leaves) {
		return err // what it belongs to is read for it
	}
	if !r.related.leaves {
		root, _, err := r.rootOf(ctx, in, r.old)
		if err != nil || root == nil || manifest.Text(root, "metadata", "deletionTimestamp") != "" {
			return err // then what is left is counted by itself
		}
		r.related.leaves = true
	}
	row, ok := r.operators.For(r.of)
	if !ok || !row.Charged() {
		return nil
	}
	if err := r.readClaims(ctx, w, in, r.old); err != nil {
		return err
	}
	r.related.madeOfOld, err = r.madeOf(ctx, in, r.old, row, "")
	return err
}

// isOrphaned tells whether an object is taken from its owner, which is being deleted, while its root goes on.
func (r *Request) isOrphaned(ctx context.Context, in inNamespace) (bool, error) {
	owner := r.related.oldOwner
	if owner == nil || r.related.owner != nil || manifest.Text(owner, "metadata", "deletionTimestamp") == "" {
		return false, nil
	}
	goes, err := in.rootGoes(ctx, owner)
	if err != nil || !goes {
		return !goes, err
	}
	root, _, err := r.rootOf(ctx, in, owner)
	return root != nil && manifest.Text(root, "metadata", "deletionTimestamp") == "", err
}

// detached tells whether an update takes an object from the owner that answered for it.
// The garbage collector does so for an owner that is deleted without its children: its entry
// stays until they are counted by themselves, unless it is part of a root that goes on.
func (r *Request) detached(ctx context.Context, w World) (bool, error) {
	if r.old == nil || manifest.Equal(manifest.At(r.old, "metadata", "ownerReferences"), manifest.At(r.object, "metadata", "ownerReferences")) {
		return false, nil
	}
	kind, ok := workload.MadeFor(r.kind())
	if r.isDeployment() {
		kind, ok = RevisionKind, true
	}
	name, uid := controllerOf(r.old, kind)
	if !ok || uid == "" {
		return false, nil
	}
	if still, same := controllerOf(r.object, kind); still == name && same == uid {
		return false, nil // it has another owner beside it
	}
	owner, err := r.live(w).get(ctx, kind, name)
	if err != nil || manifest.Text(owner, "metadata", "uid") != uid || manifest.Text(owner, "metadata", "deletionTimestamp") == "" {
		return true, err
	}
	goes, err := r.live(w).rootGoes(ctx, kind, owner)
	return !goes, err
}

// startsRevision tells whether an update has Knative give pods to a Revision that may have none: it
// marks the Revision as routed, or changes its scale.
func (r *Request) startsRevision() bool {
	return r.kind() == RevisionKind && r.old != nil && (r.becomesRouted() || !maps.Equal(scaleOf(r.old), scaleOf(r.object)))
}

// retargets tells whether an update has a PodAutoscaler scale something else: its Revision may
// have answered for it so far.
func (r *Request) retargets() bool {
	return r.kind() == AutoscalerKind && r.old != nil && workload.ScaledDeployment(r.old) != workload.ScaledDeployment(r.object)
}

// becomesRouted tells whether an update marks a Revision as routed, or no longer as one that is
// not: of what is not marked at all, Knative keeps the pods that min-scale asks for.
func (r *Request) becomesRouted() bool {
	const state, active, reserve = "serving.knative.dev/routingState", "active", "reserve"
	now, was := manifest.Text(r.object, "metadata", "labels", state), manifest.Text(r.old, "metadata", "labels", state)
	return r.kind() == RevisionKind && now != was && (now == active || was == reserve)
}

// alreadyRouted tells whether a Revision that asks for no more than before is one that traffic
// goes to: then that was charged where the traffic is written. What a status says of that may be a
// tenant's word.
func (r *Request) alreadyRouted(ctx context.Context, w World) (bool, error) {
	if r.kind() != RevisionKind || r.old == nil || w.Live == nil {
		return false, nil
	}
	if left, err := r.detached(ctx, w); left || err != nil {
		return false, err
	}
	gpus := r.selection(w).GPUResources()
	now, was := workload.RevisionUsage(r.object, w.Knative, gpus), workload.RevisionUsage(r.old, w.Knative, gpus)
	if now.Claim > was.Claim || now.Outgrows(&was) {
		return false, nil
	}
	name := manifest.Text(r.object, "metadata", "name")
	configuration, uid := controllerOf(r.object, ConfigurationKind)
	owner, err := r.live(w).get(ctx, ConfigurationKind, configuration)
	if err != nil || (manifest.Text(owner, "metadata", "uid") == uid && revisionOf(owner) == name) {
		return err == nil, err
	}
	service, err := r.live(w).get(ctx, ServiceKind, configuration)
	if err != nil || specNames(service)[name] {
		return err == nil, err
	}
	routes, err := r.live(w).all(ctx, RouteKind)
	return slices.ContainsFunc(routes, func(route manifest.Object) bool { return specNames(route)[name] }), err
}
