package app

import (
	"io"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/pkg/metric"
)

// watches knows how old the caches may be: while the watch behind a cache is open, changes
// arrive as they are made, and a cut connection closes it.
type watches struct {
	// caches has the name of a cache by the resource that is watched for it.
	caches map[string]string
	desc   *prometheus.Desc
	now    func() time.Time

	mu sync.Mutex
	// streams are by cache and what exactly is watched.
	streams map[string]map[string]*watchStream
	began   time.Time
}

// watchStream is a watch that is opened again and again.
type watchStream struct {
	open   int
	closed time.Time
}

func newWatches() *watches {
	return &watches{
		caches: map[string]string{
			"computepolicies": "policies", "gpubudgets": "budgets", "namespaces": "namespaces", "configmaps": "knative",
		},
		desc: metric.CacheAge.Desc(), now: time.Now, began: time.Now(), streams: map[string]map[string]*watchStream{},
	}
}

// observe has all clients of a configuration seen.
func (w *watches) observe(config *rest.Config) {
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(r)
			if err != nil || response.StatusCode != http.StatusOK {
				return response, err
			}
			query := r.URL.Query()
			cache := w.caches[path.Base(r.URL.Path)]
			if watching, _ := strconv.ParseBool(query.Get("watch")); !watching || cache == "" {
				return response, err
			}
			what := r.URL.Path + "?" + query.Get("fieldSelector")
			w.opened(cache, what)
			response.Body = &watched{ReadCloser: response.Body, ended: sync.OnceFunc(func() { w.ended(cache, what) })}
			return response, nil
		})
	})
}

func (w *watches) opened(cache, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.streams[cache] == nil {
		w.streams[cache] = map[string]*watchStream{}
	}
	if w.streams[cache][what] == nil {
		w.streams[cache][what] = &watchStream{}
	}
	w.streams[cache][what].open++
}

func (w *watches) ended(cache, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.streams[cache][what]
	s.open--
	s.closed = w.now()
}

// Describe is part of prometheus.Collector.
func (w *watches) Describe(out chan<- *prometheus.Desc) { out <- w.desc }

// Collect is part of prometheus.Collector. A cache is as old as the oldest of its parts, and
// one that was never filled as old as the process.
func (w *watches) Collect(out chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	for _, cache := range w.caches {
		age := time.Duration(0)
		if len(w.streams[cache]) == 0 {
			age = now.Sub(w.began)
		}
		for _, s := range w.streams[cache] {
			if s.open == 0 {
				age = max(age, now.Sub(s.closed))
			}
		}
		out <- prometheus.MustNewConstMetric(w.desc, prometheus.GaugeValue, age.Seconds(), cache)
	}
}

// watched is the body of a watch.
type watched struct {
	io.ReadCloser
	ended func()
}

func (b *watched) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.ended()
	}
	return n, err
}

func (b *watched) Close() error {
	b.ended()
	return b.ReadCloser.Close()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
