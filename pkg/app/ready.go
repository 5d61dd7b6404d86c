package app

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
)

// readiness serves /readyz: 200 if every check passes, else 503 with one line per
// check that does not. A replica that could only refuse, because it has no
// certificate, no policies or no view of the cluster yet, must not get requests
// that another replica could decide.
type readiness struct {
	draining *atomic.Bool
	names    []string
	checks   []func() error
}

// add is for the time before the server starts.
func (r *readiness) add(name string, check func() error) {
	r.names = append(r.names, name)
	r.checks = append(r.checks, check)
}

func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	var problems []string
	if r.draining.Load() {
		problems = append(problems, "shutting down")
	}
	for i, check := range r.checks {
		if err := check(); err != nil {
			problems = append(problems, r.names[i]+": "+err.Error())
		}
	}
	if len(problems) > 0 {
		http.Error(w, strings.Join(problems, "\n"), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}
