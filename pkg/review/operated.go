package review

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// operatorRoot is what was read for what an operator makes of an object.
type operatorRoot struct {
	// root is the object, and row its kind.
	root manifest.Object
	row  *workload.OperatorKind
	// made is what all else claims that was made of it.
	made []workload.Part
	// nearest is what controls the request's object where that was made of the root itself: nothing of it
	// is in made, but in nearestMade.
	nearest     manifest.Object
	nearestRow  *workload.OperatorKind
	nearestMade []workload.Part
}

// usage is what the root asks for by itself.
func (o *operatorRoot) usage(gpus workload.GPUResources) workload.Usage {
	return workload.OperatorUsage(o.root, o.row, gpus)
}

// holds tells whether the root, or what is stored of what was made of it, was admitted with all that, and
// something more in the place of what that had. What an operator makes beyond its object, such as the RayCluster
// that a RayService moves to, is charged by itself when it is made, and its pods are part of it.
func (o *operatorRoot) holds(more, had []workload.Part, gpus workload.GPUResources) (made []workload.Part, all bool) {
	own := o.usage(gpus).Parts
	with := func(parts []workload.Part) []workload.Part {
		if o.nearest != nil {
			parts = workload.WithMade(workload.OperatorUsage(o.nearest, o.nearestRow, gpus).Parts, slices.Concat(o.nearestMade, parts))
		}
		return slices.Concat(o.made, parts)
	}
	made = with(more)
	return made, workload.Sum(workload.WithMade(own, made)) <= workload.Sum(workload.WithMade(own, with(had)))
}

// rootOf is the object of an operator's kind that another one is part of, as it is stored; nil if none.
func (r *Request) rootOf(ctx context.Context, in inNamespace, o manifest.Object) (manifest.Object, *workload.OperatorKind, error) {
	return r.operators.RootOf(o, func(ref workload.OwnerRef) (manifest.Object, error) {
		return in.referred(ctx, ref)
	})
}

// resolveMade reads, for what an operator's account writes, whose it is, and what else was made of that.
func (r *Request) resolveMade(ctx context.Context, w World, in inNamespace) error {
	user := r.raw.UserInfo.Username
	if !r.operators.MadeBy(user) {
		return nil
	}
	root, row, err := r.rootOf(ctx, in, r.object)
	if err != nil || root == nil || !row.MadeBy(user) {
		return err
	}
	if err := r.readClaims(ctx, w, in, root); err != nil {
		return err
	}
	of := &operatorRoot{root: root, row: row}
	without := manifest.Text(r.object, "metadata", "uid")
	ref, _ := workload.Controller(r.object)
	if nearest, ok := r.operators.For(ref.GroupKind); ok && ref.UID != manifest.Text(root, "metadata", "uid") {
		if of.nearest, err = in.referred(ctx, ref); err != nil || of.nearest == nil {
			return err
		}
		if of.nearestMade, err = r.madeOf(ctx, in, of.nearest, nearest, without); err != nil {
			return err
		}
		of.nearestRow, without = nearest, ref.UID
	}
	if of.made, err = r.madeOf(ctx, in, root, row, without); err != nil {
		return err
	}
	r.related.operated = of
	if r.related.left, err = r.abandoned(ctx, in, row); err != nil {
		return err
	}
	return r.readClaims(ctx, w, in, r.related.left...)
}

// abandoned are the pods of a namespace that nothing answers for any more: they have no controller, or one
// of the kinds that an operator makes of such objects, which is gone. The operator makes others in the place
// of what it made. Which object they were of, nothing tells that a tenant could not write.
func (r *Request) abandoned(ctx context.Context, in inNamespace, row *workload.OperatorKind) (left []manifest.Object, err error) {
	there := map[schema.GroupKind]map[string]bool{} // by UID
	kinds := row.ChildKinds()
	for i := 0; i < len(kinds); i++ {
		kind := kinds[i]
		if kind == workload.PodKind || there[kind] != nil {
			continue
		}
		listed, err := in.List(ctx, kind, in.namespace, labels.Everything())
		if err != nil {
			return nil, err
		}
		there[kind] = map[string]bool{}
		for _, o := range listed {
			there[kind][manifest.Text(o, "metadata", "uid")] = true
		}
		if below, ok := r.operators.For(kind); ok {
			kinds = append(kinds, below.ChildKinds()...)
		}
	}
	pods, err := in.List(ctx, workload.PodKind, in.namespace, labels.Everything())
	if err != nil {
		return nil, err
	}
	for _, pod := range pods {
		ref, stated := workload.Controller(pod)
		if known := there[ref.GroupKind]; !stated || (known != nil && !known[ref.UID]) {
			left = append(left, pod)
		}
	}
	return left, nil
}

