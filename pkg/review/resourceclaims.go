package review

import (
	"context"
	"slices"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// sharedScheduler is the user of kube-scheduler, which makes claims for extended resources that classes
// of devices stand behind.
const sharedScheduler = "system:kube-scheduler"

// resolveClaim reads the Pod that a ResourceClaim is made for by the controller that makes such claims, or
// by the scheduler, and what the Pod's root needs with the claim. What only says so is charged by itself.
func (r *Request) resolveClaim(ctx context.Context, w World, in inNamespace) error {
	r.readNamespaceOf(w)
	if r.old != nil || !r.claimedForPod() {
		return nil
	}
	pod, err := r.podOf(ctx, in)
	if err != nil || pod == nil {
		return err
	}
	if err := r.readAllClaims(ctx, w, in); err != nil {
		return err
	}
	if !r.gpus.Claims().Take(r.object, pod) {
		return nil
	}
	if err := r.resolveRoot(ctx, w, in, pod); err != nil || r.related.root.kind != "" {
		return err
	}
	// The Pod is charged by itself: what it was admitted with is what its templates say.
	asked := r.gpus.WithClaims(r.gpus.Claims().Templates(), r.raw.Namespace)
	r.related.root, r.related.need = rootOf(pod), workload.Need{
		Asked: workload.HeldBy([]manifest.Object{pod}, asked).All(), Held: r.held([]manifest.Object{pod}).All(),
	}
	return nil
}

// readNamespaceOf lets the claim count as its namespace allows.
func (r *Request) readNamespaceOf(w World) {
	if r.gpus.Claims() == nil {
		r.countBy(w, workload.NewClaims(nil, nil))
	}
}

// podOf is the Pod that the request's claim states as its controller, if it is there and has not ended.
func (r *Request) podOf(ctx context.Context, in inNamespace) (manifest.Object, error) {
	ref, ok := workload.Owner(r.object)
	if !ok {
		return nil, nil
	}
	pod, err := in.get(ctx, ref.GroupKind, ref.Name)
	if err != nil || manifest.Text(pod, "metadata", "uid") != ref.UID {
		return nil, err
	}
	return pod, nil
}

// claimedForPod tells whether the controller of claims makes one for a Pod's template, or the scheduler one
// for a Pod's extended resources.
func (r *Request) claimedForPod() bool {
	annotations := manifest.Texts(r.object, "metadata", "annotations")
	if annotations[resourcev1.ExtendedResourceClaimAnnotation] == "true" {
		return r.raw.UserInfo.Username == sharedScheduler
	}
	return annotations[resourcev1.PodResourceClaimAnnotation] != "" && r.byMaker()
}

// leavingClaims are for an update of a ResourceClaim, whose devices never change: it is charged where it
// holds them by itself from then on, and was its Pod's before.
func (r *Request) leavingClaims(d workload.Usage) []Claim {
	if r.takesProtection() {
		why := field.Forbidden(field.NewPath("metadata", "finalizers"), resourcev1.Finalizer+
			" stays while devices are allocated, or pods use the claim: delete the pods, and the claim, and Kubernetes takes it away")
		return []Claim{{Key: r.key(), Kind: r.of.Kind, Name: r.storedName(), Demand: d, Unknown: field.ErrorList{why}}}
	}
	if !r.leavesPod() {
		return nil
	}
	c := newClaim(r.key(), r.of.Kind, d, nil)
	c.Name, c.Unknown, c.Beyond = r.storedName(), nil, true // an entry that is left from before is not free
	return []Claim{c}
}

// takesProtection tells whether an update has a ResourceClaim go while pods have its devices: somebody else than
// Kubernetes' controllers takes the finalizer that holds it until then.
func (r *Request) takesProtection() bool {
	has := func(o manifest.Object) bool {
		return slices.Contains(manifest.List(o, "metadata", "finalizers"), any(resourcev1.Finalizer))
	}
	used := manifest.At(r.object, "status", "allocation") != nil || len(manifest.List(r.object, "status", "reservedFor")) > 0
	return r.of == workload.ResourceClaimKind && used && has(r.old) && !has(r.object) && !r.byKubernetes()
}

// leavesPod tells whether an update takes a ResourceClaim from the Pod that it was counted with: from then
// on it holds its devices by itself, and the Pod may get another one.
func (r *Request) leavesPod() bool {
	ref, owned := workload.Owner(r.old)
	now, still := workload.Owner(r.object)
	same := func(annotation string) bool {
		return manifest.Text(r.old, "metadata", "annotations", annotation) == manifest.Text(r.object, "metadata", "annotations", annotation)
	}
	return owned && (!still || now != ref ||
		!same(resourcev1.PodResourceClaimAnnotation) || !same(resourcev1.ExtendedResourceClaimAnnotation))
}
