package workload

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// PodUsage measures a Pod: one, until it has ended. One that terminates has not.
func PodUsage(pod manifest.Object, gpus GPUResources) Usage {
	peak := int64(1)
	if Ended(pod) {
		peak = 0
	}
	gpus.pod = pod
	return fixedUsage(pod, []string{"spec"}, peak, field.NewPath("spec"), gpus)
}

// Ended tells whether none of a Pod's containers runs, nor will run again.
func Ended(pod manifest.Object) bool {
	phase := manifest.Text(pod, "status", "phase")
	return phase == "Succeeded" || phase == "Failed"
}

// Held is what the pods of an object hold together, as far as they have not ended.
type Held struct {
	// Active pods, and those that terminate.
	Active, Terminating Part
	// Largest is the most that one of them holds.
	Largest Part
	// Pods is how many hold GPUs, and active how many of these do not terminate.
	Pods, active int64
	// replicas are those of StatefulSets.
	replicas []replica
}

// replica is what a pod of a StatefulSet holds.
type replica struct {
	ordinal int64
	part    Part
}

// Add adds a Pod.
func (h *Held) Add(pod manifest.Object, gpus GPUResources) {
	u := PodUsage(pod, gpus)
	if u.Claim == 0 {
		return
	}
	h.Pods++
	h.Largest = h.Largest.or(u.part(""))
	if owner, ok := Owner(pod); ok && owner.GroupKind == StatefulSetKind {
		name := manifest.Text(pod, "metadata", "name") // of its set, whose name the owner reference may not have
		if ordinal, ok := ordinalOf(name, name[:max(0, strings.LastIndex(name, "-"))]); ok {
			h.replicas = append(h.replicas, replica{ordinal, u.part("")})
		}
	}
	if deleting(pod) {
		h.Terminating = h.Terminating.plus(u.part(""))
	} else {
		h.Active = h.Active.plus(u.part(""))
		h.active++
	}
}

// HeldBy is what pods hold together.
func HeldBy(pods []manifest.Object, gpus GPUResources) Held {
	var h Held
	for _, pod := range pods {
		h.Add(pod, gpus)
	}
	return h
}

// All is what the active and the terminating pods hold together.
func (h Held) All() Part { return h.Active.plus(h.Terminating) }

// Plus is what the pods of two objects hold together.
func (h Held) Plus(other Held) Held {
	return Held{Active: h.Active.plus(other.Active), Terminating: h.Terminating.plus(other.Terminating),
		Largest: h.Largest.or(other.Largest), Pods: h.Pods + other.Pods, active: h.active + other.active, replicas: slices.Concat(h.replicas, other.replicas)}
}

// Condemned is what those pods of a StatefulSet hold that are not among so many from its first ordinal on:
// its controller makes these beside them.
func (h Held) Condemned(set manifest.Object, pods int64) (sum Part) {
	first := count(set, 0, "spec", "ordinals", "start")
	for _, r := range h.replicas {
		if r.ordinal < first || r.ordinal-first >= pods {
			sum = sum.plus(r.part)
		}
	}
	return sum
}

// Hold raises the usage of an object to what its pods hold.
func (d *Usage) Hold(pods Held) { d.atLeast(pods.All()) }

// Expect raises the usage of an object to what its pods hold, or are about to: those that it has may be larger than its
// template is now, and it makes the others, several at the same time, of that. Where its controller
// makes a new pod beside one that terminates, that is its peak beside these; a StatefulSet makes
// further pods as large, and of the same types, as those of an earlier template that it has, beside those that its
// ordinals do not have any more. A count holds what there is:
// further pods are charged when they are made, so that no count makes room for them.
func (d *Usage) Expect(o manifest.Object, pods Held) {
	need := d.part("")
	if KindOf(o) == StatefulSetKind {
		need = need.or(pods.Largest.times(d.PeakPods))
	}
	switch beside := pods.Condemned(o, d.PeakPods); {
	case Replaces(o):
		need = need.or(pods.Active.plus(d.further(pods.active))).plus(pods.Terminating)
	case beside.GPUs > 0:
		need = need.or(pods.All().beyond(beside)).plus(beside)
	case KindOf(o) == StatefulSetKind:
		need = need.or(pods.All())
	default:
		need = need.or(pods.All().plus(d.further(pods.Pods)))
	}
	d.Parts, d.Claim = nil, 0
	d.claim(need)
}

// Was raises the usage of an object as it was before an update: to what was expected of its pods, or, where the update
// has a count hold more, only to what a count held. Further pods are charged when they are made, so that what
// was expected may be more than the entry holds, and is no room for another template.
func (d *Usage) Was(o manifest.Object, pods Held, now Usage) {
	held := *d
	held.Hold(pods)
	now.Hold(pods)
	if Sum(now.Parts) > Sum(held.Parts) || ChangesType(now.Parts, held.Parts) {
		*d = held
		return
	}
	d.Expect(o, pods)
}

// further is what those pods hold that an object is yet to have, given how many it has.
func (d *Usage) further(pods int64) Part { return d.perPod().times(max(0, d.PeakPods-pods)) }

// atLeast raises a usage of one template to a part.
func (d *Usage) atLeast(p Part) {
	need := d.part("").or(p)
	d.Parts, d.Claim = nil, 0
	d.claim(need)
}
