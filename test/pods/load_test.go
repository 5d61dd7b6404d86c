package pods

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/kubetorch/webhook/test/controlplane"
)

// answer is what the application answers.
type answer struct {
	Host     string `json:"host"`
	Revision string `json:"revision"`
	Held     int    `json:"held"`
	Most     int    `json:"most"`
}

// load is what a number of requests came to. Its methods may be called from several
// goroutines.
type load struct {
	mu        sync.Mutex
	latencies []time.Duration
	failures  []string
	hosts     map[string]int // answers by pod
	revisions map[string]int // answers by revision
	most      int            // requests that one pod held at most
}

func newLoad() *load { return &load{hosts: map[string]int{}, revisions: map[string]int{}} }

// target is where requests go.
type target struct {
	address string // host and port to dial
	host    string // of the request
	hold    time.Duration
	burn    time.Duration // of CPU
	memory  int           // in MiB, meanwhile
	client  *http.Client
}

// throughIngress sends requests to a Knative Service by its own name.
func throughIngress(namespace, name string, hold time.Duration) target {
	return target{
		address: controlplane.IngressAddress, host: name + "." + namespace + ".svc.cluster.local", hold: hold,
		client: &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 100}},
	}
}

// throughService sends requests to the address of a core Service, each on a connection of
// its own, so that each goes where the Service leads at that moment.
func throughService(clusterIP string, hold time.Duration) target {
	return target{
		address: net.JoinHostPort(clusterIP, "80"), host: clusterIP, hold: hold,
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

// send sends one request and notes what comes of it.
func (l *load) send(ctx context.Context, to target) {
	begin := time.Now()
	answer, err := to.get(ctx)
	if ctx.Err() != nil {
		return // cut off by the end of the load
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failures = append(l.failures, fmt.Sprintf("%s: %v", time.Now().Format("15:04:05.000"), err))
		return
	}
	l.latencies = append(l.latencies, time.Since(begin))
	l.hosts[answer.Host]++
	l.revisions[answer.Revision]++
	l.most = max(l.most, answer.Most)
}

func (to target) get(ctx context.Context) (a answer, err error) {
	url := fmt.Sprintf("http://%s/?hold=%s&burn=%s&memory=%d", to.address, to.hold, to.burn, to.memory)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return a, err
	}
	request.Host = to.host
	response, err := to.client.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}
	if response.StatusCode != http.StatusOK {
		return a, fmt.Errorf("%s: %.200s", response.Status, body)
	}
	return a, json.Unmarshal(body, &a)
}

// forTime is over after a time.
func forTime(duration time.Duration) (over func() bool) {
	end := time.Now().Add(duration)
	return func() bool { return !time.Now().Before(end) }
}

// concurrent keeps a number of requests under way until it is over. Requests that are under
// way then are waited for.
func (l *load) concurrent(ctx context.Context, to target, requests int, over func() bool) {
	var workers sync.WaitGroup
	for i := range requests {
		workers.Go(func() {
			// Not all at the same moment, time and again.
			time.Sleep(to.hold * time.Duration(i) / time.Duration(requests))
			for !over() && ctx.Err() == nil {
				l.send(ctx, to)
			}
		})
	}
	workers.Wait()
}

// perSecond sends requests at a rate until it is over, whether they are answered or not.
func (l *load) perSecond(ctx context.Context, to target, rate int, over func() bool) {
	ticker := time.NewTicker(time.Second / time.Duration(rate))
	defer ticker.Stop()
	var under sync.WaitGroup
	defer under.Wait()
	for !over() {
		select {
		case <-ticker.C:
			under.Go(func() { l.send(ctx, to) })
		case <-ctx.Done():
			return
		}
	}
}

// answers is the number of requests that were answered.
func (l *load) answers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.latencies)
}

// failed are the requests that were not answered, or not well.
func (l *load) failed() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.failures)
}

// pods are the number of answers by pod.
func (l *load) pods() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.hosts)
}

// quantile is a latency that a share of the requests stayed below.
func (l *load) quantile(share float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.latencies) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(l.latencies))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}
