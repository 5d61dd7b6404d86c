package budgets

import (
	"sync"
	"testing"
)

// disturbances are what every budget feels: replicas that are killed, an API server that
// stands still.
var disturbances struct {
	// ahead are those that the other tests wait for.
	ahead sync.WaitGroup
	// one is held for reading by who prepares, and for writing by who disturbs.
	one sync.RWMutex
}

// disturbing makes a test run in parallel with others that disturb every budget: they
// prepare beside each other, disturb one at a time, and come to rest beside all others,
// which begin when nobody disturbs any more. begin ends what is prepared, and end the
// disturbance.
func disturbing(t *testing.T) (begin func() (end func())) {
	disturbances.ahead.Add(1) // no test goes on from t.Parallel before all have come to it
	over := sync.OnceFunc(disturbances.ahead.Done)
	t.Cleanup(over)
	t.Parallel()
	disturbances.one.RLock()
	prepared := sync.OnceFunc(disturbances.one.RUnlock)
	t.Cleanup(prepared)
	return func() func() {
		prepared()
		disturbances.one.Lock()
		end := sync.OnceFunc(func() {
			disturbances.one.Unlock()
			over()
		})
		t.Cleanup(end)
		return end
	}
}
