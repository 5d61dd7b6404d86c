package budgets

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// TestAnAdmissionThatChargesNothingMakesNoAPICall: while the API server stands still, what
// claims no more than before, and replaces no pods, is answered as ever. A new template has
// an overlap, which is charged.
func TestAnAdmissionThatChargesNothingMakesNoAPICall(t *testing.T) {
	disturb := disturbances.Disturbing(t)
	namespace := harness.NewNamespace(t, client)
	name := newBudget(t, namespace, "  max: 40\n")
	require.NoError(t, create(t, namespace, service("a", 2, 4)))
	awaitUsed(t, name, 8)
	end := disturb()
	reviews := map[string][]byte{
		"a new Service without GPUs": review(t, namespace, service("b", 0, 3), newUID()),
		"an update of a label":       updateReview(t, namespace, service("a", 2, 4), labelled(service("a", 2, 4)), newUID()),
	}
	goOn := stopped(t)
	for what, body := range reviews {
		for range 50 {
			response := harness.Ask(t, hook.Replicas[0], body)
			assert.True(t, response.Allowed, "%s: %v", what, response.Result)
		}
	}
	goOn()
	after := budget(t, name)
	assert.True(t, harness.Settled(after, 8), harness.Held(after))
	end()
}

func labelled(u *unstructured.Unstructured) *unstructured.Unstructured {
	u.SetLabels(map[string]string{"team": "nlp"})
	return u
}

func newUID() types.UID { return types.UID(uuid.NewString()) }

// BenchmarkCharging measures admissions that are charged to one budget, straight at one
// replica of the webhook or at all of them, with the ledger in the API server:
//
//	go test -run '^$' -bench Charging -benchtime 2000x ./test/e2e/budgets
func BenchmarkCharging(b *testing.B) {
	for _, at := range []int{1, replicas} {
		for _, clients := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("replicas=%d/clients=%d", at, clients), func(b *testing.B) { benchmarkCharging(b, hook.Replicas[:at], clients) })
		}
	}
}

func benchmarkCharging(b *testing.B, at []*controlplane.Replica, clients int) {
	namespace := newNamespace(b)
	name := newBudget(b, namespace, "  max: 1000000000\n")
	bodies := make([][]byte, b.N)
	for i := range bodies {
		bodies[i] = review(b, namespace, service(fmt.Sprintf("s-%d", i), 1, 1), newUID())
	}
	took := make([]time.Duration, b.N)
	var next, refused atomic.Int64
	before := ledgerMetrics(b, name)
	b.ResetTimer()
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(bodies) {
					return
				}
				begun := time.Now()
				if !harness.Ask(b, at[i%len(at)], bodies[i]).Allowed {
					refused.Add(1)
				}
				took[i] = time.Since(begun)
			}
		})
	}
	running.Wait()
	b.StopTimer()
	after := ledgerMetrics(b, name)
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "admissions/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric((after.charged-before.charged)/max(1, after.stored-before.stored), "admissions/write")
	b.ReportMetric((after.conflicts-before.conflicts)/max(1, after.stored-before.stored), "conflicts/write")
	b.ReportMetric(float64(refused.Load()), "refused")
}

// BenchmarkChargingNothing measures admissions that charge nothing.
func BenchmarkChargingNothing(b *testing.B) {
	namespace := newNamespace(b)
	newBudget(b, namespace, "  max: 1000\n")
	body := review(b, namespace, service("a", 0, 3), newUID())
	for b.Loop() {
		harness.Ask(b, hook.Replicas[0], body)
	}
}

// ledgerCounts are what replicas count of a budget's ledger.
type ledgerCounts struct{ charged, stored, conflicts, forwarded float64 }

// ledgerMetrics are what all replicas count together.
func ledgerMetrics(t testing.TB, budget string) (all ledgerCounts) {
	t.Helper()
	for _, replica := range hook.Replicas {
		one := ledgerMetricsOf(t, replica, budget)
		all = ledgerCounts{all.charged + one.charged, all.stored + one.stored, all.conflicts + one.conflicts, all.forwarded + one.forwarded}
	}
	return all
}

// ledgerMetricsOf are what one replica counts.
func ledgerMetricsOf(t testing.TB, replica *controlplane.Replica, budget string) (c ledgerCounts) {
	t.Helper()
	response, err := harness.Insecure.Get("https://" + replica.Address + "/metrics")
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	counters := map[string]*float64{
		`kubetorch_webhook_budget_charges_total{budget="` + budget + `"}`:                     &c.charged,
		`kubetorch_webhook_budget_writes_total{budget="` + budget + `",result="stored"}`:      &c.stored,
		`kubetorch_webhook_budget_writes_total{budget="` + budget + `",result="conflict"}`:    &c.conflicts,
		`kubetorch_webhook_budget_forwarded_total{budget="` + budget + `",result="answered"}`: &c.forwarded,
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		series, number, _ := strings.Cut(lines.Text(), " ")
		if counter := counters[series]; counter != nil {
			*counter, err = strconv.ParseFloat(number, 64)
			require.NoError(t, err)
		}
	}
	require.NoError(t, lines.Err())
	return c
}
