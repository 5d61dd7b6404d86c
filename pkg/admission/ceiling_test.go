package admission

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// untouched fails the test when it is read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestAboveTheCeilingRequestsAreRefusedAtOnceAndFailClosed(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	metrics := NewMetrics("/validate")
	h := Handler(func(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		assert.Equal(t, "first", string(r.UID), "nothing else is decided")
		close(inside)
		<-leave
		return allow(ctx, r)
	}, Options{Path: "/validate", MaxConcurrent: 1, Metrics: metrics})
	review := func(uid string) string { return strings.Replace(plainReview, "u-1", uid, 1) }
	first := make(chan answer)
	go func() { first <- serve(h, post(review("first"))) }()
	<-inside

	began := time.Now()
	got := serve(h, post(review("second")))
	assert.Less(t, time.Since(began), time.Second)
	require.Equal(t, 200, got.code)
	var answered admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal([]byte(got.body), &answered))
	assert.Equal(t, &admissionv1.AdmissionResponse{UID: "second", Result: &metav1.Status{
		Status: "Failure", Code: 429, Reason: "TooManyRequests", Message: "kubetorch-webhook has too many requests at the same time, please retry",
		Details: &metav1.StatusDetails{RetryAfterSeconds: 1},
	}}, answered.Response, "a refusal in the protocol holds under failurePolicy Ignore too")

	// One that is being read holds the last place.
	body, send := io.Pipe()
	slow := make(chan answer)
	r := httptest.NewRequest(http.MethodPost, "/validate", body)
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(review("third")))
	go func() { slow <- serve(h, r) }()
	require.Eventually(t, func() bool { return testutil.ToFloat64(metrics.inFlight.WithLabelValues("/validate")) == 2 }, time.Second, time.Millisecond)
	unread := httptest.NewRequest(http.MethodPost, "/validate", untouched{t})
	unread.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, unread)
	assert.Equal(t, []any{429, "1"}, []any{w.Code, w.Header().Get("Retry-After")}, "API servers try again within their timeout")

	_, err := io.WriteString(send, review("third"))
	require.NoError(t, errors.Join(err, send.Close()))
	assert.Contains(t, (<-slow).body, `"code":429`)
	close(leave)
	assert.Contains(t, (<-first).body, `"allowed":true`)
	for how, want := range map[string]float64{rejectedAnswered: 2, rejectedUnread: 1} {
		assert.Equal(t, want, testutil.ToFloat64(metrics.rejected.WithLabelValues("/validate", how)), how)
	}
	assert.Zero(t, testutil.ToFloat64(metrics.inFlight.WithLabelValues("/validate")))
}

func TestABodyThatIsTooLargeIsRefusedWithoutBeingHeld(t *testing.T) {
	h := Handler(allow, Options{})
	declared := func() *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/validate", untouched{t})
		r.Header.Set("Content-Type", "application/json")
		r.ContentLength = MaxBody + 1
		return r
	}
	require.Equal(t, 413, serve(h, declared()).code)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		serve(h, declared())
	}
	runtime.ReadMemStats(&after)
	assert.Less(t, (after.TotalAlloc-before.TotalAlloc)/100, uint64(64<<10), "bytes per request")
}

func TestOnlyCallersThatAreAcceptedAreRead(t *testing.T) {
	h := Handler(allow, Options{Caller: func(*http.Request) error { return errors.New("who are you") }})
	r := httptest.NewRequest(http.MethodPost, "/validate", untouched{t})
	r.Header.Set("Content-Type", "application/json")
	assert.Equal(t, answer{403, "text/plain; charset=utf-8", "", "who are you\n"}, serve(h, r))
}
