package review

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// judgePods holds what has pods, but for Deployments and Knative's kinds, against the bounds. Pods that
// their controller makes of an admitted template pass: they go on after a policy became stricter.
func (r *Request) judgePods(w World) Verdict {
	if !r.startsPods() {
		return Verdict{}
	}
	d, old := r.podUsage(w)
	if r.of == workload.ResourceClaimKind && r.related.root.kind != "" {
		return Verdict{} // part of its Pod, which was judged
	}
	if stray := r.strays(); stray != nil {
		return Verdict{Errors: field.ErrorList{stray}}
	}
	v := r.judgeRaised(w, r.verdict(r.selection(w), d, old), func(r *Request) (workload.Usage, *workload.Usage) { return r.podUsage(w) })
	if !v.silent() && ((r.byMaker() && r.withinOwner(w, d)) || r.madeWithin(w, d)) {
		v = Verdict{}
	}
	for _, deployment := range r.related.deployments {
		if v.Refused() {
			break
		}
		// The Deployment may scale it to as many pods as it has itself.
		c := r.replicaSetClaim(w, deployment)
		if adopted := r.verdict(r.selection(w), c.Demand, &c.was); adopted.Refused() || v.silent() {
			v = adopted
		}
	}
	return v
}

// startsPods tells whether a request, admitted, may start pods with devices, or takes some from what they were charged
// with. Others never come from an API server.
func (r *Request) startsPods() bool {
	return !r.onlyStatus() && !r.isMirror() && (asksForDevices(r.object) || (r.old != nil && asksForDevices(r.old)) || r.takesPods())
}

// takesPods tells whether an object is taken from what controls it with pods that have devices, or lets go of such, though its
// template has none: it was another when they were made, or a LimitRange gives them, or they were adopted.
func (r *Request) takesPods() bool {
	if r.old == nil || r.of == workload.PodKind {
		return false
	}
	if r.held(r.related.released).Pods > 0 {
		return true
	}
	was, stated := workload.Controller(r.old)
	now, still := workload.Controller(r.object)
	leaves := stated && (!still || was != now || r.related.owner == nil)
	return leaves && r.held(r.takes()).Pods > 0
}

// podUsage measures the new and, on UPDATE, the old object by itself, as far as autoscalers may raise it.
func (r *Request) podUsage(w World) (workload.Usage, *workload.Usage) {
	gpus := r.selection(w).GPUResources()
	kind, _ := workload.KindFor(r.of)
	measure := func(o manifest.Object) workload.Usage {
		u := kind.Usage(o, gpus)
		if u.PeakPods > 0 {
			u.RaisePeak(autoscaled(r.related.own.autoscalers, u.PeakPods))
		}
		return u
	}
	d := measure(r.object)
	if r.old == nil {
		return d, nil
	}
	old := measure(r.old)
	return d, &old
}

// withinOwner tells whether an object asks for no more GPUs per pod than the admitted owner that it
// belongs to. Earlier ReplicaSets of a Deployment differ from it, and were admitted as its template.
func (r *Request) withinOwner(w World, d workload.Usage) bool {
	owner := r.related.owner
	kind, ok := workload.KindFor(workload.KindOf(owner))
	if owner == nil || !ok {
		return false
	}
	if r.of == workload.ReplicaSetKind {
		return true
	}
	admitted := kind.Usage(owner, r.selection(w).GPUResources())
	admitted.RaisePeak(d.PeakPods)
	return d.Within(&admitted)
}

