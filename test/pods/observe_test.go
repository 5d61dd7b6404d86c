package pods

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubetorch/webhook/test/pods/observed"
)

// observer notes how many pods a namespace has, several times a second.
type observer struct {
	namespace string
	begin     time.Time
	stop      context.CancelFunc
	done      chan struct{}

	mu      sync.Mutex
	samples []observed.Sample
	seen    map[string]time.Time     // when each pod was there first
	startup map[string]time.Duration // how long each pod took from then on to be ready
}

const sampling = 250 * time.Millisecond

func observe(ctx context.Context, namespace string) *observer {
	ctx, stop := context.WithCancel(ctx)
	o := &observer{
		namespace: namespace, begin: time.Now(), stop: stop, done: make(chan struct{}),
		seen: map[string]time.Time{}, startup: map[string]time.Duration{},
	}
	go func() {
		defer close(o.done)
		ticker := time.NewTicker(sampling)
		defer ticker.Stop()
		for ctx.Err() == nil {
			o.look()
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	}()
	return o
}

func (o *observer) look() {
	pods, now := listPods(o.namespace), time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.samples = append(o.samples, observed.Sample{At: now.Sub(o.begin), PodCount: count(pods)})
	for _, pod := range pods {
		name := pod.GetName()
		if _, known := o.seen[name]; !known {
			o.seen[name] = now
		}
		if _, known := o.startup[name]; !known && isReady(pod) {
			o.startup[name] = now.Sub(o.seen[name])
		}
	}
}

// isReady tells whether a pod serves.
func isReady(pod *unstructured.Unstructured) bool {
	status, _, _ := condition(pod, "Ready")
	return status == "True"
}

// end stops observing and returns all samples.
func (o *observer) end() []observed.Sample {
	o.stop()
	<-o.done
	return o.samples
}

// between returns the samples of a time.
func (o *observer) between(from, to time.Time) []observed.Sample {
	o.mu.Lock()
	defer o.mu.Unlock()
	var some []observed.Sample
	for _, s := range o.samples {
		if at := o.begin.Add(s.At); !at.Before(from) && !at.After(to) {
			some = append(some, s)
		}
	}
	return some
}

// startups are how long pods took to be ready, shortest first.
func (o *observer) startups() []time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []time.Duration
	for _, took := range o.startup {
		all = append(all, took)
	}
	slices.Sort(all)
	return all
}

// picture shows the pods so far, with a load behind them. It ends the observation.
func (o *observer) picture(name, what string, begin, end time.Time) observed.Picture {
	return observed.Observed(name, what, o.end(), begin.Sub(o.begin), end.Sub(o.begin))
}
