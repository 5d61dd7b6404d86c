package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

const (
	// perPod is the bound of policy.yaml on the GPUs of a pod.
	perPod = 8
	// maxInFlight is how many requests may wait at the same time. More of them would only
	// fill memory; those that find no place count as failed.
	maxInFlight = 2000
	// patience is how long a request may take: the webhook's timeout twice, for both
	// steps, and a second.
	patience = 7 * time.Second
)

// request is one that was sent, and what became of it.
type request struct {
	sent    time.Time
	took    time.Duration
	failure string // empty if the verdict was the right one
}

// load creates labelled Deployments at a steady rate, as dry runs so that nothing piles up.
// The API server asks the webhook twice about each, to mutate and to validate. One in ten
// asks for more GPUs than a policy allows and must be refused, all others must be admitted.
type load struct {
	client dynamic.Interface
	// send makes one request. It is not cut short when the load ends.
	send func(i int) request

	mu       sync.Mutex
	finished []request
	inFlight int
}

func newLoad(client dynamic.Interface) *load {
	l := &load{client: client}
	l.send = l.admit
	return l
}

// run sends requests until ctx ends, and returns when the last is answered.
func (l *load) run(ctx context.Context, perSecond int) {
	var sent sync.WaitGroup
	defer sent.Wait()
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		l.mu.Lock()
		full := l.inFlight >= maxInFlight
		if full {
			l.finished = append(l.finished, request{sent: time.Now(), failure: "too many requests wait for an answer"})
		} else {
			l.inFlight++
		}
		l.mu.Unlock()
		if full {
			continue
		}
		sent.Go(func() {
			r := l.send(i)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.inFlight--
			l.finished = append(l.finished, r)
		})
	}
}

// admit makes one request that the webhook is asked about.
func (l *load) admit(i int) request {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tooMany := i%10 == 9
	gpus := 1 + i%perPod
	if tooMany {
		gpus = perPod + 1
	}
	r := request{sent: time.Now()}
	made, err := l.client.Resource(deployments).Namespace(metav1.NamespaceDefault).Create(ctx, deployment(i, gpus), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	r.took = time.Since(r.sent)
	refused := apierrors.IsForbidden(err) && strings.Contains(err.Error(), "policy resilience")
	switch {
	case tooMany && err == nil:
		r.failure = "admitted what a bound forbids"
	case tooMany && !refused, !tooMany && err != nil:
		r.failure = cause(err)
	case !tooMany && replicas(made) != 0:
		r.failure = "admitted without being mutated"
	}
	return r
}

func replicas(u *unstructured.Unstructured) int64 {
	n, _, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
	return n
}

// deployment is one that becomes a Knative Service.
func deployment(i, gpus int) *unstructured.Unstructured {
	labels := map[string]any{"app": "resilience"}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{
			"name": fmt.Sprintf("resilience-%d", i), "labels": map[string]any{"kubetorch.com/autoscale": "true"},
			"annotations": map[string]any{"compute.kubetorch.com/gpus": fmt.Sprint(gpus), "autoscale.kubetorch.com/max-scale": "2"},
		},
		"spec": map[string]any{
			"replicas": int64(2), "selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": "nginx:1"}}},
			},
		},
	}}
}

// cause is what sort of failure an error is.
func cause(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "failed calling webhook"):
		for _, part := range []string{"x509", "connection refused", "EOF", "reset by peer", "broken pipe", "context deadline exceeded", "no endpoints"} {
			if strings.Contains(text, part) {
				return "calling the webhook: " + part
			}
		}
		return "calling the webhook: " + text
	case strings.Contains(text, "denied the request"):
		return "refused: " + text
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err), strings.Contains(text, "etcdserver"), strings.Contains(text, "request timed out"):
		return "the API server timed out"
	case strings.Contains(text, "connection refused"), strings.Contains(text, "EOF"), strings.Contains(text, "reset by peer"), strings.Contains(text, "connection lost"), strings.Contains(text, "shutting down"):
		return "the API server was away"
	case strings.Contains(text, "deadline exceeded"), strings.Contains(text, "Client.Timeout"):
		return "no answer in " + patience.String()
	case apierrors.ReasonForError(err) == metav1.StatusReasonForbidden:
		return fmt.Sprintf("%d: %s", http.StatusForbidden, text)
	default:
		return text
	}
}

// since are the requests that were sent from a moment on and are answered.
func (l *load) since(begin time.Time) []request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []request
	for _, r := range l.finished {
		if !r.sent.Before(begin) {
			list = append(list, r)
		}
	}
	return list
}

// settled tells whether every request that was sent in the quiet before a moment is
// answered, and rightly.
func (l *load) settled(now time.Time, quiet time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	answered := 0
	for _, r := range slices.Backward(l.finished) {
		if r.sent.Before(now.Add(-quiet)) {
			continue
		}
		if r.failure != "" {
			return false
		}
		answered++
	}
	return answered > 0 && l.inFlight < answered
}

// count tells how often each failure occurred, the most frequent first.
func count(requests []request) (text []string, failed int) {
	counts := map[string]int{}
	for _, r := range requests {
		if r.failure != "" {
			counts[r.failure]++
			failed++
		}
	}
	kinds := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(kinds, func(a, b string) int { return counts[b] - counts[a] })
	for _, kind := range kinds {
		text = append(text, fmt.Sprintf("%s (%d)", kind, counts[kind]))
	}
	return text, failed
}