// podClaims are those of what has pods, but for Deployments and Knative's kinds.
func (r *Request) podClaims(w World) []Claim {
	if !r.startsPods() {
		return nil
	}
	kind, _ := workload.KindFor(r.of)
	d, old := r.podUsage(w)
	switch {
	case !kind.Charged:
		return nil // what it makes is charged
	case r.related.root.kind != "":
		return r.neededClaims(w, d)
	case r.of == workload.PodKind && r.old != nil:
		return r.movedClaims(w, d)
	case r.of == workload.ResourceClaimKind && r.old != nil:
		return r.leavingClaims(d)
	case r.related.operated != nil:
		if made := r.madeClaims(w, d, old); made != nil {
			return made
		}
		return []Claim{r.beyondRoot(d, old)}
	case r.of == workload.ReplicaSetKind && r.byMaker() && r.related.owner != nil && (r.old == nil || r.related.oldOwner != nil):
		return nil // part of its Deployment, which was charged
	}
	if r.raised() {
		_, old = r.byItself().podUsage(w)
	}
	lacks := r.lacksPods(d)
	if held := r.held(r.takes()); held.Pods > 0 {
		if old != nil {
			old.Was(r.old, held, d)
		}
		d.Expect(r.object, held)
	}
	var claims []Claim
	for _, deployment := range r.related.deployments {
		claims = append(claims, r.replicaSetClaim(w, deployment))
	}
	if r.old != nil && r.related.owner != nil {
		return claims // it is its Deployment's
	}
	own := newClaim(r.key(), r.of.Kind, d, old)
	own.Name = r.storedName()
	if owner := r.related.oldOwner; r.related.leaves || owner != nil &&
		(r.related.orphaned || manifest.Text(owner, "metadata", "deletionTimestamp") == "" || r.related.rollsOut || lacks) {
		own.Old, own.Beyond = nil, true // its owner's entry, not its own: one that is left from before is not free
	}
	for _, c := range r.podsBeside(r.related.released) {
		c.Demand.Paths = map[string]*field.Path{workload.PeakKey: field.NewPath("spec", "selector")}
		claims = append(claims, c)
	}
	return append(claims, own)
}

// neededClaims are for a Pod that its controller makes: what the root needs with it, and what earlier pods of
// the root hold that it has others in the place of. These may be counted already, and the root's entry is no
// less for that: then the ledger as a whole has to have room.
func (r *Request) neededClaims(w World, d workload.Usage) []Claim {
	need := r.related.need
	c := Claim{Key: r.related.root.key, Kind: r.related.root.kind, Name: r.related.root.name, Demand: d, Unknown: d.GPUs.Unknown,
		Held: true, Settled: need.Settled()}
	if need.Held.GPUs > 0 {
		c.New = []workload.Part{need.Held}
	}
	if r.related.needed != nil {
		c.New, c.Settled = r.related.needed, r.related.fits
	}
	if r.related.dangles {
		c.Beyond, c.Settled = true, false
	}
	return r.besideLeft(w, c)
}

// movedClaims are for a Pod that is taken from its controller, or from the Deployment that waits to adopt
// it: that makes another in its place. By itself it takes room even if it was counted by itself. Where it is
// changed otherwise it stays whose it is. Its controller lets go of one that it does not select any more: that was charged
// when the Pod got other labels, or a ReplicationController another selector, or was not, where the labels came with
// the Pod's binding or its status. The garbage collector lets go of one whose owner is deleted without its pods, which is
// free where a Deployment that goes on waits for it, and is refused otherwise as long as the root goes on and there is no
// room for both.
func (r *Request) movedClaims(w World, d workload.Usage) []Claim {
	if r.isResize() || w.Reader == nil {
		return nil
	}
	c := newClaim(r.key(), r.of.Kind, d, nil)
	c.Name, c.Held, c.Beyond = r.storedName(), true, true
	if r.related.leaves {
		return []Claim{c}
	}
	switch ref, stated := workload.Owner(r.old); {
	case r.related.oldOwner == nil && !r.related.awaited && !stated,
		stated && ref.Kind == workload.DaemonSetKind.Kind:
		return nil // charged by itself
	case stated && r.related.owner != nil && manifest.Text(r.related.owner, "metadata", "uid") == ref.UID:
		return nil
	case r.related.awaited && r.related.owner == nil &&
		manifest.Equal(manifest.At(r.old, "metadata", "labels"), manifest.At(r.object, "metadata", "labels")):
		return nil
	}
	if r.byKubernetes() && r.related.owner == nil && !r.related.orphaned && !r.related.letGo && !r.selectsStill() {
		return nil
	}
	return []Claim{c}
}

