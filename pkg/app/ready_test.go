package app

import (
	"errors"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestReadiness(t *testing.T) {
	passes := func() error { return nil }
	fails := func() error { return errors.New("not yet") }
	tests := map[string]struct {
		certificate, snapshot func() error
		draining              bool
		code                  int
		body                  string
	}{
		"all is there":            {passes, passes, false, 200, "ok\n"},
		"one thing is missing":    {passes, fails, false, 503, "snapshot: not yet\n"},
		"two things are missing":  {fails, fails, false, 503, "certificate: not yet\nsnapshot: not yet\n"},
		"the process is to leave": {passes, passes, true, 503, "shutting down\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := &readiness{draining: &atomic.Bool{}}
			r.draining.Store(test.draining)
			r.add("certificate", test.certificate)
			r.add("snapshot", test.snapshot)
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest("GET", ReadyPath, nil))
			assert.Equal(t, test.code, w.Code)
			assert.Equal(t, test.body, w.Body.String())
		})
	}
}
