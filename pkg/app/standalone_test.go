package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/certificate"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/offline"
)

// running is a standalone webhook under test.
type running struct {
	url    string
	config *tls.Config
	client *http.Client
	stop   context.CancelFunc
	done   chan error
}

func start(t *testing.T, delay time.Duration) *running {
	t.Helper()
	return startWith(t, delay, HTTPOptions{})
}

func startWith(t *testing.T, delay time.Duration, limits HTTPOptions) *running {
	t.Helper()
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	out, line := io.Pipe()
	r := &running{stop: stop, done: make(chan error, 1)}
	go func() {
		r.done <- Standalone(ctx, StandaloneOptions{
			Listen: "127.0.0.1:0", CertDir: dir, Inputs: offline.Inputs{Knative: knative.Default()},
			HTTP: limits, ShutdownDelay: delay, Out: line, Log: logr.Discard(),
		})
	}()
	said, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	found := regexp.MustCompile(`^kubetorch-webhook: listening on (https://127\.0\.0\.1:\d+), CA certificate in (.*)\n$`).FindStringSubmatch(said)
	require.Len(t, found, 3, said)
	require.Equal(t, filepath.Join(dir, certificate.CAFile), found[2])

	ca, err := os.ReadFile(found[2])
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca))
	r.url, r.config = found[1], &tls.Config{RootCAs: roots}
	r.client = &http.Client{Transport: &http.Transport{TLSClientConfig: r.config, ForceAttemptHTTP2: true}, Timeout: 5 * time.Second}
	t.Cleanup(r.client.CloseIdleConnections)
	return r
}

// do gives the status and the body.
func (r *running) do(t *testing.T, method, path string, body any) (int, string) {
	t.Helper()
	data, err := json.Marshal(body)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), method, r.url+path, bytes.NewReader(data))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	reply, err := r.client.Do(request)
	require.NoError(t, err)
	defer reply.Body.Close()
	got, err := io.ReadAll(reply.Body)
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.1", reply.Proto, "HTTP/2 is off")
	assert.Equal(t, uint16(tls.VersionTLS13), reply.TLS.Version)
	return reply.StatusCode, string(got)
}

func (r *running) await(t *testing.T, limit time.Duration) {
	t.Helper()
	select {
	case err := <-r.done:
		assert.NoError(t, err)
	case <-time.After(limit):
		t.Fatal("it does not stop")
	}
}

func TestStandaloneServesFivePathsOnOneListener(t *testing.T) {
	r := start(t, 0)
	for path, want := range map[string]string{
		HealthPath:  "ok\n",
		ReadyPath:   "ok\n",
		MetricsPath: "kubetorch_webhook_build_info{",
	} {
		code, body := r.do(t, http.MethodGet, path, nil)
		assert.Equal(t, 200, code, path)
		assert.Contains(t, body, want)
	}

	var review admissionv1.AdmissionReview
	review.APIVersion, review.Kind, review.Request = "admission.k8s.io/v1", "AdmissionReview", service(t, labelled)
	code, body := r.do(t, http.MethodPost, MutatePath+"?timeout=3s", review)
	require.Equal(t, 200, code, body)
	var answer admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	assert.True(t, answer.Response.Allowed)
	assert.Contains(t, string(answer.Response.Patch), "autoscaling.knative.dev/max-scale")

	review.Request = service(t, nil)
	code, body = r.do(t, http.MethodPost, ValidatePath, review)
	assert.Equal(t, 200, code)
	assert.JSONEq(t, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u-1","allowed":true}}`, body)

	code, _ = r.do(t, http.MethodGet, "/else", nil)
	assert.Equal(t, 404, code)
	code, _ = r.do(t, http.MethodGet, MutatePath, nil)
	assert.Equal(t, 405, code)

	_, metrics := r.do(t, http.MethodGet, MetricsPath, nil)
	for _, line := range []string{
		`kubetorch_webhook_admission_requests_total{code="200",kind="Service",operation="CREATE",path="/mutate",verdict="patched"} 1`,
		`kubetorch_webhook_admission_requests_total{code="200",kind="Service",operation="CREATE",path="/validate",verdict="allowed"} 1`,
		`kubetorch_webhook_admission_requests_total{code="405",kind="",operation="",path="/mutate",verdict="unusable"} 1`,
		`kubetorch_webhook_policies 0`,
		`kubetorch_webhook_knative_config_invalid 0`,
		`go_goroutines `,
	} {
		assert.Contains(t, metrics, line)
	}

	began := time.Now()
	r.stop()
	r.await(t, 2*time.Second)
	assert.Less(t, time.Since(began), time.Second, "idle connections do not hold it up")
}

// Answers are those of a cluster, though nothing here makes the Knative Service.
func TestStandaloneEmptiesALabelledDeployment(t *testing.T) {
	r := start(t, 0)
	var review admissionv1.AdmissionReview
	review.APIVersion, review.Kind, review.Request = "admission.k8s.io/v1", "AdmissionReview", service(t, labelled)
	review.Request.Kind = metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	review.Request.Object.Raw = []byte(`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"kubetorch.com/autoscale": "true"}},
		"spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "acme/web:1"}]}}}}`)
	code, body := r.do(t, http.MethodPost, MutatePath, review)
	require.Equal(t, 200, code, body)
	var answer admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	assert.True(t, answer.Response.Allowed)
	assert.JSONEq(t, `[{"op": "add", "path": "/spec/replicas", "value": 0}, {"op": "add", "path": "/metadata/annotations", "value": {"kubetorch.com/replicas": "3"}}]`, string(answer.Response.Patch))
	r.stop()
	r.await(t, 2*time.Second)
}

func TestStandaloneSpeaksOnlyTLS13(t *testing.T) {
	r := start(t, 0)
	old := r.config.Clone()
	old.MaxVersion = tls.VersionTLS12
	_, err := tls.Dial("tcp", r.url[len("https://"):], old)
	assert.ErrorContains(t, err, "protocol version")
	r.stop()
	r.await(t, 2*time.Second)
}

func TestStandaloneServesOnWhileItIsForgotten(t *testing.T) {
	r := start(t, 700*time.Millisecond)
	r.stop()
	require.Eventually(t, func() bool {
		code, body := r.do(t, http.MethodGet, ReadyPath, nil)
		return code == 503 && body == "shutting down\n"
	}, 500*time.Millisecond, 10*time.Millisecond)

	var review admissionv1.AdmissionReview
	review.APIVersion, review.Kind, review.Request = "admission.k8s.io/v1", "AdmissionReview", service(t, nil)
	code, _ := r.do(t, http.MethodPost, ValidatePath, review)
	assert.Equal(t, 200, code, "what still comes is decided")
	r.await(t, 3*time.Second)
}

func TestStandaloneSaysThatItsAddressIsTaken(t *testing.T) {
	r := start(t, 0)
	err := Standalone(t.Context(), StandaloneOptions{
		Listen: r.url[len("https://"):], CertDir: t.TempDir(), Inputs: offline.Inputs{Knative: knative.Default()}, Out: io.Discard, Log: logr.Discard(),
	})
	assert.ErrorContains(t, err, "address already in use")
	r.stop()
	r.await(t, 2*time.Second)
}
