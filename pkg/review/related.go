package review

import (
	"context"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// related is what was read for a request about what has pods.
type related struct {
	// owner is what the object belongs to as it is to be, and oldOwner what it belonged to.
	owner, oldOwner manifest.Object
	// deployments are those that control a ReplicaSet, or would adopt it, and a HorizontalPodAutoscaler's
	// target is among them.
	deployments []deployment
	// own is what controls of a Deployment that the request is about, and the autoscalers of any kind.
	own deployment
	// pods are those of the stored object, and adoptable those that one which leaves its owner may adopt.
	pods, adoptable []manifest.Object
	// root holds the claim of a Pod, and need is what it needs with the Pod.
	root root
	need workload.Need
	// released are the pods of the stored object that it would not select any more: its controller lets go of them, and
	// makes others.
	released []manifest.Object
	// awaited is whether a Pod belongs to nobody, and a Deployment selects it, which reckons with it.
	awaited bool
	// letGo is whether a Pod is taken from a controller that goes on and does not select it any more.
	letGo bool
	// needed is what a root of an operator's kind needs with the Pod, where that is more than its owner
	// asks for, and fits whether it was admitted with as much.
	needed []workload.Part
	fits   bool
	// operated is whose an operator's account makes the request's object.
	operated *operatorRoot
	// leaves is whether an update takes the object from one of an operator's kind that goes on, or from one of any
	// kind that is gone, and madeOfOld what its operator made of it, where it is of an operator's kind itself.
	leaves    bool
	madeOfOld []workload.Part
	// dangles is whether what answered for the root of a Pod is gone.
	dangles bool
	// left are pods of earlier children of the root, which are gone: the root has others in their place.
	left []manifest.Object
	// leftRevisions are those in the namespace whose Configuration is gone: each counts by itself.
	leftRevisions []manifest.Object
	// leftClaims are ResourceClaims of pods which are gone, of whatever root.
	leftClaims []manifest.Object
	// orphaned is whether the object is taken from an owner that is being deleted while its root, which
	// makes another, goes on.
	orphaned bool
	// unselecting is a Deployment whose controller takes a ReplicaSet for its own by its labels, and which does not select
	// its pods.
	unselecting manifest.Object
	// rollsOut is whether a ReplicaSet is taken from a Deployment that is being deleted, and has another with devices.
	rollsOut bool
	// target is what a HorizontalPodAutoscaler points at.
	target manifest.Object
	// users are those of a ResourceClaimTemplate.
	users TemplateUsers
}

// deployment is a Deployment with what belongs to it.
type deployment struct {
	object                   manifest.Object
	replicaSets, autoscalers []manifest.Object
	// pods are those of its ReplicaSets, where another one comes to it with pods.
	pods []manifest.Object
	// stray is a ReplicaSet with devices that its controller would adopt, and may not.
	stray manifest.Object
}

// adopted is a Deployment with those ReplicaSets that are its own already.
func (d deployment) adopted() deployment {
	d.replicaSets = belonging(d.replicaSets, d.object)
	return d
}

// usage measures a Deployment with what belongs to it, one ReplicaSet in another state: as it was or
// is to be, nil without it.
func (d deployment) usage(object, set manifest.Object, gpus workload.GPUResources) workload.Usage {
	c := workload.Controlled{Autoscaled: autoscaled(d.autoscalers, workload.Replicas(object)), Pods: workload.HeldBy(d.pods, gpus)}
	for _, stored := range d.replicaSets {
		if set == nil || manifest.Text(stored, "metadata", "uid") != manifest.Text(set, "metadata", "uid") {
			c.ReplicaSets = append(c.ReplicaSets, stored)
		}
	}
	if set != nil {
		c.ReplicaSets = append(c.ReplicaSets, set)
	}
	return workload.DeploymentUsage(object, c, gpus)
}

// root is what holds a claim in a ledger.
type root struct {
	key        ledger.Key
	kind, name string
}

func rootOf(o manifest.Object) root {
	kind := workload.KindOf(o)
	r := root{key: key(o, kind.Kind), kind: kind.Kind, name: manifest.Text(o, "metadata", "name")}
	if kind == ServiceKind {
		r.key = ServiceKey(o)
	}
	return r
}

// Resolve reads what the verdict on what holds devices depends on.
func (r *Request) Resolve(ctx context.Context, w World) error {
	if !r.hasPods() && !r.isOperated() && r.of != DeploymentKind && r.of != workload.HorizontalPodAutoscalerKind {
		return nil
	}
	if w.Reader == nil || (!w.budgeted() && !r.selection(w).BoundsGPUs()) || r.onlyStatus() {
		return nil
	}
	r.gpus = r.selection(w).GPUResources()
	in := inNamespace{w.Reader, r.raw.Namespace}
	if r.of == DeploymentKind && (r.madeByKnative(w) || !r.mayHold()) {
		return nil
	}
	if err := r.readClaims(ctx, w, in, r.object, r.old); err != nil {
		return err
	}
	if r.old != nil && r.of != DeploymentKind {
		if err := r.resolveLeaving(ctx, w, in); err != nil {
			return err
		}
	}
	if row, ok := r.operators.For(r.of); ok {
		return r.resolveOperated(ctx, w, in, row)
	}
	switch r.of {
	case workload.PodKind:
		return r.resolvePod(ctx, w, in)
	case workload.ResourceClaimKind:
		return r.resolveClaim(ctx, w, in)
	case DeploymentKind:
		return r.resolveDeployment(ctx, w, in)
	case workload.ReplicaSetKind, workload.ReplicationControllerKind, workload.StatefulSetKind, workload.JobKind:
		if err := r.resolveOwner(ctx, w, in); err != nil {
			return err
		}
		return r.resolveMade(ctx, w, in)
	case workload.HorizontalPodAutoscalerKind:
		return r.resolveTarget(ctx, w, in)
	}
	return nil
}

// resolveOperated reads, for an object of an operator's kind, what scales it, and what it was made of.
func (r *Request) resolveOperated(ctx context.Context, w World, in inNamespace, row *workload.OperatorKind) (err error) {
	if row.Scale {
		target := workload.Target{GroupKind: r.of, Name: manifest.Text(r.object, "metadata", "name")}
		if r.related.own.autoscalers, err = in.autoscalers(ctx, target); err != nil {
			return err
		}
	}
	return r.resolveMade(ctx, w, in)
}

// mayHold tells whether a Deployment, or a ReplicaSet of it, may ask for devices: its template does, or
// it gets pods that earlier ReplicaSets may have.
func (r *Request) mayHold() bool {
	return asksForDevices(r.object) || (r.old != nil && (asksForDevices(r.old) || workload.Replicas(r.object) > workload.Replicas(r.old)))
}

func (r *Request) resolveDeployment(ctx context.Context, w World, in inNamespace) (err error) {
	stated := r.object
	if r.old != nil {
		stated = r.old
	}
	if r.related.own, err = in.deployment(ctx, stated); err != nil {
		return err
	}
	return r.readClaims(ctx, w, in, r.related.own.replicaSets...)
}

// deployment reads what belongs to a Deployment, and the ReplicaSets that it is about to adopt.
func (r inNamespace) deployment(ctx context.Context, object manifest.Object) (d deployment, err error) {
	d.object = object
	listed, err := r.List(ctx, workload.ReplicaSetKind, r.namespace, workload.Selector(object))
	if err != nil {
		return d, err
	}
	for _, set := range listed {
		owned, adopts := manifest.ControllerOf(set) != (manifest.Owner{}), workload.Adopts(object, set)
		switch {
		case workload.Belongs(set, object), !owned && adopts:
			d.replicaSets = append(d.replicaSets, set)
		case !owned && asksForDevices(set):
			d.stray = set
		}
	}
	d.autoscalers, err = r.autoscalers(ctx, workload.Target{GroupKind: DeploymentKind, Name: manifest.Text(object, "metadata", "name")})
	return d, err
}

// resolveOwner reads what a ReplicaSet, ReplicationController, StatefulSet or Job belongs to, and what
// belongs to it.
func (r *Request) resolveOwner(ctx context.Context, w World, in inNamespace) (err error) {
	if kind, _ := workload.KindFor(r.of); kind.Scale {
		r.related.own.autoscalers, err = in.autoscalers(ctx, workload.Target{GroupKind: r.of, Name: manifest.Text(r.object, "metadata", "name")})
		if err != nil {
			return err
		}
	}
	if r.old != nil {
		if r.related.pods, err = in.children(ctx, workload.PodKind, r.old); err != nil {
			return err
		}
		if err = r.readClaims(ctx, w, in, r.related.pods...); err != nil {
			return err
		}
		if r.of == workload.ReplicationControllerKind { // of the others no selector ever changes
			r.related.pods, r.related.released = partition(r.related.pods, func(o manifest.Object) bool { return workload.Selects(r.object, o) })
		}
	}
	if r.of != workload.ReplicaSetKind {
		return nil
	}
	if r.related.owner, err = in.owner(ctx, r.object); err != nil {
		return err
	}
	if r.old != nil {
		if r.related.oldOwner, err = in.owner(ctx, r.old); err != nil {
			return err
		}
		if r.related.orphaned, err = r.isOrphaned(ctx, in); err != nil {
			return err
		}
		if err = r.readAwaited(ctx, w, in); err != nil {
			return err
		}
		if err = r.readRollout(ctx, w, in); err != nil {
			return err
		}
	}
	objects, err := r.adopters(ctx, in)
	if err != nil {
		return err
	}
	for _, object := range objects {
		d, err := in.deployment(ctx, object)
		if err != nil {
			return err
		}
		if r.moved(object) && len(r.takes()) > 0 {
			pods, _, err := in.podsOf(ctx, object, d.replicaSets)
			if err != nil {
				return err
			}
			d.pods = slices.Concat(pods...)
		}
		if err := r.readClaims(ctx, w, in, slices.Concat(d.replicaSets, d.pods, []manifest.Object{object})...); err != nil {
			return err
		}
		r.related.deployments = append(r.related.deployments, d)
	}
	return nil
}

func (r *Request) held(pods []manifest.Object) workload.Held { return workload.HeldBy(pods, r.gpus) }

// resolveTarget reads what a HorizontalPodAutoscaler points at.
func (r *Request) resolveTarget(ctx context.Context, w World, in inNamespace) (err error) {
	target := workload.AutoscalerTarget(r.object)
	row, operated := r.operators.For(target.GroupKind)
	if kind, ok := workload.KindFor(target.GroupKind); (!ok || !kind.Scale) && (!operated || !row.Scale) {
		return nil // what it scales is charged by its pods
	}
	if r.related.target, err = in.get(ctx, target.GroupKind, target.Name); err != nil || r.related.target == nil {
		return err
	}
	if r.related.own.autoscalers, err = in.autoscalers(ctx, target); err != nil {
		return err
	}
	object := r.related.target
	if operated {
		return r.readClaims(ctx, w, in, object)
	}
	if target.GroupKind == workload.ReplicaSetKind {
		if object, err = in.owner(ctx, r.related.target); err != nil {
			return err
		}
	}
	if object == nil || workload.KindOf(object) != DeploymentKind {
		if r.related.pods, err = in.children(ctx, workload.PodKind, r.related.target); err != nil {
			return err
		}
		return r.readClaims(ctx, w, in, append(r.related.pods, r.related.target)...)
	}
	if r.related.oldOwner, err = in.owner(ctx, object); err != nil { // its Revision
		return err
	}
	d, err := in.deployment(ctx, object)
	r.related.deployments = []deployment{d}
	if err != nil {
		return err
	}
	return r.readClaims(ctx, w, in, append(d.replicaSets, object)...)
}

// hasPods tells whether the request is about a kind of Kubernetes' own that has pods, but for
// Deployments, or about a ResourceClaim, which holds devices as a pod does.
func (r *Request) hasPods() bool {
	_, ok := workload.KindFor(r.of)
	return ok && r.of != DeploymentKind
}

func (r *Request) isResize() bool {
	return r.of == workload.PodKind && r.raw.SubResource == "resize" && r.raw.Operation == admissionv1.Update
}

// asksForDevices tells whether the pods of an object ask for any device, which a policy may count, or it
// claims some itself.
func asksForDevices(o manifest.Object) bool {
	kind, ok := workload.KindFor(workload.KindOf(o))
	if !ok {
		return false
	}
	if kind.GroupKind == workload.ResourceClaimKind {
		return len(manifest.List(o, "spec", "devices", "requests")) > 0
	}
	pods := kind.Pods(o)
	if pods["resourceClaims"] != nil || devicesIn(pods) {
		return true
	}
	for _, list := range []string{"containers", "initContainers"} {
		if slices.ContainsFunc(manifest.Objects(pods, list), devicesIn) {
			return true
		}
	}
	return false
}

func devicesIn(o manifest.Object) bool {
	for _, list := range []string{"limits", "requests"} {
		for name := range manifest.Map(o, "resources", list) {
			if workload.IsDevice(name) {
				return true
			}
		}
	}
	return false
}
