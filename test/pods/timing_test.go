package pods

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubetorch/webhook/test/pods/observed"
)

// shrink is what happens after a load has ended.
type shrink struct {
	example    string // only of the seed's own
	parameters map[string]string
	requests   int
	full, low  int // pods under load, and in the end
	// After the load's end no pod goes earlier than earliest, and all that go are gone at done:
	// that is for a busy machine, on which Knative looks late.
	earliest, done time.Duration
	latest         time.Duration // before which the last of them does not go
	why            string
	cold           bool // a request comes after the last pod has gone
	long           bool // takes more than a few minutes
}

var shrinks = map[string]shrink{
	"window 10s, no delay": {
		parameters: map[string]string{"target": "10", "min-scale": "1", "max-scale": "5", "window": "10s", "scale-down-delay": "0s"},
		requests:   20, full: 3, low: 1,
		earliest: 0, done: 100 * time.Second, why: "as the average over the window falls",
	},
	"window 40s, no delay": {
		parameters: map[string]string{"target": "10", "min-scale": "1", "max-scale": "5", "window": "40s", "scale-down-delay": "0s"},
		requests:   20, full: 3, low: 1,
		earliest: 8 * time.Second, done: 160 * time.Second, why: "as the average over the window falls",
	},
	"window 10s, scale-down-delay 40s": {
		parameters: map[string]string{"target": "10", "min-scale": "1", "max-scale": "5", "window": "10s", "scale-down-delay": "40s"},
		requests:   20, full: 3, low: 1,
		earliest: 38 * time.Second, done: 150 * time.Second, why: "not before the delay",
	},
	"6 pods, scale-down-delay 20s": {
		parameters: map[string]string{"target": "5", "min-scale": "1", "max-scale": "10", "window": "10s", "scale-down-delay": "20s"},
		requests:   20, full: 6, low: 1,
		earliest: 18 * time.Second, latest: 37 * time.Second, done: 150 * time.Second, why: "the delay before each halving: 6, 3, 1",
	},
	"to zero, no retention": {
		parameters: map[string]string{"target": "10", "min-scale": "0", "max-scale": "5", "window": "10s", "scale-down-delay": "0s",
			"scale-to-zero-pod-retention-period": "0s"},
		requests: 5, full: 1, low: 0, cold: true,
		earliest: 10 * time.Second, done: 120 * time.Second, why: "window, then the cluster's grace period of up to 30s",
	},
	"to zero, retention 60s": {
		parameters: map[string]string{"target": "10", "min-scale": "0", "max-scale": "5", "window": "10s", "scale-down-delay": "0s",
			"scale-to-zero-pod-retention-period": "60s"},
		requests: 5, full: 1, low: 0, cold: true,
		earliest: 60 * time.Second, done: 170 * time.Second, why: "window, then retention",
	},
	"initial-scale 3": {
		parameters: map[string]string{"target": "10", "min-scale": "1", "max-scale": "5", "window": "10s", "scale-down-delay": "15s", "initial-scale": "3"},
		requests:   0, full: 3, low: 1,
		earliest: 0, done: 150 * time.Second, why: "once all three were ready: no load asked for them within the delay",
	},
	"the guide's scale to zero": {
		example: `min_scale=0, scale_to_zero_pod_retention_period="5m", scale_down_delay="2m"`,
		parameters: map[string]string{"cpus": "2", "gpus": "1", "min-scale": "0", "scale-to-zero-pod-retention-period": "5m",
			"scale-down-delay": "2m"},
		requests: 5, full: 1, low: 0, cold: true, long: true,
		earliest: 5 * time.Minute, done: 12 * time.Minute, why: "window 60s, delay 2m, retention 5m",
	},
	"the guide's batch processing": {
		example: `min_scale=0, max_scale=20, metric="rps", target=50, scale_to_zero_pod_retention_period="2m"`,
		parameters: map[string]string{"cpus": "8", "memory": "32Gi", "min-scale": "0", "max-scale": "20", "metric": "rps", "target": "50",
			"scale-to-zero-pod-retention-period": "2m"},
		requests: 5, full: 1, low: 0, cold: true, long: true,
		earliest: 2 * time.Minute, done: 8 * time.Minute, why: "window 60s, delay 1m, retention 2m",
	},
	"the guide's scaling timing": {
		example:    `window="60s", scale_down_delay="5m", initial_scale=3, min 1, max 20`,
		parameters: map[string]string{"cpus": "2", "gpus": "1", "window": "60s", "scale-down-delay": "5m", "initial-scale": "3", "min-scale": "1", "max-scale": "20"},
		requests:   0, full: 3, low: 1,
		earliest: 0, done: 150 * time.Second, why: "once all three were ready: no load asked for them within the delay",
	},
	"the guide's inference service": {
		example: "target=5, concurrency=10, scale_down_delay=5m, min 1, max 10",
		parameters: map[string]string{"cpus": "4", "gpus": "1", "memory": "16Gi", "min-scale": "1", "max-scale": "10", "target": "5",
			"concurrency": "10", "scale-down-delay": "5m"},
		requests: 20, full: 6, low: 1, long: true,
		earliest: 290 * time.Second, latest: 580 * time.Second, done: 14 * time.Minute, why: "the delay before each halving: 6, 3, 1",
	},
}

