package install

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// Item 49 of the checklist.
func TestRestartingReplicasOneByOneFailsNoAdmission(t *testing.T) {
	installed(t)
	l := startLoad(t, newNamespace(t))
	for range *restarts {
		for _, r := range hook.Replicas {
			before, pid := l.count(), r.Process().PID()
			require.NoError(t, r.Restart(t.Context()))
			assert.NotEqual(t, pid, r.Process().PID())
			assert.Greater(t, l.count(), before, "the other replica served meanwhile")
		}
	}
	l.endWithoutFailure(t)
}

// Item 50 of the checklist.
func TestAReplicaThatIsKilledIsMissedForOneTimeoutAtMost(t *testing.T) {
	installed(t)
	l := startLoad(t, newNamespace(t))
	harness.Eventually(t, "the load", func() bool { return l.count() > *rate })
	r := hook.Replicas[1]
	killed := time.Now()
	require.NoError(t, r.Process().Signal(syscall.SIGKILL))
	<-r.Process().Done()
	over := killed.Add(hookTimeout)
	require.Eventually(t, func() bool { return time.Since(over) > hookTimeout }, timeout, tick, "another window, in which nothing may fail")
	require.NoError(t, r.Restart(t.Context()))

	failed := l.end()
	t.Logf("%d admitted, %d failed after the kill", l.admitted, len(failed))
	for _, f := range failed {
		assert.False(t, f.begun.After(over), "begun %s after the kill: %v", f.begun.Sub(killed), f.err)
		assert.False(t, f.ended.Before(killed), "before the kill: %v", f.err)
	}
	assert.NotZero(t, l.admitted)
}
