package install

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// load is a steady stream of admissions through the API server: dry runs of labelled
// Deployments, each of which is sent to both configurations.
type load struct {
	stop    context.CancelFunc
	stopped sync.WaitGroup

	mu       sync.Mutex
	admitted int
	failed   []failure
	begun    time.Time
}

type failure struct {
	begun, ended time.Time
	err          error
}

func startLoad(t *testing.T, namespace string) *load {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop, begun: time.Now()}
	l.stopped.Go(func() {
		// By the clock and not by when answers come: what waits is not taken for calm.
		ticker := time.NewTicker(time.Second / time.Duration(*rate))
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				l.stopped.Go(func() { l.one(namespace, fmt.Sprintf("load-%d", i)) })
			}
		}
	})
	t.Cleanup(func() { l.end() })
	return l
}

func (l *load) one(namespace, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	begun := time.Now()
	err := create(ctx, deployments, namespace, deployment(name, labelled))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.admitted++
		return
	}
	l.failed = append(l.failed, failure{begun, time.Now(), err})
}

// end stops the stream and waits for the last answers.
func (l *load) end() []failure {
	l.stop()
	l.stopped.Wait()
	return l.failed
}

// count is how many were admitted so far.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.admitted
}

// endWithoutFailure stops the stream and demands that all was admitted.
func (l *load) endWithoutFailure(t *testing.T) {
	t.Helper()
	failed := l.end()
	t.Logf("%d admissions in %s, %d failed", l.admitted+len(failed), time.Since(l.begun).Round(time.Millisecond), len(failed))
	var reasons []string
	for _, f := range failed[:min(5, len(failed))] {
		reasons = append(reasons, fmt.Sprintf("%s after %s: %v", f.begun.Format("15:04:05.000"), f.ended.Sub(f.begun).Round(time.Millisecond), f.err))
	}
	assert.Empty(t, failed, strings.Join(reasons, "\n"))
	assert.NotZero(t, l.admitted)
}
