package pods

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/test/pods/observed"
)

// steady is a load that does not change, on a Service with the parameters of one of the
// examples of kubetorch's guide, and the number of pods that it ends at.
type steady struct {
	example    string            // as the guide writes it
	parameters map[string]string // without their prefix
	requests   int               // under way at any time; 0 for a rate
	rate       int               // a second
	hold       time.Duration     // that a pod takes for each request
	pods       int               // that it ends at
	why        string
	limit      int           // requests that one pod may hold; 0 is no limit
	waits      time.Duration // that half of all requests take at least, since places are taken
	gpus       int           // of each pod
}

// A load goes on for more than the window over which Knative averages, and until the number
// of pods is what it should be and has stayed the same for a while, but not for ever: pods
// take their time to start on a busy machine.
const (
	leastLoad  = 75 * time.Second
	mostLoad   = 5 * time.Minute
	settledFor = 15 * time.Second
)

var steadyLoads = map[string]steady{
	"basic configuration": {
		example:    "target=10, min 1, max 10",
		parameters: map[string]string{"cpus": "2", "gpus": "1", "memory": "8Gi", "min-scale": "1", "max-scale": "10", "target": "10"},
		requests:   13, hold: time.Second, pods: 2, why: "13 / (10 x 70 %)", gpus: 1,
	},
	"concurrency-based scaling": {
		example: "target=10, target_utilization=70, min 1, max 20",
		parameters: map[string]string{"cpus": "2", "gpus": "1", "metric": "concurrency", "target": "10", "target-utilization": "70",
			"min-scale": "1", "max-scale": "20"},
		requests: 35, hold: time.Second, pods: 5, why: "35 / (10 x 70 %)", gpus: 1,
	},
	"rps-based scaling": {
		example: `metric="rps", target=100, target_utilization=80, min 2, max 50`,
		parameters: map[string]string{"cpus": "2", "gpus": "1", "metric": "rps", "target": "100", "target-utilization": "80",
			"min-scale": "2", "max-scale": "50"},
		rate: 200, hold: 50 * time.Millisecond, pods: 3, why: "200 / (100 x 80 %)", gpus: 1,
	},
	"concurrency limiting": {
		example:    "concurrency=5, target=5, min 1, max 10",
		parameters: map[string]string{"cpus": "2", "gpus": "1", "concurrency": "5", "target": "5", "min-scale": "1", "max-scale": "10"},
		requests:   30, hold: time.Second, pods: 9, why: "30 / (5 x 70 %)", limit: 5, gpus: 1,
	},
	"complete configuration": {
		example: "target=10, concurrency=20, initial 2, min 1, max 50",
		parameters: map[string]string{"cpus": "4", "gpus": "1", "memory": "16Gi", "min-scale": "1", "max-scale": "50", "initial-scale": "2",
			"metric": "concurrency", "target": "10", "target-utilization": "70", "concurrency": "20", "window": "60s",
			"scale-down-delay": "2m", "scale-to-zero-pod-retention-period": "10m", "progress-deadline": "15m"},
		requests: 20, hold: time.Second, pods: 3, why: "20 / (10 x 70 %)", limit: 20, gpus: 1,
	},
	"inference service": {
		example: "target=5, concurrency=10, min 1, max 10",
		parameters: map[string]string{"cpus": "4", "gpus": "1", "memory": "16Gi", "min-scale": "1", "max-scale": "10", "target": "5",
			"concurrency": "10", "scale-down-delay": "5m"},
		requests: 20, hold: time.Second, pods: 6, why: "20 / (5 x 70 %)", limit: 10, gpus: 1,
	},
	"batch processing": {
		example: `metric="rps", target=50, min 0, max 20`,
		parameters: map[string]string{"cpus": "8", "memory": "32Gi", "min-scale": "0", "max-scale": "20", "metric": "rps", "target": "50",
			"scale-to-zero-pod-retention-period": "2m"},
		rate: 120, hold: 50 * time.Millisecond, pods: 4, why: "120 / (50 x 70 %)",
	},
	"a maximum below what the load asks for": {
		example:    "target=10, max 2",
		parameters: map[string]string{"target": "10", "min-scale": "1", "max-scale": "2"},
		requests:   30, hold: time.Second, pods: 2, why: "max-scale",
	},
	"a hard limit at one pod: the rest waits": {
		example:    "concurrency=5, target=5, max 1",
		parameters: map[string]string{"concurrency": "5", "target": "5", "min-scale": "1", "max-scale": "1"},
		requests:   15, hold: time.Second, pods: 1, why: "max-scale", limit: 5, waits: 2900 * time.Millisecond,
	},
	"fewer requests than the minimum needs": {
		example:    "target=10, min 3, max 5",
		parameters: map[string]string{"target": "10", "min-scale": "3", "max-scale": "5"},
		requests:   2, hold: time.Second, pods: 3, why: "min-scale",
	},
}