// TestPodsGoWhenTheParametersSay measures when pods go after a load, and how long the first
// request to none takes.
func TestPodsGoWhenTheParametersSay(t *testing.T) {
	t.Parallel()
	for name, c := range shrinks {
		if c.long && !*long {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t, "shrink")
			pods := observe(t.Context(), ns)
			create(t, services, ns, service("app", prefixed(c.parameters), nil))
			awaitReady(t, client.Resource(services).Namespace(ns), "app", "Ready")
			l, to := newLoad(), throughIngress(ns, "app", time.Second)
			begin := time.Now()
			// Until there are as many pods as the load asks for, for longer than a window.
			l.concurrent(t.Context(), to, c.requests, func() bool {
				now := time.Now()
				got, since := observed.Settled(pods.between(begin, now))
				return got == c.full && since >= 20*time.Second || now.Sub(begin) >= mostLoad
			})
			end := time.Now()
			if c.requests == 0 { // nothing but the initial scale asks for pods
				begin = pods.begin
				end = begin.Add(observed.WhenReady(pods.between(begin, end), c.full))
			}
			eventually(t, fmt.Sprintf("%d pods", c.low), c.done+30*time.Second, func() error {
				if n := countPods(ns).Live; n > c.low || time.Since(end) < c.earliest {
					return fmt.Errorf("there are %d", n)
				}
				return nil
			})
			time.Sleep(time.Second)
			after := pods.between(begin, time.Now())
			first, last := observed.Shrinking(after, end.Sub(pods.begin), c.full, c.low)
			start := "-"
			if c.cold {
				eventually(t, "the end of all pods", time.Minute, func() error {
					if n := countPods(ns).All; n > 0 {
						return fmt.Errorf("there are %d", n)
					}
					return nil
				})
				asked := time.Now()
				l.send(t.Context(), throughIngress(ns, "app", 0))
				start = fmt.Sprintf("%.1f s", time.Since(asked).Seconds())
				time.Sleep(5 * time.Second)
			}
			assert.Equal(t, c.full, observed.Most(after, observed.Ready), "pods at most")
			assert.Equal(t, c.low, after[len(after)-1].Live, "pods in the end")
			assert.GreaterOrEqual(t, first, c.earliest, "the first pod went")
			assert.GreaterOrEqual(t, last, c.latest, "the last pod went")
			assert.LessOrEqual(t, last, c.done, "the last pod went")
			assert.Empty(t, l.failed())
			record(t, shrinkTable, []string{
				name, c.example, fmt.Sprintf("%d", c.full), fmt.Sprintf("%.0f s", first.Seconds()), fmt.Sprintf("%.0f s", last.Seconds()),
				fmt.Sprintf("%d", c.low), c.why, start, fmt.Sprintf("%d, %d failed", l.answers(), len(l.failed())),
			})
			what := fmt.Sprintf("%d requests at a time", c.requests)
			if c.requests == 0 {
				what = "until all are ready; there is no load"
			}
			drawIf(t, pods.picture(name, what, begin, end))
		})
	}
}