// madeOf is what was made of an object of an operator's kind, as a count finds it, without the object of
// a UID.
func (r *Request) madeOf(ctx context.Context, in inNamespace, root manifest.Object, row *workload.OperatorKind, without string) ([]workload.Part, error) {
	pods, err := in.List(ctx, workload.PodKind, in.namespace, labels.Everything())
	if err != nil {
		return nil, err
	}
	var parts []workload.Part
	uid := manifest.Text(root, "metadata", "uid")
	for _, kind := range row.ChildKinds() {
		listed := pods
		if kind != workload.PodKind {
			if listed, err = in.List(ctx, kind, in.namespace, labels.Everything()); err != nil {
				return nil, err
			}
		}
		children, err := r.childrenOf(ctx, in, uid, listed)
		if err != nil {
			return nil, err
		}
		for _, child := range children {
			if manifest.Text(child, "metadata", "uid") == without {
				continue
			}
			claimed, err := r.partsOf(ctx, in, child, pods, without)
			if err != nil {
				return nil, err
			}
			parts = append(parts, claimed...)
		}
	}
	return parts, nil
}

// childrenOf are the objects that the one of a UID controls, and StatefulSets that a pod of it does, which
// leads a group.
func (r *Request) childrenOf(ctx context.Context, in inNamespace, uid string, listed []manifest.Object) (children []manifest.Object, err error) {
	for _, o := range listed {
		ref, ok := workload.Controller(o)
		switch {
		case !ok:
		case ref.UID == uid:
			children = append(children, o)
		case ref.GroupKind == workload.PodKind:
			root, _, err := r.rootOf(ctx, in, o)
			if err != nil {
				return nil, err
			}
			if root != nil && manifest.Text(root, "metadata", "uid") == uid {
				children = append(children, o)
			}
		}
	}
	return children, nil
}

// partsOf is what one thing claims that an operator made.
func (r *Request) partsOf(ctx context.Context, in inNamespace, o manifest.Object, pods []manifest.Object, without string) ([]workload.Part, error) {
	of := workload.KindOf(o)
	if row, ok := r.operators.For(of); ok {
		made, err := r.madeOf(ctx, in, o, row, without)
		return workload.WithMade(workload.OperatorUsage(o, row, r.gpus).Parts, made), err
	}
	kind, ok := workload.KindFor(of)
	if !ok {
		return nil, nil
	}
	u := kind.Usage(o, r.gpus)
	if of != workload.PodKind {
		u.Hold(r.held(belonging(pods, o)))
	}
	return u.Parts, nil
}

// madeClaims are for what an operator makes of an object that was admitted with all that is made of it: its
// entry holds that. None if it goes beyond that: then it is charged by itself. What asks for more than it did
// has to have room beside the pods that are left behind.
func (r *Request) madeClaims(w World, d workload.Usage, old *workload.Usage) []Claim {
	of := r.related.operated
	if of == nil {
		return nil
	}
	var had []workload.Part
	if old != nil && r.staysMade() {
		had = old.Parts
	}
	made, all := of.holds(d.Parts, had, r.selection(w).GPUResources())
	if !all {
		return nil
	}
	holder := rootOf(of.root)
	c := Claim{Key: holder.key, Kind: holder.kind, Name: holder.name, New: made, Demand: d, Held: true, Settled: true}
	if old != nil && d.Claim <= old.Claim {
		return []Claim{c}
	}
	return r.besideLeft(w, c)
}

// staysMade tells whether an update leaves an object with what controls it: only then has that's entry what the
// object had.
func (r *Request) staysMade() bool {
	was, ok := workload.Controller(r.old)
	now, still := workload.Controller(r.object)
	return ok && still && was == now
}

// beyondRoot is for what an operator makes beyond what its object was admitted with. The count finds what is stored
// of it in the root's entry, so that an update is charged for what it adds, by itself until a count has seen it.
func (r *Request) beyondRoot(d workload.Usage, old *workload.Usage) Claim {
	c := newClaim(r.key(), r.of.Kind, d, nil)
	c.Name = r.storedName()
	if old != nil && r.staysMade() {
		c.Key, c.New = ledger.ForUID(r.raw.UID), workload.Beyond(d.Parts, old.Parts)
	}
	return c
}

// madeWithin tells whether an operator makes no more of an object in each pod, nor in all, than that was
// admitted with: then it goes on after a policy became stricter.
func (r *Request) madeWithin(w World, d workload.Usage) bool {
	of := r.related.operated
	if of == nil {
		return false
	}
	gpus := r.selection(w).GPUResources()
	_, all := of.holds(d.Parts, nil, gpus)
	return all && d.GPUs.Cmp(of.usage(gpus).GPUs) <= 0
}

// underOperator has a Pod that a controller of Kubernetes makes for what an operator made charged to the
// root of that. Within what its owner asks for it was charged with that.
func (r *Request) underOperator(ctx context.Context, w World, in inNamespace, owner manifest.Object) error {
	top, row, err := r.rootOf(ctx, in, owner)
	if err != nil {
		return err
	}
	if top == nil {
		r.related.dangles, err = r.dangles(ctx, in, owner)
		return err
	}
	r.related.root = rootOf(top)
	if r.related.dangles, err = r.dangles(ctx, in, top); err != nil || r.related.need.Settled() {
		return err
	}
	if err := r.readClaims(ctx, w, in, top); err != nil {
		return err
	}
	made, err := r.madeOf(ctx, in, top, row, manifest.Text(owner, "metadata", "uid"))
	if err != nil {
		return err
	}
	of := &operatorRoot{root: top, row: row, made: made}
	r.related.needed, r.related.fits = of.holds([]workload.Part{r.related.need.Held}, nil, r.gpus)
	return nil
}
