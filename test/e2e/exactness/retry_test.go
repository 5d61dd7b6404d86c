package exactness

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// room is what ledgers show as free.
type room struct {
	// of is by product, "" for that of any.
	of map[string]int64
	// within is by namespace, where these have limits of their own.
	within map[string]int64
}

// read reads one ledger.
func (left *room) read(l *limit, limits []*limit, available int64, used map[string]int64) {
	left.of[l.product] = available
	for _, part := range limits {
		if !part.part || part.budget != l.budget {
			continue
		}
		if left.within == nil {
			left.within = map[string]int64{}
		}
		namespace := part.namespaces[0]
		left.within[namespace] = part.max - used[namespace]
	}
}

// fits tells whether there is room in a namespace for so many GPUs, which may be of the limited product.
func (left *room) fits(namespace string, claim int64, of bool) bool {
	limited, typed := left.of[h100]
	return claim <= left.of[""] && (!of || !typed || claim <= limited) && (left.within == nil || claim <= left.within[namespace])
}

func (left *room) take(namespace string, claim int64, of bool) {
	left.of[""] -= claim
	if of {
		left.of[h100] -= claim
	}
	if left.within != nil {
		left.within[namespace] -= claim
	}
}

// retry has those ask again who wait and would fit in any namespace, and tells whether there were none. Whoever is
// refused waits on.
func (e *round) retry(left room, objects []*record) bool {
	none := true
	templates := map[string]*record{}
	for _, r := range objects {
		if r.kind == "ResourceClaimTemplate" {
			templates[r.namespace+"/"+r.name] = r
		}
	}
	var waiting []workload
	for _, w := range e.waiting {
		namespace, claim, of := e.place(w, &left, templates)
		if namespace == "" {
			waiting = append(waiting, w)
			continue
		}
		none = false
		name := fmt.Sprintf("late-%d", e.late)
		e.late++
		err := e.operation(func(ctx context.Context) error {
			api := client.Resource(w.resource()).Namespace(namespace)
			_, err := api.Create(ctx, w.object(name, false), metav1.CreateOptions{})
			return err
		})
		e.answered(err)
		switch {
		case err == nil:
			e.admitted.Add(1)
			left.take(namespace, claim, of)
			continue
		case apierrors.IsForbidden(err) && left.within != nil:
			left.within[namespace] = 0 // the ledger is not at rest
		}
		waiting = append(waiting, w)
	}
	e.waiting = waiting
	return none
}

// place is a namespace where a workload would fit, how many GPUs it asks for there, and whether these may be of the
// limited product; "" for none. Where a template is not there, or what it looks at is not allowed, it cannot ask.
func (e *round) place(w workload, left *room, templates map[string]*record) (namespace string, claim int64, of bool) {
	for i := range e.namespaces {
		namespace := e.namespaces[(e.late+i)%len(e.namespaces)]
		claim, of, there := w.wants(namespace, templates)
		if there && left.fits(namespace, claim, of) && (!w.looks || e.witness.allows(namespace)) {
			return namespace, claim, of
		}
	}
	return "", 0, false
}

// wants is what a workload asks for in a namespace, in GPUs, and whether these may be of the limited product; there
// is whether its templates are.
func (w workload) wants(namespace string, templates map[string]*record) (claim int64, of, there bool) {
	each := w.each()
	of = each > 0 && w.of(h100)
	for _, name := range w.templates {
		template := templates[namespace+"/"+name]
		if template == nil {
			return 0, false, false
		}
		each += template.each
		of = of || template.counts(h100)
	}
	return whole(each * int64(w.pods)), of, true
}
