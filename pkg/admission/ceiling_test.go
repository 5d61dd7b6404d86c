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
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
	assert.Equal(t, tooManyAnswer("second"), refusal(t, serve(h, post(review("second")))))
	assert.Less(t, time.Since(began), 10*time.Second, "long before its time is over")

	// One that is being read holds the last place.
	body, send := io.Pipe()
	slow := make(chan answer)
	r := httptest.NewRequest(http.MethodPost, "/validate", body)
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(review("third")))
	go func() { slow <- serve(h, r) }()
	require.Eventually(t, func() bool { return testutil.ToFloat64(metrics.inFlight.WithLabelValues("/validate")) == 2 }, time.Second, time.Millisecond)
	large := post(review("fourth") + strings.Repeat(" ", 1<<20))
	assert.Equal(t, tooManyAnswer("fourth"), refusal(t, serve(h, large)), "however many there are")
	nameless := serve(h, post(`{"kind":"AdmissionReview"}`))
	assert.Equal(t, answer{429, "text/plain; charset=utf-8", "", tooMany + "\n"}, nameless, "what no API server writes")

	_, err := io.WriteString(send, review("third"))
	require.NoError(t, errors.Join(err, send.Close()))
	assert.Contains(t, (<-slow).body, `"code":429`)
	close(leave)
	assert.Contains(t, (<-first).body, `"allowed":true`)
	for how, want := range map[string]float64{rejectedAnswered: 3, rejectedUnread: 1} {
		assert.Equal(t, want, testutil.ToFloat64(metrics.rejected.WithLabelValues("/validate", how)), how)
	}
	assert.Zero(t, testutil.ToFloat64(metrics.inFlight.WithLabelValues("/validate")))
}

// refusal is the response in an answer of the admission protocol.
func refusal(t *testing.T, got answer) *admissionv1.AdmissionResponse {
	t.Helper()
	require.Equal(t, 200, got.code, got.body)
	var review admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal([]byte(got.body), &review))
	return review.Response
}

func tooManyAnswer(uid string) *admissionv1.AdmissionResponse {
	r := busy(tooMany)
	r.UID = types.UID(uid)
	return r
}

func TestOverloadIsAnsweredInTheProtocol(t *testing.T) {
	assert.Equal(t, &admissionv1.AdmissionResponse{Result: &metav1.Status{
		Status: "Failure", Code: 429, Reason: "TooManyRequests", Message: "kubetorch-webhook has too many requests at the same time, please retry",
		Details: &metav1.StatusDetails{RetryAfterSeconds: 1},
	}}, busy(tooMany), "a refusal in the protocol holds under failurePolicy Ignore too")
	for name, test := range map[string]struct {
		head string
		uid  types.UID
	}{
		"as API servers write it":      {`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"0b6e4f0e-1","kind":{`, "0b6e4f0e-1"},
		"cut off":                      {`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"0b6e4f0e-1`, ""},
		"with an escape":               {`{"request":{"uid":"\u0041"`, ""},
		"longer than any uid":          {`{"request":{"uid":"` + strings.Repeat("x", 65) + `"`, ""},
		"without one":                  {`{"request":{"uid":""`, ""},
		"in another place":             {`{"request":{"kind":{"uid":"x"}`, ""},
		"an object that speaks of one": {`{"request":{"name":"\"request\":{\"uid\":\"x\""`, ""},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.uid, headUID([]byte(test.head))) })
	}
}

// flushed notes when an answer was sent.
type flushed struct {
	*httptest.ResponseRecorder
	at time.Time
}

func (f *flushed) Flush() { f.at = time.Now() }

func TestWhatOverrunsItsTimeIsRefusedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		h := Handler(func(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			<-leave // looks at no deadline
			return allow(ctx, r)
		}, Options{})
		request := httptest.NewRequest(http.MethodPost, "/validate?timeout=1s", strings.NewReader(plainReview))
		request.Header.Set("Content-Type", "application/json")
		reply := &flushed{ResponseRecorder: httptest.NewRecorder()}
		began := time.Now()
		go h.ServeHTTP(reply, request)
		time.Sleep(time.Minute)
		synctest.Wait()
		close(leave)
		synctest.Wait()
		assert.Less(t, reply.at.Sub(began), time.Second, "before the API server gives up")
		assert.Greater(t, reply.at.Sub(began), time.Second/2, "and no sooner than it has to be")
		want := busy(noTime)
		want.UID = "u-1"
		assert.Equal(t, want, refusal(t, answer{code: reply.Code, body: reply.Body.String()}))
	})
}

// endless is a body that goes on after its first part.
func endless(head string, size int64) io.Reader {
	return io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, size-int64(len(head))))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestABodyThatIsTooLargeIsRefusedWithoutBeingHeld(t *testing.T) {
	h := Handler(allow, Options{})
	for what, size := range map[string]int64{"by one byte": MaxBody + 1, "by as much as API servers send": 40 << 20} {
		for how, length := range map[string]int64{"as its header says": size, "which its header does not say": -1} {
			t.Run(what+", "+how, func(t *testing.T) {
				send := func(head string) answer {
					r := httptest.NewRequest(http.MethodPost, "/validate", endless(head, size))
					r.Header.Set("Content-Type", "application/json")
					r.ContentLength = length
					return serve(h, r)
				}
				want := unread(tooLarge)
				want.UID = "u-1"
				assert.Equal(t, want, refusal(t, send(plainReview)), "a refusal that holds under failurePolicy Ignore")
				assert.Equal(t, answer{413, "text/plain; charset=utf-8", "", "the body is larger than 7 MiB\n"}, send("{"), "what no API server writes")
				if length < 0 {
					return
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for range 20 {
					send(plainReview)
				}
				runtime.ReadMemStats(&after)
				assert.Less(t, (after.TotalAlloc-before.TotalAlloc)/20, uint64(64<<10), "bytes per request")
			})
		}
	}
}

// The API server reads the answer only once it has sent the whole body.
func TestACallerWithABodyThatIsTooLargeGetsItsAnswer(t *testing.T) {
	server := httptest.NewServer(Handler(allow, Options{}))
	defer server.Close()
	for range 3 {
		size := int64(30 << 20)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/validate?timeout=10s", endless(plainReview, size))
		require.NoError(t, err)
		request.ContentLength = size
		request.Header.Set("Content-Type", "application/json")
		reply, err := server.Client().Do(request)
		require.NoError(t, err)
		body, err := io.ReadAll(reply.Body)
		require.NoError(t, errors.Join(err, reply.Body.Close()))
		assert.EqualValues(t, 413, refusal(t, answer{code: reply.StatusCode, body: string(body)}).Result.Code)
	}
}

func TestOnlyCallersThatAreAcceptedAreRead(t *testing.T) {
	h := Handler(allow, Options{Caller: func(*http.Request) error { return errors.New("who are you") }})
	r := httptest.NewRequest(http.MethodPost, "/validate", untouched{t})
	r.Header.Set("Content-Type", "application/json")
	assert.Equal(t, answer{403, "text/plain; charset=utf-8", "", "who are you\n"}, serve(h, r))
}
