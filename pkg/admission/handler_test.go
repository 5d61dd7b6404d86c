package admission

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const plainReview = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","kind":{"group":"g","version":"v1","kind":"K"},"operation":"CREATE","object":{"b":1, "a":2}}}`

func allow(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true}
}

// answer is everything of an answer that a caller can see.
type answer struct {
	code        int
	contentType string
	allow       string
	body        string
}

func serve(h http.Handler, r *http.Request) answer {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header().Get("Content-Type"), w.Header().Get("Allow"), w.Body.String()}
}

func post(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/mutate?timeout=3s", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestHandlerRefusesWhatIsNotAnAdmissionReview(t *testing.T) {
	text := func(code int, line string) answer {
		return answer{code: code, contentType: "text/plain; charset=utf-8", body: line + "\n"}
	}
	edit := func(old, new string) *http.Request { return post(strings.Replace(plainReview, old, new, 1)) }
	tests := map[string]struct {
		request *http.Request
		want    answer
	}{
		"a GET is told to POST": {
			request: httptest.NewRequest(http.MethodGet, "/mutate", nil),
			want:    answer{405, "text/plain; charset=utf-8", "POST", "only POST is served here\n"},
		},
		"a PUT is told to POST": {
			request: httptest.NewRequest(http.MethodPut, "/mutate", strings.NewReader(plainReview)),
			want:    answer{405, "text/plain; charset=utf-8", "POST", "only POST is served here\n"},
		},
		"a body without a content type": {
			request: func() *http.Request { r := post(plainReview); r.Header.Del("Content-Type"); return r }(),
			want:    text(415, "the Content-Type must be application/json"),
		},
		"a body of another content type": {
			request: func() *http.Request {
				r := post(plainReview)
				r.Header.Set("Content-Type", "application/yaml")
				return r
			}(),
			want: text(415, "the Content-Type must be application/json"),
		},
		"a compressed body": {
			request: func() *http.Request { r := post(plainReview); r.Header.Set("Content-Encoding", "gzip"); return r }(),
			want:    text(415, "a Content-Encoding is not supported"),
		},
		"an empty body":             {post(""), text(400, "the body is empty")},
		"a body that is not JSON":   {post("spec:\n"), text(400, "the body is not a JSON AdmissionReview: invalid character 's' looking for beginning of value")},
		"a body cut short":          {post(plainReview[:40]), text(400, "the body is not a JSON AdmissionReview: unexpected end of JSON input")},
		"two documents in one body": {post(plainReview + plainReview), text(400, "the body is not a JSON AdmissionReview: invalid character '{' after top-level value")},
		"an array":                  {post("[]"), text(400, "the body is not a JSON AdmissionReview: json: cannot unmarshal array into Go value of type v1.AdmissionReview")},
		"null":                      {post("null"), text(400, "the body must be an AdmissionReview of admission.k8s.io/v1")},
		"the beta version":          {edit("admission.k8s.io/v1", "admission.k8s.io/v1beta1"), text(400, "the body must be an AdmissionReview of admission.k8s.io/v1")},
		"another kind":              {edit("AdmissionReview", "Review"), text(400, "the body must be an AdmissionReview of admission.k8s.io/v1")},
		"keys in another case":      {edit(`"request"`, `"Request"`), text(400, "the AdmissionReview has no request")},
		"a null request":            {post(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}`), text(400, "the AdmissionReview has no request")},
		"a response only":           {post(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"x","allowed":true}}`), text(400, "the AdmissionReview has no request")},
		"no uid":                    {edit(`"uid":"u-1",`, ``), text(400, "the AdmissionReview's request has no uid")},
		"two requests":              {edit(`"request":{`, `"request":{"uid":"u-0"},"request":{`), text(400, `the AdmissionReview is ambiguous: duplicate field "request"`)},
		"two uids":                  {edit(`"uid":"u-1"`, `"uid":"u-1","uid":"u-2"`), text(400, `the AdmissionReview is ambiguous: duplicate field "request.uid"`)},
		"a wrong type":              {edit(`"u-1"`, `1`), text(400, "the body is not a JSON AdmissionReview: json: cannot unmarshal number into Go struct field AdmissionRequest.request.uid of type types.UID")},
		"a body one byte too long":  {post(strings.Repeat(" ", MaxBody+1)), text(413, "the body is larger than 7 MiB")},
		"a body too long that hides its length": {
			request: func() *http.Request {
				r := post(strings.Repeat(" ", MaxBody+1))
				r.ContentLength = -1
				return r
			}(),
			want: text(413, "the body is larger than 7 MiB"),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			never := func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
				t.Error("the decision must not be asked for")
				return nil
			}
			assert.Equal(t, test.want, serve(Handler(never, Options{}), test.request))
		})
	}
}

