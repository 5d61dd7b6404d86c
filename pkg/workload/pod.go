package workload

import (
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
	// Pods is how many hold GPUs.
	Pods int64
}

// Add adds a Pod.
func (h *Held) Add(pod manifest.Object, gpus GPUResources) {
	u := PodUsage(pod, gpus)
	if u.Claim == 0 {
		return
	}
	h.Pods++
	h.Largest = h.Largest.or(u.part(""))
	if deleting(pod) {
		h.Terminating = h.Terminating.plus(u.part(""))
	} else {
		h.Active = h.Active.plus(u.part(""))
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
		Largest: h.Largest.or(other.Largest), Pods: h.Pods + other.Pods}
}

// Hold raises the usage of an object to what its pods hold.
func (d *Usage) Hold(pods Held) { d.atLeast(pods.All()) }

// Expect raises the usage of an object to what its pods hold, or are about to. Where its controller
// makes a new pod beside one that terminates, that is its peak beside these; a StatefulSet makes
// further pods as large as those of an earlier template that it has. A count holds what there is:
// further pods are charged when they are made, so that no count makes room for them.
func (d *Usage) Expect(o manifest.Object, pods Held) {
	need := d.part("")
	if KindOf(o) == StatefulSetKind {
		if largest := pods.Largest.times(d.PeakPods); largest.exceeds(need) {
			need.GPUs, need.less = largest.GPUs, largest.less
		}
	}
	if Replaces(o) {
		need = need.or(pods.Active).plus(pods.Terminating)
	} else {
		need = need.or(pods.Active.plus(pods.Terminating))
	}
	d.Parts, d.Claim = nil, 0
	d.claim(need)
}

// atLeast raises a usage of one template to a part.
func (d *Usage) atLeast(p Part) {
	need := d.part("").or(p)
	d.Parts, d.Claim = nil, 0
	d.claim(need)
}