// selectsStill tells whether a Pod is taken from a ReplicationController that goes on and selects it: its controller goes
// by a selector that it had before, so that nobody was charged for the Pod.
func (r *Request) selectsStill() bool {
	return workload.KindOf(r.related.oldOwner) == workload.ReplicationControllerKind && manifest.Text(r.related.oldOwner, "metadata", "deletionTimestamp") == ""
}

// statusClaims refuse, where a budget counts them, that somebody says of GPUs that they are not used any
// more who cannot know.
func (r *Request) statusClaims(w World) []Claim {
	kind, _ := workload.KindFor(r.of)
	if (r.of != workload.PodKind && r.of != workload.JobKind) || !asksForDevices(r.object) || r.knowsStatus() {
		return nil
	}
	var why *field.Error
	status := field.NewPath("status")
	now, was := kind.Usage(r.object, r.selection(w).GPUResources()), kind.Usage(r.old, r.selection(w).GPUResources())
	switch {
	case r.forgesExtended():
		why = field.Forbidden(status.Child("extendedResourceClaimStatus"),
			"only the scheduler may say which ResourceClaim holds the devices of a pod's extended resources; leave it as it is")
	case r.of == workload.PodKind && now.Claim >= was.Claim, now.Claim == was.Claim && !otherSucceeded(r.old, r.object):
		return nil
	case r.of == workload.PodKind:
		why = field.Forbidden(status.Child("phase"), "only the node of a pod with GPUs, and the garbage collector of pods, may say that it has ended; delete the pod")
	default:
		why = field.Forbidden(status, "only the controller of a Job with GPUs may say how much of it has finished; suspend or delete the Job")
	}
	return []Claim{{Key: r.key(), Kind: r.of.Kind, Name: r.storedName(), Demand: was, Unknown: field.ErrorList{why}}}
}

// forgesExtended tells whether somebody else than the scheduler says which ResourceClaim holds the devices of
// a Pod's extended resources: what that holds would be counted no more.
func (r *Request) forgesExtended() bool {
	const key = "extendedResourceClaimStatus"
	now := manifest.At(r.object, "status", key)
	return r.of == workload.PodKind && r.raw.UserInfo.Username != sharedScheduler && now != nil &&
		!manifest.Equal(now, manifest.At(r.old, "status", key))
}

// otherSucceeded tells whether another number of pods of a Job have succeeded than before: fewer would have a count find
// that more are yet to come, for which nobody found room.
func otherSucceeded(old, now manifest.Object) bool {
	was, _ := manifest.Whole(old, "status", "succeeded")
	is, _ := manifest.Whole(now, "status", "succeeded")
	managedBy := manifest.Text(now, "spec", "managedBy")
	return is != was && (managedBy == "" || managedBy == ownJobs)
}

// knowsStatus tells whether a status is told by who sees it: of a pod its node and the collector of those
// whose node is gone, of a Job its controller.
func (r *Request) knowsStatus() bool {
	if r.of == workload.PodKind {
		return r.byNode() || r.isController("pod-garbage-collector")
	}
	return r.isController("job-controller")
}

// judgeTarget holds what a HorizontalPodAutoscaler may make of its target against the bounds.
func (r *Request) judgeTarget(w World) Verdict {
	claims := r.targetClaims(w)
	if len(claims) == 0 {
		return Verdict{}
	}
	was := claims[0].was
	return r.verdict(r.selection(w), claims[0].Demand, &was)
}