// TestAContainerThatNeverGetsReadyFailsAtItsProgressDeadline.
func TestAContainerThatNeverGetsReadyFailsAtItsProgressDeadline(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "deadline")
	begin := time.Now()
	create(t, services, ns, service("app", prefixed(map[string]string{"progress-deadline": "20s", "max-scale": "2"}),
		map[string]string{"START_DELAY": "1h"}))
	var message string
	eventually(t, "the failure of the revision", patience, func() error {
		o, err := client.Resource(revisions).Namespace(ns).Get(t.Context(), "app-00001", metav1.GetOptions{})
		if err != nil {
			return err
		}
		status, reason, text := condition(o, "Ready")
		if status != "False" {
			return fmt.Errorf("Ready is %q: %s", status, reason)
		}
		message = reason + ": " + text
		return nil
	})
	took := time.Since(begin)
	assert.GreaterOrEqual(t, took, 20*time.Second)
	assert.Less(t, took, 2*time.Minute)
	eventually(t, "the failure of the Service", time.Minute, func() error {
		o, err := client.Resource(services).Namespace(ns).Get(t.Context(), "app", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if status, _, _ := condition(o, "Ready"); status != "False" {
			return fmt.Errorf("Ready is %q", status)
		}
		return nil
	})
	begun := time.Now()
	eventually(t, "no pods", patience, func() error {
		if n := countPods(ns).All; n > 0 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	record(t, otherTable, []string{"`progress-deadline: 20s`, a container that never gets ready", fmt.Sprintf(
		"the revision failed after %.0f s (%s); its pod was gone %.0f s later", took.Seconds(), message, time.Since(begun).Seconds())})
}

// TestTrafficGoesToTwoRevisionsByTheirWeights makes a second revision, with other parameters,
// and splits requests between both.
func TestTrafficGoesToTwoRevisionsByTheirWeights(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "traffic")
	resource := client.Resource(services).Namespace(ns)
	create(t, services, ns, service("app", prefixed(map[string]string{"target": "10", "max-scale": "5"}),
		map[string]string{"VERSION": "1"}))
	awaitReady(t, resource, "app", "Ready")
	eventually(t, "a second revision", patience, func() error {
		o, err := resource.Get(t.Context(), "app", metav1.GetOptions{})
		if err != nil {
			return err
		}
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		containers[0].(map[string]any)["env"] = environment(map[string]string{"VERSION": "2"})
		if err := unstructured.SetNestedSlice(o.Object, containers, "spec", "template", "spec", "containers"); err != nil {
			return err
		}
		if err := unstructured.SetNestedSlice(o.Object, []any{
			map[string]any{"revisionName": "app-00001", "percent": int64(60)},
			map[string]any{"latestRevision": true, "percent": int64(40)},
		}, "spec", "traffic"); err != nil {
			return err
		}
		_, err = resource.Update(t.Context(), o, metav1.UpdateOptions{})
		return err
	})
	awaitReady(t, resource, "app", "Ready")
	eventually(t, "traffic to both", patience, func() error {
		o, err := resource.Get(t.Context(), "app", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if traffic, _, _ := unstructured.NestedSlice(o.Object, "status", "traffic"); len(traffic) != 2 {
			return fmt.Errorf("there is traffic to %d", len(traffic))
		}
		return nil
	})
	pods := observe(t.Context(), ns)
	l, begin := newLoad(), time.Now()
	want := map[string]int{"app-00001": 3, "app-00002": 2} // 18 and 12 requests at a time, by 7
	byRevision := func() map[string]int {
		return map[string]int{
			"app-00001": countLabelled(ns, "serving.knative.dev/revision", "app-00001"),
			"app-00002": countLabelled(ns, "serving.knative.dev/revision", "app-00002"),
		}
	}
	l.concurrent(t.Context(), throughIngress(ns, "app", 500*time.Millisecond), 30, func() bool {
		now := time.Now()
		_, since := observed.Settled(pods.between(begin, now))
		return now.Sub(begin) >= leastLoad && maps.Equal(byRevision(), want) && since >= settledFor || now.Sub(begin) >= mostLoad
	})
	end := time.Now()
	share := float64(l.revisions["app-00001"]) / float64(l.answers())
	perRevision := byRevision()
	assert.Empty(t, l.failed())
	assert.InDelta(t, 0.6, share, 0.05)
	assert.Equal(t, want, perRevision)
	drawIf(t, pods.picture("two revisions", "30 requests at a time", begin, end))
	record(t, otherTable, []string{"traffic of 60 % and 40 % to two revisions, `target: 10`, 30 requests at a time", fmt.Sprintf(
		"%.0f %% of %d answers came from the first; it had %d pods, the second %d; %d failed",
		100*share, l.answers(), perRevision["app-00001"], perRevision["app-00002"], len(l.failed()))})
}
