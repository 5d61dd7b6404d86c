package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubetorch/webhook/pkg/workload"
)

// operated reads the objects of all operators' kinds, as far as the API server serves them, in the
// version that it prefers.
func (r *reading) operated(ctx context.Context, operators workload.Operators) ([]Item, error) {
	r.operatedKinds = map[Resource]*kept{}
	source, ok := r.source.(Versions)
	if !ok || len(operators.Kinds) == 0 {
		return nil, nil
	}
	versions, err := source.Preferred(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading which groups are served: %w", err)
	}
	var all []Item
	for _, row := range operators.Kinds {
		version := versions[row.Group]
		if version == "" {
			continue
		}
		kind := Resource{Group: row.Group, Version: version, Resource: row.Resource}
		r.operatedKinds[kind] = keepOperated(kind, &row)
		items, err := r.items(ctx, kind, true, func(*Item) bool { return true })
		if err != nil && !apierrors.IsNotFound(err) { // of a group, not every kind is there
			return nil, err
		}
		all = append(all, items...)
	}
	return all, nil
}

// lookedFor is how often it is looked whether further kinds of operators are served.
const lookedFor = time.Minute

// WatchOperated calls changed whenever an object of an operator's kind was made, changed or deleted that
// budgets are charged for, until the context ends. Kinds may be served later.
func (l *Lists) WatchOperated(ctx context.Context, changed func()) {
	source, ok := l.source.(Versions)
	if !ok {
		return
	}
	watched := map[Resource]bool{}
	for ctx.Err() == nil {
		versions, _ := source.Preferred(ctx) // tried again
		for _, row := range l.Operators.Kinds {
			kind := Resource{Group: row.Group, Version: versions[row.Group], Resource: row.Resource}
			if !row.Charged() || kind.Version == "" || watched[kind] {
				continue
			}
			watched[kind] = true
			go func() {
				for ctx.Err() == nil {
					if err := follow(ctx, l.source, kind, changed); err != nil {
						sleep(ctx, lookedFor)
					}
				}
			}()
		}
		sleep(ctx, lookedFor)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// scalar keeps a number, a text or a boolean; of anything else, that it is there.
var scalar = &shape{Fields: fields{}}

// keepOperated keeps of an operator's kind what its row speaks of.
func keepOperated(kind Resource, row *workload.OperatorKind) *kept {
	object := &shape{Fields: fields{"spec": none}}
	add := func(prefix string, leaf *shape, paths ...string) {
		for _, path := range paths {
			if below, ok := strings.CutPrefix(path, "."); ok {
				path = prefix + "." + below
			}
			if path != "" {
				object = merged(object, at(path, leaf))
			}
		}
	}
	add("", scalar, row.Suspend...)
	add("", scalar, row.Replicas)
	if row.ManagedBy != nil {
		add("", scalar, row.ManagedBy.Path)
	}
	if row.Finished != nil {
		add("", scalar, row.Finished.Path)
		add("", of("type", "status"), "status.conditions")
	}
	for i := range row.Pods {
		p := &row.Pods[i]
		add("", scalar, p.Each)
		add(p.Each, &shape{Fields: fields{"spec": {Fields: pods}}}, p.Template)
		add(p.Each, &shape{Fields: pods}, p.Spec)
		add(p.Each, containers, p.Containers...)
		add(p.Each, containers, p.Lists...)
		add(p.Each, all, p.NodeSelector)
		add(p.Each, scalar, p.Suspend...)
		if p.GPU != nil {
			add(p.Each, scalar, p.GPU.Name, p.GPU.Quantity)
			add(p.Each, all, p.GPU.NodeSelector)
			add(p.Each, pods["affinity"], p.GPU.Affinity)
		}
		for _, c := range p.Counts {
			add(p.Each, scalar, c.Path, c.AtLeast, c.AtMost, c.OneLessWith)
			if c.UpTo != nil {
				add(p.Each, scalar, c.UpTo.Path, c.UpTo.When)
			}
		}
	}
	return keep(kind, row.Kind, true, none, object.Fields["spec"], object.Fields["status"])
}

// at is what keeps a leaf at a path of a table of operators' kinds. The elements of a list are kept as the
// list is.
func at(path string, leaf *shape) *shape {
	names := strings.Split(path, ".")
	for _, name := range slices.Backward(names) {
		name = strings.TrimSuffix(name, "[*]")
		if each, ok := strings.CutSuffix(name, "{*}"); ok {
			name, leaf = each, &shape{Fields: fields{}, Each: leaf}
		}
		leaf = &shape{Fields: fields{name: leaf}}
	}
	return leaf
}

// merged keeps what either of two shapes does.
func merged(a, b *shape) *shape {
	switch {
	case a == nil || b == all:
		return b
	case b == nil || a == all:
		return a
	}
	m := &shape{Fields: maps.Clone(a.Fields), Each: a.Each}
	if b.Each != nil {
		m.Each = merged(a.Each, b.Each)
	}
	for name, s := range b.Fields {
		m.Fields[name] = merged(m.Fields[name], s)
	}
	return m
}

// keptOf is what is kept of a kind.
func (r *reading) keptOf(kind Resource) *kept {
	if k := kinds[kind]; k != nil {
		return k
	}
	return r.operatedKinds[kind]
}
