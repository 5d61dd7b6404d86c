package simulate

import (
	"math"
	"strconv"
	"time"

	"github.com/kubetorch/webhook/pkg/knative"
)

// What the HorizontalPodAutoscaler controller of Kubernetes does by default.
const (
	hpaTarget    = 80               // percent, where a manifest states none
	hpaInterval  = 15 * time.Second // between two decisions
	hpaTolerance = 0.1              // of the ratio, within which nothing changes
	hpaDelay     = 300 * time.Second
	hpaUpPods    = 4 // in an interval, or as many again as there are
)

// recommendation is a number of pods that was right at a time.
type recommendation struct {
	time time.Time
	pods int
}

// hpa decides as the HorizontalPodAutoscaler that Knative makes for class hpa with metric
// cpu: usage over requests of ready pods, a tolerance, stabilization windows, and the
// default policies of how fast pods are added.
type hpa struct {
	least, most, first int
	target             float64 // of the request
	perRequest         float64 // cores that a request in service uses
	request            float64 // cores of a pod
	up, down           time.Duration

	usage   float64 // core-seconds since the last decision
	since   time.Time
	pods    int
	want    int
	history []recommendation
}

func newHPA(s ScalingSettings, perRequest float64) *hpa {
	pa := s.podAutoscaler()
	least, most := pa.ScaleBounds(s.Autoscaler)
	h := &hpa{least: max(int(least), 1), most: int(most), target: math.Ceil(s.percent()) / 100, perRequest: perRequest, request: s.CPU, down: hpaDelay, since: epoch}
	if window, ok := pa.Window(); ok {
		h.up, h.down = window, window
	}
	h.first = int(s.Autoscaler.InitialScale)
	if text, ok := s.Annotations[knative.InitialScaleKey]; ok {
		if n, err := strconv.Atoi(text); err == nil {
			h.first = n
		}
	}
	h.pods = h.initial()
	h.want = h.pods
	return h
}

func (h *hpa) initial() int  { return max(h.first, h.least) }
func (h *hpa) desired() int  { return h.want }
func (h *hpa) limit() int    { return h.most }
func (h *hpa) inPanic() bool { return false }
func (h *hpa) pokes() bool   { return false }

func (h *hpa) window() int { return int(hpaInterval / time.Second) }

// needs are the pods that have a load at the target.
func (h *hpa) needs(_, atATime float64) int {
	return int(math.Ceil(atATime*h.perRequest/(h.request*h.target) - 1e-9))
}

func (h *hpa) every() int { return int(hpaInterval / time.Second) }

// observe adds what requests in service use; those that wait use nothing.
func (h *hpa) observe(_ time.Time, s stat) { h.usage += s.serving * h.perRequest }

// tick decides.
func (h *hpa) tick(now time.Time, ready int) {
	used := h.usage / now.Sub(h.since).Seconds()
	h.usage, h.since = 0, now
	recommended := h.recommend(used, ready)
	h.history = append(h.history, recommendation{now, recommended})
	for len(h.history) > 0 && now.Sub(h.history[0].time) > max(h.up, h.down) {
		h.history = h.history[1:]
	}
	h.want = recommended
	h.pods = h.limited(h.stabilized(now, recommended))
}

// recommend is how many pods bring usage to the target.
func (h *hpa) recommend(used float64, ready int) int {
	if ready == 0 {
		return h.pods
	}
	ratio := used / (float64(ready) * h.request) / h.target
	if math.Abs(ratio-1) <= hpaTolerance {
		return h.pods
	}
	if ratio > 1 && ready < h.pods {
		// Pods that are not ready yet count as using nothing.
		if ratio = ratio * float64(ready) / float64(h.pods); ratio <= 1+hpaTolerance {
			return h.pods
		}
		return int(math.Ceil(ratio*float64(h.pods) - 1e-9))
	}
	return int(math.Ceil(ratio*float64(ready) - 1e-9))
}

// stabilized takes the least of the recommendations within the window before it adds pods,
// and the largest before it takes some away.
func (h *hpa) stabilized(now time.Time, recommended int) int {
	least, most := recommended, recommended
	for _, r := range h.history {
		if now.Sub(r.time) <= h.up {
			least = min(least, r.pods)
		}
		if now.Sub(r.time) <= h.down {
			most = max(most, r.pods)
		}
	}
	return min(max(h.pods, least), most)
}

// limited holds a number to the scale bounds and to how fast pods may be added.
func (h *hpa) limited(pods int) int {
	if pods > h.pods {
		pods = min(pods, max(h.pods+hpaUpPods, 2*h.pods))
	}
	if h.most > 0 {
		pods = min(pods, h.most)
	}
	return max(pods, h.least)
}

func (h *hpa) replicas(time.Time, int) int { return h.pods }
