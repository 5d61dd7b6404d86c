package pods

import (
	"context"
	"sync"
	"time"
)

// sample is the number of pods at a moment.
type sample struct {
	at time.Duration // since the observer began
	podCount
}

// observer notes how many pods a namespace has, several times a second.
type observer struct {
	begin time.Time
	stop  context.CancelFunc
	done  chan struct{}

	mu      sync.Mutex
	samples []sample
}

const sampling = 250 * time.Millisecond

func observe(ctx context.Context, namespace string) *observer {
	ctx, stop := context.WithCancel(ctx)
	o := &observer{begin: time.Now(), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		ticker := time.NewTicker(sampling)
		defer ticker.Stop()
		for ctx.Err() == nil {
			o.mu.Lock()
			o.samples = append(o.samples, sample{at: time.Since(o.begin), podCount: countPods(namespace)})
			o.mu.Unlock()
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	}()
	return o
}

// end stops observing and returns all samples.
func (o *observer) end() []sample {
	o.stop()
	<-o.done
	return o.samples
}

// between returns the samples of a time.
func (o *observer) between(from, to time.Time) []sample {
	o.mu.Lock()
	defer o.mu.Unlock()
	var some []sample
	for _, s := range o.samples {
		if at := o.begin.Add(s.at); !at.Before(from) && !at.After(to) {
			some = append(some, s)
		}
	}
	return some
}

// mostReady is the largest number of ready pods.
func mostReady(samples []sample) (most int) {
	for _, s := range samples {
		most = max(most, s.Ready)
	}
	return most
}

// settled is the number of live and ready pods at the end of the samples, and for how long
// it was the same.
func settled(samples []sample) (pods int, since time.Duration) {
	if len(samples) == 0 {
		return 0, 0
	}
	last := samples[len(samples)-1]
	for i := len(samples) - 1; i >= 0 && samples[i].Ready == last.Ready && samples[i].Live == last.Ready; i-- {
		since = last.at - samples[i].at
	}
	return last.Ready, since
}
