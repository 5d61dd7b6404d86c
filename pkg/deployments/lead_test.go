package deployments

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

func TestOneLeadsAtATime(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	leading := make(chan string, 10)
	lead := func(name string, fail bool) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		l := &Lead{Client: client, Lease: types.NamespacedName{Namespace: "system", Name: "lease"}, Identity: name, Log: logr.Discard(),
			Run: func(ctx context.Context) error {
				leading <- name
				if fail {
					fail = false
					return errors.New("broken")
				}
				<-ctx.Done()
				return nil
			}}
		go func() {
			defer close(done)
			assert.NoError(t, l.Start(ctx))
		}()
		return func() { cancel(); <-done }
	}
	next := func() string {
		select {
		case name := <-leading:
			return name
		case <-time.After(20 * time.Second):
			return "nobody"
		}
	}
	stopFirst := lead("first", true)
	assert.Equal(t, "first", next())
	assert.Equal(t, "first", next(), "what failed is tried again")
	stopSecond := lead("second", false)
	defer stopSecond()
	select {
	case name := <-leading:
		t.Errorf("%s leads too", name)
	case <-time.After(3 * time.Second):
	}
	stopFirst()
	assert.Equal(t, "second", next(), "the lease is handed over")
}
