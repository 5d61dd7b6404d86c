package harness

import (
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/kubetorch/webhook/test/controlplane"
)

// Disturbances are what every test of a package feels: replicas that are killed, or an API
// server that stands still.
type Disturbances struct {
	// ahead are those that the other tests wait for.
	ahead sync.WaitGroup
	// one is held for reading by who prepares, and for writing by who disturbs.
	one sync.RWMutex
}

// Wait waits until nobody disturbs any more.
func (d *Disturbances) Wait() { d.ahead.Wait() }

// Disturbing makes a test run in parallel with others that disturb every test: they
// prepare beside each other, disturb one at a time, and come to rest beside all others,
// which begin when nobody disturbs any more. begin ends what is prepared, and end the
// disturbance.
func (d *Disturbances) Disturbing(t *testing.T) (begin func() (end func())) {
	d.ahead.Add(1) // no test goes on from t.Parallel before all have come to it
	over := sync.OnceFunc(d.ahead.Done)
	t.Cleanup(over)
	t.Parallel()
	d.one.RLock()
	prepared := sync.OnceFunc(d.one.RUnlock)
	t.Cleanup(prepared)
	return func() func() {
		prepared()
		d.one.Lock()
		end := sync.OnceFunc(func() {
			d.one.Unlock()
			over()
		})
		t.Cleanup(end)
		return end
	}
}

// Kill ends a replica without a warning, unless it has ended by itself, as one does that has lost touch with
// the API server.
func Kill(r *controlplane.Replica) error {
	if err := r.Process().Signal(os.Kill); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-r.Process().Done()
	return nil
}