func TestHandlerAnswersInTheEnvelope(t *testing.T) {
	jsonPatch := admissionv1.PatchTypeJSONPatch
	tests := map[string]struct {
		decide func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse
		want   string
	}{
		"an admission": {
			decide: allow,
			want:   `"response":{"uid":"u-1","allowed":true}`,
		},
		"an admission with a patch and a warning": {
			decide: func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
				return &admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(`[]`), PatchType: &jsonPatch, Warnings: []string{"careful"}}
			},
			want: `"response":{"uid":"u-1","allowed":true,"patch":"W10=","patchType":"JSONPatch","warnings":["careful"]}`,
		},
		"a refusal, with the uid of the request whatever the decision says": {
			decide: func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
				return &admissionv1.AdmissionResponse{UID: "other", Result: &metav1.Status{Code: 422, Reason: "Invalid", Message: "no"}}
			},
			want: `"response":{"uid":"u-1","allowed":false,"status":{"metadata":{},"message":"no","reason":"Invalid","code":422}}`,
		},
		"a panic": {
			decide: func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
				panic("secret of the object")
			},
			want: `"response":{"uid":"u-1","allowed":false,"status":{"metadata":{},"status":"Failure","message":"internal error in kubetorch-webhook, nothing was decided; its log has the details under uid u-1","reason":"InternalError","code":500}}`,
		},
		"no verdict": {
			decide: func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse { return nil },
			want:   `"response":{"uid":"u-1","allowed":false,"status":{"metadata":{},"status":"Failure","message":"internal error in kubetorch-webhook, nothing was decided; its log has the details under uid u-1","reason":"InternalError","code":500}}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := answer{200, "application/json", "", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1",` + test.want + "}\n"}
			assert.Equal(t, want, serve(Handler(test.decide, Options{}), post(plainReview)))
		})
	}
}

func TestHandlerHandsOverTheWholeRequest(t *testing.T) {
	var got admissionv1.AdmissionRequest
	h := Handler(func(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		got = *r
		return allow(ctx, r)
	}, Options{})
	r := post(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","unknown":1,"request":{"uid":"u","name":"n","userInfo":{"username":"me"},` +
		`"object":{"spec":{ "x":1,"x":2 }},"oldObject":null,"dryRun":true}}`)
	r.Header.Set("Content-Type", "Application/JSON; charset=utf-8")
	require.Equal(t, 200, serve(h, r).code)

	dry := true
	want := admissionv1.AdmissionRequest{UID: "u", Name: "n", DryRun: &dry, UserInfo: authenticationv1.UserInfo{Username: "me"}}
	want.Object.Raw = []byte(`{"spec":{ "x":1,"x":2 }}`)
	assert.Equal(t, want, got)
}

func TestHandlerServesAnUpdateOfTwoLargeObjects(t *testing.T) {
	large := `{"data":"` + strings.Repeat("x", 3<<20) + `"}`
	var objects int
	h := Handler(func(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		objects = len(r.Object.Raw) + len(r.OldObject.Raw)
		return allow(ctx, r)
	}, Options{MaxLarge: 1})
	review := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","object":` + large + `,"oldObject":` + large + `}}`
	for range 2 { // a second time: the place was given back
		require.Equal(t, 200, serve(h, post(review)).code)
		assert.Equal(t, 2*len(large), objects)
	}
}

