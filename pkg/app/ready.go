package app

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// readiness serves /readyz: 200 if every check passes, else 503 with one line per
// check that does not. A replica that could only refuse, because it has no
// certificate, no policies or no view of the cluster yet, must not get requests
// that another replica could decide.
type readiness struct {
	draining *atomic.Bool
	names    []string
	checks   []func() error
	// answered is when somebody was first told that all checks pass.
	answered atomic.Pointer[time.Time]
}

// add is for the time before the server starts.
func (r *readiness) add(name string, check func() error) {
	r.names = append(r.names, name)
	r.checks = append(r.checks, check)
}

// problems are one line per check that does not pass.
func (r *readiness) problems() (problems []string) {
	if r.draining.Load() {
		problems = append(problems, "shutting down")
	}
	for i, check := range r.checks {
		if err := check(); err != nil {
			problems = append(problems, r.names[i]+": "+err.Error())
		}
	}
	return problems
}

func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if problems := r.problems(); len(problems) > 0 {
		http.Error(w, strings.Join(problems, "\n"), http.StatusServiceUnavailable)
		return
	}
	now := time.Now()
	r.answered.CompareAndSwap(nil, &now)
	fmt.Fprintln(w, "ok")
}
