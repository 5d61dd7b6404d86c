package usage

import (
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// holder is an object of Kubernetes' own kinds, or of an operator's, with what belongs to it.
type holder struct {
	item *cluster.Item
	kind schema.GroupKind
	// row is that of an operator's kind, and made what its operator made of the object.
	row  *workload.OperatorKind
	made []*holder
	// object, selector and claim, what a Deployment asks for by itself, are read once they are needed.
	object   manifest.Object
	selector labels.Selector
	claim    *workload.Usage
	// pods are what its pods hold; those of a Deployment are those of its ReplicaSets.
	pods workload.Held
	// charged is what of it does not hang on what templates of claims say now.
	charged workload.Held
	// sets are the ReplicaSets of a Deployment.
	sets []manifest.Object
}

func (h *holder) read() manifest.Object {
	if h.object == nil {
		h.object = h.item.Object()
	}
	return h.object
}

// selects tells whether an object selects another by its labels.
func (h *holder) selects(o manifest.Object) bool {
	if h.selector == nil {
		h.selector = workload.Selector(h.read())
	}
	return h.selector.Matches(labels.Set(manifest.Texts(o, "metadata", "labels")))
}

// asks is what a Deployment asks for, whatever it has.
func (h *holder) asks(gpus workload.GPUResources) *workload.Usage {
	if h.claim == nil {
		u := workload.DeploymentUsage(h.read(), workload.Controlled{}, gpus)
		h.claim = &u
	}
	return h.claim
}

// holders finds what belongs to what: ReplicaSets to Deployments, and pods to the objects whose
// controllers count them as their own.
type holders struct {
	gpus workload.GPUResources
	// charged counts without templates of claims, which may have been made anew while what names them was
	// admitted: what they say raises no entry. It is nil where there are none.
	charged   *workload.GPUResources
	operators workload.Operators
	byUID     map[string]*holder
	// podsByUID are pods that may control something.
	podsByUID map[string]*cluster.Item
	// roots are those that hold claims by themselves, Deployments apart, in order.
	roots []*holder
	// alone are the pods that belong to no root, with what they hold, and deploymentsIn the Deployments of each namespace.
	alone         []alonePod
	deploymentsIn map[string][]*holder
	// autoscalers are the HorizontalPodAutoscalers by what they scale.
	autoscalers map[scaled][]manifest.Object
}

type alonePod struct {
	item         *cluster.Item
	parts, asked []workload.Part
}

// scaled is what an autoscaler scales.
type scaled struct {
	namespace string
	workload.Target
}

// newHolders looks at what was listed.
func newHolders(o *cluster.Objects, gpus workload.GPUResources, operators workload.Operators) *holders {
	h := &holders{gpus: gpus, operators: operators, byUID: make(map[string]*holder, len(o.Deployments)), autoscalers: map[scaled][]manifest.Object{}, deploymentsIn: map[string][]*holder{}}
	if claims := gpus.Claims(); claims != nil && claims.Templated() {
		charged := gpus.WithClaims(claims.Made(), "")
		h.charged = &charged
	}
	for i := range o.HorizontalPodAutoscalers {
		item := &o.HorizontalPodAutoscalers[i]
		autoscaler := item.Object()
		at := scaled{item.Namespace, workload.AutoscalerTarget(autoscaler)}
		h.autoscalers[at] = append(h.autoscalers[at], autoscaler)
	}
	h.operated(o)
	for _, l := range []struct {
		kind  schema.GroupKind
		items []cluster.Item
	}{
		{workload.DeploymentKind, o.Deployments}, {workload.JobKind, o.Jobs}, {workload.StatefulSetKind, o.StatefulSets},
		{workload.ReplicationControllerKind, o.ReplicationControllers}, {workload.DaemonSetKind, o.DaemonSets},
		{workload.ReplicaSetKind, o.ReplicaSets},
	} {
		for i := range l.items {
			found := &holder{item: &l.items[i], kind: l.kind}
			if found.item.UID != "" {
				h.byUID[found.item.UID] = found
			}
			h.place(found)
		}
	}
	h.placeMade()
	for i := range o.Pods {
		h.pod(&o.Pods[i])
	}
	h.alone = slices.DeleteFunc(h.alone, h.awaited)
	return h
}

// awaited adds a Pod that a ReplicaSet of a Deployment left behind to the Deployment, which has room for it in its
// claim as long as it lacks pods, and adopts it: it would be counted twice for as long as somebody goes on to
// delete ReplicaSets without their pods. Before the Deployment gets another pod in its place, admission charges the
// one that was left by itself (review.needOfDeployment).
func (h *holders) awaited(left alonePod) bool {
	pod := left.item.Object()
	if manifest.ControllerOf(pod) != (manifest.Owner{}) || len(left.parts) != 1 ||
		manifest.Texts(pod, "metadata", "labels")[appsv1.DefaultDeploymentUniqueLabelKey] == "" {
		return false
	}
	for _, d := range h.deploymentsIn[left.item.Namespace] {
		if d.item.Controller != "" || !d.selects(pod) {
			continue
		}
		u := d.asks(h.gpus)
		if len(u.Parts) != 1 || u.Parts[0].Type != left.parts[0].Type {
			continue
		}
		held := workload.SaturatingAdd(d.pods.Active.GPUs, d.pods.Terminating.GPUs)
		if workload.SaturatingAdd(held, left.parts[0].GPUs) <= u.Claim {
			h.hold(d, pod)
			return true
		}
	}
	return false
}

// hold adds a Pod to those of an object.
func (h *holders) hold(owner *holder, pod manifest.Object) {
	owner.pods.Add(pod, h.gpus)
	if h.charged != nil {
		owner.charged.Add(pod, *h.charged)
	}
}

// place makes an object a root, or part of the Deployment that it belongs to.
func (h *holders) place(found *holder) {
	switch found.kind {
	case workload.DeploymentKind:
		h.deploymentsIn[found.item.Namespace] = append(h.deploymentsIn[found.item.Namespace], found)
	case workload.DaemonSetKind: // its pods claim by themselves
	case workload.ReplicaSetKind:
		rs := found.read()
		if d := h.ownerOf(found.item, rs); d != nil {
			d.sets = append(d.sets, h.autoscaled(found))
		} else {
			h.roots = append(h.roots, found)
		}
	default:
		h.roots = append(h.roots, found)
	}
}

// ownerOf is the object that another belongs to; nil if none was listed.
func (h *holders) ownerOf(item *cluster.Item, o manifest.Object) *holder {
	if owner := h.byUID[item.Controller]; owner != nil && workload.Belongs(o, owner.read()) {
		return owner
	}
	return nil
}

// pod adds what a Pod holds to the root that it belongs to.
func (h *holders) pod(item *cluster.Item) {
	pod := item.Object()
	owner := h.ownerOf(item, pod)
	if owner == nil {
		owner = h.madeFor(item, pod)
	}
	if owner != nil && owner.kind == workload.ReplicaSetKind {
		if d := h.ownerOf(owner.item, owner.read()); d != nil {
			owner = d
		}
	}
	if owner != nil && owner.kind != workload.DaemonSetKind {
		h.hold(owner, pod)
		return
	}
	u := workload.PodUsage(pod, h.gpus)
	if len(u.Parts) == 0 {
		return
	}
	asked := u.Parts
	if h.charged != nil {
		asked = workload.PodUsage(pod, *h.charged).Parts
	}
	h.alone = append(h.alone, alonePod{item, u.Parts, asked})
}

// counting is how what an object asks for, and what its pods hold, is counted: as it may come to be, or as
// admissions were asked about it.
func (h *holders) counting(found *holder, asked bool) (workload.GPUResources, workload.Held) {
	if asked && h.charged != nil {
		return *h.charged, found.charged
	}
	return h.gpus, found.pods
}

// peak is the most pods that autoscalers may have an object ask for; 0 without one.
func (h *holders) peak(found *holder) int64 {
	var peak int64
	target := scaled{found.item.Namespace, workload.Target{GroupKind: found.kind, Name: found.item.Name}}
	for _, autoscaler := range h.autoscalers[target] {
		peak = max(peak, workload.AutoscalerPeak(autoscaler, workload.Replicas(found.read())))
	}
	return peak
}

// autoscaled is an object that asks for as many replicas as an autoscaler may have it ask for.
func (h *holders) autoscaled(found *holder) manifest.Object {
	o, peak := found.read(), h.peak(found)
	if peak <= workload.Replicas(o) {
		return o
	}
	raised, spec := manifest.Object{}, manifest.Object{}
	maps.Copy(raised, o)
	maps.Copy(spec, manifest.Map(o, "spec"))
	raised["spec"], spec["replicas"] = spec, peak
	return raised
}

// usage is what a root other than a Deployment claims, with or without the pods that autoscalers may have
// it ask for.
func (h *holders) usage(found *holder, autoscaled bool) workload.Usage {
	kind, _ := workload.KindFor(found.kind)
	o := found.read()
	if autoscaled {
		o = h.autoscaled(found)
	}
	gpus, held := h.counting(found, !autoscaled)
	u := kind.Usage(o, gpus)
	if found.kind == workload.ReplicaSetKind && found.item.Controller != "" && !autoscaled {
		u.PeakPods = 0 // a Deployment was charged with it, or its controller may have scaled it
	}
	u.Hold(held)
	return u
}

// deployment is what a Deployment claims, given how many pods it may ask for besides what autoscalers
// have it ask for. Autoscalers leave one alone that a Knative Service serves in place of.
func (h *holders) deployment(found *holder, peak int64, service manifest.Object) workload.Usage {
	o := found.read()
	if adopted := service != nil && handover.Owns(o, service) && workload.Replicas(o) == 0; !adopted {
		peak = max(peak, h.peak(found))
	}
	return workload.DeploymentUsage(o, workload.Controlled{ReplicaSets: found.sets, Pods: found.pods, Autoscaled: peak}, h.gpus)
}

// asked is what of a Deployment's claim admissions were asked about, given how many pods it was admitted
// with, and what its pods hold. Its controller writes the ReplicaSets and nobody is asked, so that these
// raise no entry, as little as what autoscalers may yet ask for.
func (h *holders) asked(found *holder, peak int64) workload.Usage {
	gpus, held := h.counting(found, true)
	return workload.DeploymentUsage(found.read(), workload.Controlled{Pods: held, Autoscaled: peak}, gpus)
}

// seen is what the pods of an object hold.
func (h *holders) seen(found *holder) []workload.Part {
	_, held := h.counting(found, true)
	if all := held.All(); all.GPUs > 0 {
		return []workload.Part{all}
	}
	return nil
}

// empty tells whether nothing belongs to an object.
func (h *holder) empty() bool { return h == nil || (len(h.sets) == 0 && h.pods.Pods == 0) }