func TestHandlerTakesTheTimeLimitOfTheAPIServer(t *testing.T) {
	tests := map[string]struct {
		query string
		want  time.Duration
	}{
		"seconds":                         {"?timeout=3s", 2800 * time.Millisecond},
		"a short one":                     {"?timeout=100ms", 90 * time.Millisecond},
		"none":                            {"", 9800 * time.Millisecond},
		"one that is no duration":         {"?timeout=soon", 9800 * time.Millisecond},
		"a negative one":                  {"?timeout=-1s", 9800 * time.Millisecond},
		"one longer than Kubernetes' own": {"?timeout=2h", 29800 * time.Millisecond},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var deadline, reached time.Time
			h := Handler(func(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
				deadline, _ = ctx.Deadline()
				reached = time.Now()
				return allow(ctx, r)
			}, Options{})
			r := httptest.NewRequest(http.MethodPost, "/validate"+test.query, strings.NewReader(plainReview))
			r.Header.Set("Content-Type", "application/json")
			sent := time.Now()
			require.Equal(t, 200, serve(h, r).code)
			assert.False(t, deadline.Before(sent.Add(test.want)), "counted from when the request came")
			assert.False(t, deadline.After(reached.Add(test.want)), "no longer")
		})
	}
}

func TestHandlerMakesLargeRequestsWaitForAPlace(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	h := Handler(func(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		if r.UID == "first" {
			close(inside)
			<-leave
		}
		return allow(ctx, r)
	}, Options{MaxLarge: 1})
	padded := func(uid string) *http.Request {
		r := post(strings.Replace(plainReview, "u-1", uid, 1) + strings.Repeat(" ", largeBody))
		r.URL.RawQuery = "timeout=200ms"
		return r
	}
	done := make(chan answer)
	go func() { done <- serve(h, padded("first")) }()
	<-inside
	assert.Equal(t, tooManyAnswer("second"), refusal(t, serve(h, padded("second"))), "a refusal that holds under failurePolicy Ignore")
	assert.Equal(t, 200, serve(h, post(plainReview)).code, "a small one passes by")
	close(leave)
	assert.Equal(t, 200, (<-done).code)
}

