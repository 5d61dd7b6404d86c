//go:build autoscaler

package autoscaler

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/websocket"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/serving/pkg/autoscaler/metrics"

	"github.com/kubetorch/webhook/pkg/simulate"
)

// sent is a statistic of one second.
type sent struct {
	at                    time.Time
	concurrency, requests float64
}

// seen is a number of pods that the autoscaler's metrics showed, to who asked at one time and had the answer at another.
type seen struct {
	asked, answered time.Time
	desired         int
}

// TestTheSimulationDecidesAsTheRealAutoscaler sends Knative's autoscaler the statistics of ten loads for each of five
// settings, all at the same time, and compares each of its ticks with the simulation's: the averages that it
// logs, and the number of pods that its metrics show.
func TestTheSimulationDecidesAsTheRealAutoscaler(t *testing.T) {
	all := workloads()
	require.Len(t, all, 50)
	for i := range all {
		all[i].create(t)
	}
	for i := range all {
		all[i].serve(t)
	}
	connection := connect(t)
	await(t, all)
	each(all, func(w *workload) { w.give(t, 0, w.pods) })
	statistics := map[string][]sent{}
	shown := &metricsSeen{desired: map[string][]seen{}}
	stop := shown.watch(t)
	var giving sync.WaitGroup
	for begin, second := time.Now(), 0; second < int(length.Seconds()); {
		connection.send(t, all, second, statistics)
		if second == 70 { // pods change while the load does
			giving.Go(func() { each(all, func(w *workload) { w.give(t, w.pods, 2*w.pods) }) })
		}
		// A second that a busy machine missed is left out: the autoscaler logs no more than 100 alike at a time.
		second = max(second+1, int(time.Since(begin).Seconds()))
		time.Sleep(time.Until(begin.Add(time.Duration(second) * time.Second)))
	}
	giving.Wait()
	time.Sleep(3 * time.Second)
	stop()
	ticks := events(t)
	compared := 0
	for _, w := range all {
		t.Run(w.title, func(t *testing.T) {
			compared += compare(t, w, ticks[w.name], statistics[w.name], shown.desired[w.name])
		})
	}
	t.Logf("%d ticks are the same", compared)
	assert.Greater(t, compared, 50*40)
}

func each(all []workload, do func(*workload)) {
	for i := range all {
		do(&all[i])
	}
}

// await waits until the autoscaler decides for all.
func await(t *testing.T, all []workload) {
	t.Helper()
	require.Eventually(t, func() bool {
		ticks := events(t)
		return !slices.ContainsFunc(all, func(w workload) bool { return len(ticks[w.name]) == 0 })
	}, 3*time.Minute, time.Second, "the autoscaler decides for all")
}

// feed is a connection as the activator has one.
type feed struct{ *websocket.Conn }

func connect(t *testing.T) (f feed) {
	t.Helper()
	require.Eventually(t, func() (ok bool) {
		conn, err := websocket.Dial("ws://"+statistics, "", "http://"+statistics)
		f.Conn = conn
		return err == nil
	}, time.Minute, 200*time.Millisecond)
	f.PayloadType = websocket.BinaryFrame
	t.Cleanup(func() { f.Close() })
	return f
}

// send reports a second of all loads. Where nothing happens the activator reports nothing.
func (f feed) send(t *testing.T, all []workload, second int, statistics map[string][]sent) {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	var messages []metrics.StatMessage
	for _, w := range all {
		requests := w.load(float64(second))
		concurrency := requests + w.load(max(0, float64(second-1)))
		if requests == 0 && concurrency == 0 {
			continue
		}
		statistics[w.name] = append(statistics[w.name], sent{now, concurrency, requests})
		messages = append(messages, metrics.StatMessage{Key: types.NamespacedName{Namespace: namespace, Name: w.name},
			Stat: metrics.Stat{PodName: "activator", AverageConcurrentRequests: concurrency, RequestCount: requests, Timestamp: now.Unix()}})
	}
	if len(messages) == 0 {
		return
	}
	wire := metrics.ToWireStatMessages(messages)
	raw, err := wire.Marshal()
	require.NoError(t, err)
	_, err = f.Write(raw)
	require.NoError(t, err)
}

// event is what the autoscaler logged of a workload: that it took a statistic, or that it decides.
type event struct {
	at            time.Time
	accepted      bool
	stable, burst float64
	ready         int
	empty         bool // nothing was reported yet
}

var observed = regexp.MustCompile(`^For metric \S+ observed values: stable = ([\d.]+); panic = ([\d.]+); .*ReadyEndpointCount = (\d+)`)

// events reads the log, by workload.
func events(t *testing.T) map[string][]event {
	t.Helper()
	f, err := os.Open(logFile())
	require.NoError(t, err)
	defer f.Close()
	all := map[string][]event{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Timestamp, Message string
			Key                string `json:"knative.dev/key"`
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, line.Timestamp)
		if err != nil || len(line.Key) <= len(namespace)+1 {
			continue
		}
		name, e := line.Key[len(namespace)+1:], event{at: at}
		switch m := observed.FindStringSubmatch(line.Message); {
		case m != nil:
			e.stable, _ = strconv.ParseFloat(m[1], 64)
			e.burst, _ = strconv.ParseFloat(m[2], 64)
			e.ready, _ = strconv.Atoi(m[3])
		case line.Message == "No data to scale on yet":
			e.empty = true
		case len(line.Message) > 20 && line.Message[:20] == "Accept stat as owner":
			e.accepted = true
		default:
			continue
		}
		all[name] = append(all[name], e)
	}
	return all
}

