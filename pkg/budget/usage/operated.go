package usage

import (
	"slices"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// operated makes the objects of operators' kinds roots, as far as these are charged at their manifests.
// Some control others.
func (h *holders) operated(o *cluster.Objects) {
	for i := range o.Operated {
		item := &o.Operated[i]
		row, ok := h.operators.For(workload.KindOf(item.Object()))
		if !ok || !row.Charged() {
			continue
		}
		found := &holder{item: item, kind: row.GroupKind(), row: row}
		if item.UID != "" {
			h.byUID[item.UID] = found
		}
		h.roots = append(h.roots, found)
	}
	if len(h.roots) == 0 {
		return
	}
	// The StatefulSet of a group's workers is controlled by the pod that leads the group.
	h.podsByUID = map[string]*cluster.Item{}
	for i := range o.StatefulSets {
		h.podsByUID[o.StatefulSets[i].Controller] = nil
	}
	for i := range o.Pods {
		if _, wanted := h.podsByUID[o.Pods[i].UID]; wanted && o.Pods[i].UID != "" {
			h.podsByUID[o.Pods[i].UID] = &o.Pods[i]
		}
	}
}

// placeMade takes from the roots what an operator made of another root.
func (h *holders) placeMade() {
	if h.podsByUID == nil {
		return // there is none
	}
	h.roots = slices.DeleteFunc(h.roots, func(found *holder) bool {
		root := h.madeFor(found.item, found.read())
		if root != nil {
			root.made = append(root.made, found)
		}
		return root != nil
	})
}

// madeFor is the holder of an operator's kind that an object is part of: the nearest for what that
// controls itself, else the uppermost one.
func (h *holders) madeFor(item *cluster.Item, o manifest.Object) *holder {
	if h.podsByUID == nil || item.Controller == "" {
		return nil
	}
	root, _, _ := h.operators.RootOf(o, func(ref workload.OwnerRef) (manifest.Object, error) {
		if owner := h.byUID[ref.UID]; owner != nil {
			return owner.read(), nil
		}
		if pod := h.podsByUID[ref.UID]; pod != nil {
			return pod.Object(), nil
		}
		return nil, nil
	})
	if root == nil {
		return nil
	}
	if nearest := h.byUID[item.Controller]; nearest != nil && nearest.row != nil {
		return nearest
	}
	return h.byUID[manifest.Text(root, "metadata", "uid")]
}

// parts are what a root other than a Deployment claims, with what was made of it, with or without the
// pods that autoscalers may have it ask for.
func (h *holders) parts(found *holder, autoscaled bool) []workload.Part {
	if found.row == nil {
		return h.usage(found, autoscaled).Parts
	}
	o := found.read()
	if autoscaled {
		target := scaled{found.item.Namespace, workload.Target{GroupKind: found.kind, Name: found.item.Name}}
		o = found.row.Autoscaled(o, h.autoscalers[target])
	}
	gpus, held := h.counting(found, !autoscaled)
	own := workload.OperatorUsage(o, found.row, gpus).Parts
	var made []workload.Part
	for _, child := range found.made {
		made = append(made, h.parts(child, autoscaled)...)
	}
	if all := held.All(); all.GPUs > 0 {
		made = append(made, all)
	}
	return workload.WithMade(own, made)
}
