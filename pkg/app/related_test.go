package app

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

// listing counts what is listed; a list takes a tenth of a second.
type listing struct {
	cluster.Reader
	mu    sync.Mutex
	lists map[string]int
}

func (l *listing) List(_ context.Context, kind schema.GroupKind, namespace string, _ labels.Selector) ([]manifest.Object, error) {
	time.Sleep(time.Second / 10)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lists[namespace+"/"+kind.Kind]++
	return []manifest.Object{{"kind": kind.Kind}}, nil
}

func TestWhatOnlyWarningsDependOnIsListedOnceForRequestsAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listing{lists: map[string]int{}}
		related := newRelatedReader(l, func() bool { return true })
		ingresses := schema.GroupKind{Group: "networking.k8s.io", Kind: "Ingress"}
		ask := func(namespace string) {
			objects, err := related.around(t.Context(), namespace, []schema.GroupKind{review.CoreServiceKind, ingresses})
			require.NoError(t, err)
			assert.Equal(t, []manifest.Object{{"kind": "Service"}, {"kind": "Ingress"}}, objects)
		}
		var wait sync.WaitGroup
		for range 5 {
			wait.Go(func() { ask("a") })
		}
		wait.Wait()
		ask("a")
		ask("b")
		assert.Equal(t, map[string]int{"a/Service": 6, "a/Ingress": 1, "b/Service": 1, "b/Ingress": 1}, l.lists)
		time.Sleep(recently)
		ask("a")
		assert.Equal(t, map[string]int{"a/Service": 7, "a/Ingress": 2, "b/Service": 1, "b/Ingress": 1}, l.lists)
	})
}
