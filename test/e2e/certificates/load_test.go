package certificates

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	perSecond = 20
	// behind is how far API servers may be behind the stored caBundle here; atMost is what
	// that becomes on a busy machine before a look does not count.
	behind = 400 * time.Millisecond
	atMost = 900 * time.Millisecond
)

// load is a steady stream of admissions through the API server. Beside it, everything that a
// replica serves is verified as an API server would that opens a new connection: the real
// one keeps its connections, and so would not see every certificate.
type load struct {
	began time.Time
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu                 sync.Mutex
	admitted, verified int
	failures           []string
	bundles            []bundle
}

// bundle is a caBundle as it was read, from a moment on.
type bundle struct {
	read time.Time
	pool *x509.CertPool
}

// underLoad runs a test under load, of which nothing may fail.
func underLoad(t *testing.T, f func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &load{began: time.Now(), stop: stop}
	defer l.done.Wait()
	defer stop()
	l.done.Go(func() { l.admit(ctx) })
	l.done.Go(func() { l.readBundles(ctx) })
	for _, r := range hook.Replicas {
		l.done.Go(func() { l.verify(ctx, r.Address) })
	}
	f()
	took := time.Since(l.began)
	stop()
	l.done.Wait()
	t.Logf("%d admissions and %d handshakes in %s", l.admitted, l.verified, took.Round(time.Millisecond))
	assert.Empty(t, l.failures)
	assert.Greater(t, l.admitted, int(took.Seconds()*perSecond/2), "too few to tell")
	assert.Greater(t, l.verified, int(took.Seconds()), "too few to tell")
}

func (l *load) note(failure string, count *int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if failure == "" {
		*count++
		return
	}
	l.failures = append(l.failures, fmt.Sprintf("%s: %s", time.Since(l.began).Round(time.Millisecond), failure))
}

func (l *load) admit(ctx context.Context) {
	ticker := time.NewTicker(time.Second / perSecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.done.Go(func() { l.note(admit(i), &l.admitted) })
		}
	}
}

// admit creates a Deployment that becomes a Knative Service, as a dry run. It tells what is
// wrong with the answer.
func admit(i int) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	labels := map[string]any{"app": "load"}
	made, err := client.Resource(deployments).Namespace(metav1.NamespaceDefault).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": fmt.Sprintf("load-%d", i), "labels": map[string]any{"kubetorch.com/autoscale": "true"}},
		"spec": map[string]any{
			"replicas": int64(2), "selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": "nginx:1"}}},
			},
		},
	}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err.Error()
	}
	if n, _, _ := unstructured.NestedInt64(made.Object, "spec", "replicas"); n != 0 {
		return "admitted without being mutated"
	}
	return ""
}

// readBundles keeps track of the caBundle.
func (l *load) readBundles(ctx context.Context) {
	every(ctx, 100*time.Millisecond, func() {
		b := bundle{time.Now(), x509.NewCertPool()}
		text, err := readBundle(ctx)
		if err == nil && b.pool.AppendCertsFromPEM(text) {
			l.mu.Lock()
			l.bundles = append(l.bundles, b)
			l.mu.Unlock()
		}
	})
}

// verify looks at what a replica serves, with the caBundle of now and of a while ago.
func (l *load) verify(ctx context.Context, address string) {
	every(ctx, tick, func() {
		for _, roots := range l.trusted(time.Now()) {
			leaf, err := served(ctx, address)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				_, err = leaf.Verify(x509.VerifyOptions{DNSName: serverName, Roots: roots.pool})
			}
			failure := ""
			if err != nil {
				failure = fmt.Sprintf("with the caBundle of %s ago: %s", time.Since(roots.read).Round(time.Millisecond), err)
			}
			l.note(failure, &l.verified)
		}
	})
}

func (l *load) trusted(now time.Time) (list []bundle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, b := range slices.Backward(l.bundles) {

		if i == len(l.bundles)-1 {
			list = append(list, b)
		}
		if age := now.Sub(b.read); age >= behind {
			if age <= atMost {
				list = append(list, b)
			}
			break
		}
	}
	return list
}

func every(ctx context.Context, interval time.Duration, f func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		f()
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}