// metricsSeen is what the autoscaler's metrics showed.
type metricsSeen struct {
	mu      sync.Mutex
	desired map[string][]seen
}

var desiredPods = regexp.MustCompile(`(?m)^autoscaler_desired_pods\{.*revision_name="([^"]+)".*\} (\d+)$`)

// watch reads the metrics ten times a second.
func (m *metricsSeen) watch(t *testing.T) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			asked := time.Now()
			answer, err := http.Get("http://127.0.0.1:" + metricsPort + "/metrics")
			if err != nil {
				continue
			}
			text, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil {
				continue
			}
			answered := time.Now()
			m.mu.Lock()
			for _, found := range desiredPods.FindAllSubmatch(text, -1) {
				n, _ := strconv.Atoi(string(found[2]))
				m.desired[string(found[1])] = append(m.desired[string(found[1])], seen{asked, answered, n})
			}
			m.mu.Unlock()
		}
	})
	return func() { close(done); watching.Wait() }
}

// late is how much later than it did something the autoscaler may have logged it, and how much earlier than it counted
// a statistic it may have logged that it took it.
const late = time.Second

// atTheEdge is at how many ticks of a workload one of both may have left panic mode, and not yet the other. It ends a
// window after it began, so that a tick just then hangs on the microseconds between when the autoscaler decides and
// logs it. At the next tick both have to be the same again.
const atTheEdge = 1

// compare goes through what the autoscaler logged of a workload, has the simulation do the same, and counts the
// ticks that are equal. Nothing else is admitted, but for the edge of panic mode.
func compare(t *testing.T, w workload, log []event, statistics []sent, shown []seen) (equal int) {
	t.Helper()
	r := replay{decider: simulate.NewDecider(w.settings), statistics: statistics}
	var wrong []string
	agreed, edge, edges := -1, false, 0
	for i, e := range log {
		if e.accepted {
			r.taken = append(r.taken, e.at)
			continue
		}
		at, same := r.decidedAt(e)
		if !same {
			stable, burst, _ := r.decider.Averages(e.at)
			wrong = append(wrong, fmt.Sprintf("%s: averages %.3f and %.3f instead of %.3f and %.3f", e.at, stable, burst, e.stable, e.burst))
		}
		r.decider.Tick(at, e.ready)
		is, known := between(shown, e.at, next(log[i+1:]))
		switch {
		case !known:
		case is != r.decider.Desired() && agreed >= 0 && !edge && edges < atTheEdge && (is == agreed || r.decider.Desired() == agreed):
			edge, edges = true, edges+1
		case is != r.decider.Desired():
			wrong = append(wrong, fmt.Sprintf("%s: %d pods instead of Knative's %d", e.at, r.decider.Desired(), is))
		default:
			agreed, edge = is, false
			equal++
		}
	}
	assert.False(t, edge, "both leave panic mode in the end")
	r.record(time.Now())
	assert.Empty(t, wrong[:min(len(wrong), 5)], "%d are wrong", len(wrong))
	assert.Empty(t, r.statistics, "the autoscaler took all")
	assert.Empty(t, r.taken, "and nothing that nobody sent")
	assert.Greater(t, equal, 30, "ticks that could be compared")
	return equal
}

// replay has the simulation do what the autoscaler logged.
type replay struct {
	decider    *simulate.Decider
	statistics []sent      // that were not recorded yet
	taken      []time.Time // when the autoscaler logged that it took the next of them
}

// record records what was taken before a time.
func (r *replay) record(before time.Time) {
	for len(r.taken) > 0 && len(r.statistics) > 0 && r.taken[0].Before(before) {
		s := r.statistics[0]
		r.decider.Record(s.at, s.concurrency, s.requests)
		r.statistics, r.taken = r.statistics[1:], r.taken[1:]
	}
}

// decidedAt is when a tick was. It is logged a moment later, when the next second may have begun, and what was taken
// just before may not have been counted yet: the averages tell. same is false if none of that explains them.
func (r *replay) decidedAt(e event) (at time.Time, same bool) {
	times := []time.Time{e.at}
	if before := e.at.Truncate(time.Second).Add(-time.Millisecond); e.at.Sub(before) < late {
		times = append(times, before)
	}
	for _, taken := range []time.Time{e.at.Add(-late), e.at} {
		r.record(taken)
		for _, at := range times {
			stable, burst, known := r.decider.Averages(at)
			if known == !e.empty && (e.empty || fmt.Sprintf("%.3f %.3f", stable, burst) == fmt.Sprintf("%.3f %.3f", e.stable, e.burst)) {
				return at, true
			}
		}
	}
	return e.at, false
}

// next is when the next tick is.
func next(log []event) time.Time {
	for _, e := range log {
		if !e.accepted {
			return e.at
		}
	}
	return time.Time{}
}

// between is what the metrics showed last between two ticks, which log first and then decide; known is false if they
// were not read there.
func between(shown []seen, from, to time.Time) (desired int, known bool) {
	const settled = 500 * time.Millisecond
	for _, s := range shown {
		if s.asked.After(from.Add(settled)) && s.answered.Before(to) {
			desired, known = s.desired, true
		}
	}
	return desired, known
}
