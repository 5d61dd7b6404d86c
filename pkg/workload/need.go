package workload

import "github.com/kubetorch/webhook/pkg/manifest"

// Need is what the pods of some owners hold, or are about to.
type Need struct {
	// Asked is what the owners are told to keep, Held the most that they and their pods hold: at
	// least Asked, and the pods that terminate beside those that replace them.
	Asked, Held Part
}

// NeedOf is what a ReplicaSet, ReplicationController, StatefulSet or Job needs, given what its pods
// hold.
func NeedOf(owner manifest.Object, pods Held, gpus GPUResources) Need {
	kind, ok := KindFor(KindOf(owner))
	if !ok {
		return Need{}
	}
	u := kind.Usage(owner, gpus)
	n := Need{Asked: u.part("")}
	u.Expect(owner, pods)
	for _, p := range u.Parts {
		n.Held = n.Held.plus(p)
	}
	return n
}

// Plus is what two owners need together.
func (n Need) Plus(other Need) Need {
	return Need{Asked: n.Asked.plus(other.Asked), Held: n.Held.plus(other.Held)}
}

// Settled tells whether nothing is needed beyond what the owners are told to keep, in all and of each type of GPU.
func (n Need) Settled() bool { return n.Held.GPUs <= n.Asked.GPUs && n.Held.typesWithin(n.Asked) }