func TestHandlerGivesUpOnABodyThatTricklesIn(t *testing.T) {
	server := httptest.NewServer(Handler(allow, Options{}))
	defer server.Close()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer connection.Close()
	_, err = io.WriteString(connection, "POST /mutate?timeout=200ms HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	require.NoError(t, err)
	require.NoError(t, connection.SetReadDeadline(time.Now().Add(5*time.Second)))
	reply, err := io.ReadAll(connection)
	require.NoError(t, err, "the connection is closed")
	assert.Contains(t, string(reply), "408 Request Timeout")
}

func TestABodyThatBreaksOffIsRefusedInTheProtocol(t *testing.T) {
	server := httptest.NewServer(Handler(allow, Options{}))
	defer server.Close()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer connection.Close()
	_, err = fmt.Fprintf(connection, "POST /validate?timeout=200ms HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		len(plainReview)+1, plainReview)
	require.NoError(t, err)
	require.NoError(t, connection.SetReadDeadline(time.Now().Add(5*time.Second)))
	reply, err := http.ReadResponse(bufio.NewReader(connection), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(reply.Body)
	require.NoError(t, errors.Join(err, reply.Body.Close()))
	want := busy(noTime)
	want.UID = "u-1"
	assert.Equal(t, want, refusal(t, answer{code: reply.StatusCode, body: string(body)}), "a refusal that holds under failurePolicy Ignore")
	assert.True(t, reply.Close)
}

func TestHandlerReusesAConnection(t *testing.T) {
	server := httptest.NewServer(Handler(allow, Options{}))
	defer server.Close()
	for range 3 {
		reply, err := server.Client().Post(server.URL+"/mutate?timeout=1s", "application/json", strings.NewReader(plainReview))
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, reply.Body)
		require.NoError(t, errors.Join(err, reply.Body.Close()))
		assert.Equal(t, 200, reply.StatusCode)
	}
}

func TestHandlerCountsEveryRequest(t *testing.T) {
	metrics := NewMetrics("/mutate")
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)
	var verdict *admissionv1.AdmissionResponse
	h := Handler(func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return verdict
	}, Options{Path: "/mutate", Metrics: metrics})

	verdict = &admissionv1.AdmissionResponse{Allowed: true}
	serve(h, post(plainReview))
	verdict = &admissionv1.AdmissionResponse{Allowed: true, Patch: []byte("[]")}
	serve(h, post(plainReview))
	verdict = &admissionv1.AdmissionResponse{Result: &metav1.Status{Code: 422}}
	serve(h, post(plainReview))
	verdict = &admissionv1.AdmissionResponse{}
	serve(h, post(plainReview))
	verdict = &admissionv1.AdmissionResponse{Result: &metav1.Status{Code: 503}}
	serve(h, post(plainReview))
	serve(h, post(""))
	h.(*handler).decide = func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse { panic("x") }
	serve(h, post(plainReview))

	assert.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP kubetorch_webhook_admission_panics_total Panics while deciding; each was answered as a refusal with status 500.
# TYPE kubetorch_webhook_admission_panics_total counter
kubetorch_webhook_admission_panics_total{path="/mutate"} 1
# HELP kubetorch_webhook_admission_patch_bytes Size of the JSON Patches in answers; answers without one are not counted.
# TYPE kubetorch_webhook_admission_patch_bytes histogram
kubetorch_webhook_admission_patch_bytes_bucket{path="/mutate",le="64"} 1
kubetorch_webhook_admission_patch_bytes_bucket{path="/mutate",le="128"} 1
kubetorch_webhook_admission_patch_bytes_bucket{path="/mutate",le="256"} 1
kubetorch_webhook_admission_patch_bytes_bucket{path="/mutate",le="512"} 1
kubetorch_webhook_admission_patch_bytes_bucket{path="/mutate",le="1024"} 1
kubetorch_webhook_admission_patch_bytes_bucket{path="/mutate",le="2048"} 1
kubetorch_webhook_admission_patch_bytes_bucket{path="/mutate",le="4096"} 1
kubetorch_webhook_admission_patch_bytes_bucket{path="/mutate",le="8192"} 1
kubetorch_webhook_admission_patch_bytes_bucket{path="/mutate",le="16384"} 1
kubetorch_webhook_admission_patch_bytes_bucket{path="/mutate",le="65536"} 1
kubetorch_webhook_admission_patch_bytes_bucket{path="/mutate",le="262144"} 1
kubetorch_webhook_admission_patch_bytes_bucket{path="/mutate",le="1.048576e+06"} 1
kubetorch_webhook_admission_patch_bytes_bucket{path="/mutate",le="+Inf"} 1
kubetorch_webhook_admission_patch_bytes_sum{path="/mutate"} 2
kubetorch_webhook_admission_patch_bytes_count{path="/mutate"} 1
# HELP kubetorch_webhook_admission_requests_total Admission requests by what they are about, verdict (allowed, patched, denied, error, unusable) and status code. Kinds that are not judged count as other.
# TYPE kubetorch_webhook_admission_requests_total counter
kubetorch_webhook_admission_requests_total{code="200",kind="other",operation="CREATE",path="/mutate",verdict="allowed"} 1
kubetorch_webhook_admission_requests_total{code="200",kind="other",operation="CREATE",path="/mutate",verdict="patched"} 1
kubetorch_webhook_admission_requests_total{code="400",kind="other",operation="CREATE",path="/mutate",verdict="denied"} 1
kubetorch_webhook_admission_requests_total{code="400",kind="",operation="",path="/mutate",verdict="unusable"} 1
kubetorch_webhook_admission_requests_total{code="422",kind="other",operation="CREATE",path="/mutate",verdict="denied"} 1
kubetorch_webhook_admission_requests_total{code="500",kind="other",operation="CREATE",path="/mutate",verdict="error"} 1
kubetorch_webhook_admission_requests_total{code="503",kind="other",operation="CREATE",path="/mutate",verdict="error"} 1
`), "kubetorch_webhook_admission_requests_total", "kubetorch_webhook_admission_patch_bytes", "kubetorch_webhook_admission_panics_total"))
}

func TestHandlerLogsNoContents(t *testing.T) {
	var lines strings.Builder
	log := funcr.New(func(prefix, args string) { lines.WriteString(args + "\n") }, funcr.Options{Verbosity: 10})
	const secret = "s3cret-of-the-object"
	verdicts := map[string]func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse{
		"an admission": allow,
		"a refusal that quotes": func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
			return &admissionv1.AdmissionResponse{Warnings: []string{secret}, Result: &metav1.Status{Code: 422, Reason: "Invalid", Message: secret}}
		},
		"a panic that quotes": func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse { panic(secret) },
	}
	for name, decide := range verdicts {
		t.Run(name, func(t *testing.T) {
			lines.Reset()
			serve(Handler(decide, Options{Log: log}), post(strings.Replace(plainReview, `"b":1`, `"b":"`+secret+`"`, 1)))
			assert.Contains(t, lines.String(), "u-1", "the line names the request")
			assert.NotContains(t, lines.String(), secret)
		})
	}
}

// A line says who was refused what, by which bound of which policy.
func TestRefusalsAreLoggedWithUserPolicyAndBound(t *testing.T) {
	var lines strings.Builder
	log := funcr.New(func(prefix, args string) { lines.WriteString(args + "\n") }, funcr.Options{})
	refuse := func(_ context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		r.UserInfo.Username = "alice"
		return &admissionv1.AdmissionResponse{
			AuditAnnotations: map[string]string{"refused-by": "platform: maxScale; cluster: gpuBudget"}, Result: &metav1.Status{Code: 403, Reason: "Forbidden"},
		}
	}
	serve(Handler(refuse, Options{Log: log}), post(plainReview))
	assert.Contains(t, lines.String(), `"user"="alice"`)
	assert.Contains(t, lines.String(), `"refusedBy"="platform: maxScale; cluster: gpuBudget"`)
}

func TestPanicsOfTheRuntimeAreToldInFull(t *testing.T) {
	var lines strings.Builder
	log := funcr.New(func(prefix, args string) { lines.WriteString(args) }, funcr.Options{})
	serve(Handler(func(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Allowed: r.Object.Raw[1<<20] == 0}
	}, Options{Log: log}), post(plainReview))
	assert.Contains(t, lines.String(), "index out of range")
	assert.Contains(t, lines.String(), "TestPanicsOfTheRuntimeAreToldInFull", "the stack leads to the fault")
}

func FuzzHandler(f *testing.F) {
	f.Add([]byte(plainReview))
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","userInfo":{"extra":{"a":["b"]}},"object":[[[]]],"options":null}}`))
	f.Add([]byte(`{"request":{"request":{}},"REQUEST":1}`))
	f.Add([]byte("\xff\xfe{}"))
	h := Handler(allow, Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		got := serve(h, post(string(body)))
		switch {
		case got.code == http.StatusOK:
			var review admissionv1.AdmissionReview
			require.NoError(t, json.Unmarshal([]byte(got.body), &review))
			require.True(t, review.Response.Allowed)
			require.NotEmpty(t, review.Response.UID)
		case got.code >= 400 && got.code < 500:
			require.Equal(t, 1, strings.Count(got.body, "\n"), "one line")
		default:
			t.Fatalf("answered %d", got.code)
		}
	})
}

func BenchmarkHandler(b *testing.B) {
	for name, padding := range map[string]int{"4KiB": 4 << 10, "64KiB": 64 << 10} {
		review := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","object":{"data":"` +
			strings.Repeat("x", padding) + `"}}}`
		h := Handler(allow, Options{Metrics: NewMetrics("/mutate"), Path: "/mutate"})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := serve(h, post(review)); got.code != 200 {
					b.Fatal(got)
				}
			}
		})
	}
}