// targetClaims are what the root of a HorizontalPodAutoscaler's target claims once that is stored. Where
// there is no target nothing is: its creation looks for autoscalers.
func (r *Request) targetClaims(w World) []Claim {
	target := r.related.target
	kind, ok := workload.KindFor(workload.KindOf(target))
	row, operated := r.operators.For(workload.KindOf(target))
	if target == nil || (!ok && !operated) || r.sameAutoscaler() {
		return nil
	}
	gpus := r.selection(w).GPUResources()
	now := append(exceptNamed(r.related.own.autoscalers, manifest.Text(r.object, "metadata", "name")), r.object)
	before := exceptNamed(r.related.own.autoscalers, manifest.Text(r.object, "metadata", "name"))
	if r.old != nil && workload.AutoscalerTarget(r.old) == workload.AutoscalerTarget(r.object) {
		before = append(before, r.old)
	}
	if operated {
		return []Claim{r.atAutoscaler(r.operatedTarget(w, row, now, before))}
	}
	measure := func(autoscalers []manifest.Object) (u workload.Usage, key root) {
		pods := autoscaled(autoscalers, workload.Replicas(target))
		if len(r.related.deployments) == 0 {
			u = kind.Usage(target, gpus)
			u.RaisePeak(pods)
			u.Expect(target, r.held(r.related.pods))
			return u, rootOf(target)
		}
		d := r.related.deployments[0]
		if kind.GroupKind == DeploymentKind {
			d.autoscalers = autoscalers
			return d.usage(d.object, nil, gpus), rootOf(d.object)
		}
		set := clone(target)
		if spec := manifest.Map(set, "spec"); spec != nil {
			spec["replicas"] = max(pods, workload.Replicas(target))
		}
		return d.usage(d.object, set, gpus), rootOf(d.object)
	}
	d, holder := measure(now)
	was, _ := measure(before)
	if revision := r.related.oldOwner; revision != nil {
		admitted := workload.RevisionUsage(revision, w.Knative, gpus)
		if d.WithinGPUs(&admitted) {
			return nil // Knative's own, as its Revision was admitted
		}
	}
	return []Claim{r.atAutoscaler(Claim{Key: holder.key, Kind: holder.kind, Name: holder.name, New: d.Parts, Old: was.Parts, Overlap: d.Overlap, Demand: d, was: was})}
}

// atAutoscaler places what is wrong with a claim of its target in a HorizontalPodAutoscaler.
func (r *Request) atAutoscaler(c Claim) Claim {
	at := field.NewPath("spec", "maxReplicas")
	c.Demand.Paths = map[string]*field.Path{workload.PeakKey: at, knative.MaxScaleKey: at, knative.MinScaleKey: field.NewPath("spec", "minReplicas")}
	return c
}

// sameAutoscaler tells whether an update of a HorizontalPodAutoscaler asks for nothing else.
func (r *Request) sameAutoscaler() bool {
	return r.old != nil && manifest.Equal(r.old["spec"], r.object["spec"])
}

func exceptNamed(objects []manifest.Object, name string) []manifest.Object {
	var rest []manifest.Object
	for _, o := range objects {
		if manifest.Text(o, "metadata", "name") != name {
			rest = append(rest, o)
		}
	}
	return rest
}

// limitRangeUsage is what a LimitRange newly gives to containers that ask for no device: it cannot be
// counted, so no bound on GPUs and no budget admits it.
func (r *Request) limitRangeUsage() workload.Usage {
	u := workload.LimitRangeUsage(r.object)
	had := map[string]bool{}
	if r.old != nil {
		for _, e := range workload.DefaultedDevices(r.old) {
			had[e.Error()] = true
		}
	}
	u.GPUs.Unknown = slices.DeleteFunc(u.GPUs.Unknown, func(e *field.Error) bool { return had[e.Error()] })
	return u
}

// limitRangeClaims have nothing that can be counted.
func (r *Request) limitRangeClaims() []Claim {
	u := r.limitRangeUsage()
	if len(u.GPUs.Unknown) == 0 {
		return nil
	}
	return []Claim{{Key: r.key(), Kind: r.of.Kind, Name: r.storedName(), Demand: u, Unknown: u.GPUs.Unknown}}
}
