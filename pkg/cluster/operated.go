package cluster

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubetorch/webhook/pkg/workload"
)

// operated reads the objects of all operators' kinds, as far as the API server serves them, in the
// version that it prefers.
func (r *reading) operated(ctx context.Context, operators workload.Operators) ([]Item, error) {
	r.operatedKinds = map[Kind]*kept{}
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
		kind := Kind{Group: row.Group, Version: version, Resource: row.Resource}
		r.operatedKinds[kind] = keep(kind, row.Kind, true, none, everything, everything)
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
	watched := map[Kind]bool{}
	for ctx.Err() == nil {
		versions, _ := source.Preferred(ctx) // tried again
		for _, row := range l.Operators.Kinds {
			kind := Kind{Group: row.Group, Version: versions[row.Group], Resource: row.Resource}
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

// everything of a specification may be what a table of kinds speaks of.
var everything = &shape{}

// keptOf is what is kept of a kind.
func (r *reading) keptOf(kind Kind) *kept {
	if k := kinds[kind]; k != nil {
		return k
	}
	return r.operatedKinds[kind]
}
