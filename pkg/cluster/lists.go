package cluster

import (
	"context"
	"runtime/debug"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Lists reads everything for several users, for one at a time: what two lists of a large
// cluster need is never needed at once.
type Lists struct {
	// Operators are the kinds of operators that are read beside Kubernetes' and Knative's own.
	Operators workload.Operators

	source Source
	turn   chan struct{}
}

// NewLists reads from a source.
func NewLists(source Source) *Lists {
	return &Lists{Operators: workload.BuiltInOperators(), source: source, turn: make(chan struct{}, 1)}
}

// many objects are worth collecting their garbage at once.
const many = 1000

// Use reads as List does, and has use look at the result, which is not kept beyond that but
// for the labels of namespaces.
func (l *Lists) Use(ctx context.Context, use func(*Objects), kinds ...Resource) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case l.turn <- struct{}{}:
	}
	defer func() { <-l.turn }()
	o, err := ListWith(ctx, l.source, l.Operators, kinds...)
	if err != nil {
		return err
	}
	use(o)
	n := len(o.Operated)
	for _, l := range o.lists() {
		n += len(*l.into)
	}
	*o = Objects{}
	if n >= many {
		debug.FreeOSMemory() // by itself the memory would be kept for minutes
	}
	return nil
}

// Policies are all ComputePolicies.
func (l *Lists) Policies(ctx context.Context) ([]manifest.Object, error) {
	return Policies(ctx, l.source)
}