// TestASteadyLoadEndsAtTheNumberOfPodsThatTheParametersSay runs all loads at the same time,
// since much of theirs goes by in waiting.
func TestASteadyLoadEndsAtTheNumberOfPodsThatTheParametersSay(t *testing.T) {
	t.Parallel()
	for name, c := range steadyLoads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t, "steady")
			pods := observe(t.Context(), ns)
			create(t, services, ns, service("app", prefixed(c.parameters), nil))
			awaitReady(t, client.Resource(services).Namespace(ns), "app", "Ready")
			idle := countPods(ns).Ready
			l, to := newLoad(), throughIngress(ns, "app", c.hold)
			begin := time.Now()
			over := func() bool {
				now := time.Now()
				got, since := observed.Settled(pods.between(begin, now))
				return now.Sub(begin) >= leastLoad && got == c.pods && since >= settledFor || now.Sub(begin) >= mostLoad
			}
			if c.rate > 0 {
				l.perSecond(t.Context(), to, c.rate, over)
			} else {
				l.concurrent(t.Context(), to, c.requests, over)
			}
			end := time.Now()
			during := pods.between(begin, end)
			got, since := observed.Settled(during)
			assert.Empty(t, l.failed())
			assert.Equal(t, c.pods, got, "pods at the end of the load: %s", c.why)
			assert.GreaterOrEqual(t, since, settledFor, "the number of pods still changed")
			if c.limit > 0 {
				assert.LessOrEqual(t, l.most, c.limit, "requests that one pod held")
			}
			assert.GreaterOrEqual(t, l.quantile(0.5), max(c.waits, c.hold), "the time of half of all requests")
			assert.GreaterOrEqual(t, idle, min(c.pods, 1))
			// As the guide lists the pods of a service.
			for _, pod := range listPods(ns) {
				assert.Equal(t, "app", pod.GetLabels()["serving.knative.dev/service"])
			}
			require.NotZero(t, l.answers())
			record(t, steadyTable, steadyRow(name, c, l, got, observed.Most(during, observed.Ready)))
			drawIf(t, pods.picture(name, offered(c), begin, end))
		})
	}
}

func offered(c steady) string {
	if c.rate > 0 {
		return fmt.Sprintf("%d requests a second", c.rate)
	}
	return fmt.Sprintf("%d requests at a time", c.requests)
}

func steadyRow(name string, c steady, l *load, got, most int) []string {
	held := fmt.Sprint(l.most)
	if c.limit > 0 {
		held += fmt.Sprintf(" of %d", c.limit)
	}
	return []string{
		name, "`" + c.example + "`", offered(c), fmt.Sprintf("%d = %s", c.pods, c.why), fmt.Sprint(got), fmt.Sprint(most), held,
		fmt.Sprintf("%d, %d failed", l.answers(), len(l.failed())),
		fmt.Sprintf("%.2f s, %.2f s", l.quantile(0.5).Seconds(), l.quantile(0.99).Seconds()),
	}
}

var computeParameters = map[string]bool{"cpus": true, "gpus": true, "memory": true}

// prefixed gives parameters their full names.
func prefixed(parameters map[string]string) map[string]string {
	all := map[string]string{}
	for name, value := range parameters {
		prefix := "autoscale.kubetorch.com/"
		if computeParameters[name] {
			prefix = "compute.kubetorch.com/"
		}
		all[prefix+name] = value
	}
	return all
}
