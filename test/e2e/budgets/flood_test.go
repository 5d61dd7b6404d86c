package budgets

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/pkg/admission"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// attempt is a request of a tenant's that no budget of 16 has room for beside the 8 that are held.
type attempt struct{ method, path, contentType, body string }

// tooMuch are such requests: every kind that is created, every way to scale, and updates.
func tooMuch(namespace string) map[string]attempt {
	pods := func(gpus int) string {
		return fmt.Sprintf(`{"containers":[{"name":"c","image":"nginx:1","resources":{"limits":{"nvidia.com/gpu":"%d"}}}]}`, gpus)
	}
	template := func(gpus int) string {
		return `"template":{"metadata":{"labels":{"app":"flood"}},"spec":` + pods(gpus) + `}`
	}
	const selector = `"selector":{"matchLabels":{"app":"flood"}}`
	created := func(group, resource, kind, spec string) attempt {
		path, version := "/apis/"+group, group
		if group == "v1" {
			path = "/api/v1"
		}
		return attempt{http.MethodPost, path + "/namespaces/" + namespace + "/" + resource, "application/json",
			fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"generateName":"flood-"},"spec":%s}`, version, kind, spec)}
	}
	patched := func(path, body string) attempt {
		return attempt{http.MethodPatch, path, "application/merge-patch+json", body}
	}
	apps := "/apis/apps/v1/namespaces/" + namespace
	return map[string]attempt{
		"a Pod":                   created("v1", "pods", "Pod", pods(12)),
		"a Job":                   created("batch/v1", "jobs", "Job", `{"parallelism":3,`+strings.Replace(template(4), `"spec":{`, `"spec":{"restartPolicy":"Never",`, 1)+`}`),
		"a StatefulSet":           created("apps/v1", "statefulsets", "StatefulSet", `{"replicas":3,"serviceName":"x",`+selector+`,`+template(4)+`}`),
		"a ReplicaSet":            created("apps/v1", "replicasets", "ReplicaSet", `{"replicas":3,`+selector+`,`+template(4)+`}`),
		"a Deployment":            created("apps/v1", "deployments", "Deployment", `{"replicas":3,`+selector+`,`+template(4)+`}`),
		"a Knative Service":       created("serving.knative.dev/v1", "services", "Service", `{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"3"}},"spec":{"containers":[{"image":"nginx:1","resources":{"limits":{"nvidia.com/gpu":"4"}}}]}}}`),
		"an autoscaler":           created("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", `{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"held"},"maxReplicas":9}`),
		"a scale":                 patched(apps+"/deployments/held/scale", `{"spec":{"replicas":9}}`),
		"a scale of another kind": patched(apps+"/statefulsets/held/scale", `{"spec":{"replicas":9}}`),
		"more replicas":           patched(apps+"/deployments/held", `{"spec":{"replicas":9}}`),
		"more GPUs":               patched(apps+"/statefulsets/held", `{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"nginx:1","resources":{"limits":{"nvidia.com/gpu":"16"}}}]}}}}`),
	}
}

// TestUnderAFloodNothingIsAdmittedThatDoesNotFit: all places of all replicas are taken by requests that
// never end, of one replica twice as many as it has. Meanwhile a tenant creates, scales and updates.
func TestUnderAFloodNothingIsAdmittedThatDoesNotFit(t *testing.T) {
	disturb := disturbances.Disturbing(t)
	namespace := harness.NewNamespace(t, client)
	name := newBudget(t, namespace, "  max: 16\n")
	held := fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"%%s","metadata":{"name":"held"},"spec":{"replicas":2,"serviceName":"x","selector":{"matchLabels":{"app":"%%s"}},"template":{"metadata":{"labels":{"app":"%%s"}},"spec":{"containers":[{"name":"c","image":"nginx:1","resources":{"limits":{"nvidia.com/gpu":"%d"}}}]}}}}`, 2)
	for resource, kind := range map[string]string{"deployments": "Deployment", "statefulsets": "StatefulSet"} {
		u := object(t, fmt.Sprintf(held, kind, kind, kind))
		if kind == "Deployment" {
			delete(u.Object["spec"].(map[string]any), "serviceName")
		}
		require.NoError(t, answered(func() error {
			_, err := client.Resource(deployments.GroupVersion().WithResource(resource)).Namespace(namespace).Create(context.Background(), u, metav1.CreateOptions{})
			return err
		}))
	}
	awaitUsed(t, name, 8)
	api, err := rest.HTTPClientFor(cluster.RESTConfig())
	require.NoError(t, err)

	end := disturb()
	ebb := flood(t)
	var busy atomic.Int64
	admitted := make(chan string, 1000)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var tenants sync.WaitGroup
	for what, a := range tooMuch(namespace) {
		tenants.Go(func() {
			// As long as it takes until places have run out for somebody, and a while longer.
			for began := time.Now(); ctx.Err() == nil && (time.Since(began) < 8*time.Second || busy.Load() == 0); {
				code, message := ask(ctx, api, a)
				switch {
				case code == 0: // the API server did not answer in time
				case code < 300:
					admitted <- what + ": " + message
					return
				case strings.Contains(message, "too many requests at the same time"):
					busy.Add(1)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	tenants.Wait()
	close(admitted)
	ebb()
	end()
	for what := range admitted {
		t.Error("admitted: " + what)
	}
	assert.Positive(t, busy.Load(), "the flood was past the ceiling")

	awaitUsed(t, name, 8)
	for what, a := range tooMuch(namespace) {
		harness.Eventually(t, "a verdict on "+what, func() bool {
			code, message := ask(t.Context(), api, a)
			return code == http.StatusForbidden && strings.Contains(message, "in budget "+name)
		})
	}
	require.NoError(t, create(t, namespace, service("fits", 2, 4)), "what fits is admitted as before")
	awaitUsed(t, name, 16)
}

// ask sends a request once, without the waiting and trying again that clients do; the code is 0 if
// there was no answer.
func ask(ctx context.Context, api *http.Client, a attempt) (code int, message string) {
	r, err := http.NewRequestWithContext(ctx, a.method, cluster.RESTConfig().Host+a.path, strings.NewReader(a.body))
	if err != nil {
		return 0, err.Error()
	}
	r.Header.Set("Content-Type", a.contentType)
	response, err := api.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	var status metav1.Status
	if json.Unmarshal(text, &status) != nil || status.Kind != "Status" {
		status.Message = string(text)
	}
	return response.StatusCode, status.Message
}

// flood takes all places of all replicas until it is told to end: requests that never get to their
// end, sent again when a replica has waited long enough. It returns once they are there.
func flood(t *testing.T) (ebb func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var waves sync.WaitGroup
	var begun atomic.Int64
	all := int64(0)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	for i, replica := range hook.Replicas {
		n := admission.DefaultMaxConcurrent + 20
		if i == 0 {
			n *= 2
		}
		all += int64(n)
		for range n {
			waves.Go(func() {
				there := sync.OnceFunc(func() { begun.Add(1) }) // or answered, if it came beyond the ceiling
				for ctx.Err() == nil {
					body := &trickle{ctx: ctx, head: *bytes.NewReader([]byte(`{"kind":"AdmissionReview",`)), sent: there}
					r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+replica.Address+"/validate?timeout=30s", body)
					if err != nil {
						return
					}
					r.Header.Set("Content-Type", "application/json")
					r.ContentLength = 1000
					if response, err := transport.RoundTrip(r); err == nil {
						response.Body.Close()
						there()
					}
				}
			})
		}
	}
	ebb = sync.OnceFunc(func() { cancel(); waves.Wait(); transport.CloseIdleConnections() })
	t.Cleanup(ebb)
	harness.Await(t, "the flood", func() (bool, string) {
		return begun.Load() == all, fmt.Sprintf("%d of %d requests", begun.Load(), all)
	})
	return ebb
}

// trickle is a body of which the end never comes.
type trickle struct {
	ctx  context.Context
	head bytes.Reader
	sent func()
}

func (b *trickle) Read(p []byte) (int, error) {
	if n, err := b.head.Read(p); err == nil {
		return n, nil
	}
	b.sent()
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}
