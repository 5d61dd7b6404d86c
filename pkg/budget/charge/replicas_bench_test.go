package charge

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// slowStore is a store whose reads take time as well.
type slowStore struct {
	*memoryStore
	asked, lost atomic.Int64
}

func (s *slowStore) Live(ctx context.Context, name string) (*v1alpha1.GPUBudget, error) {
	time.Sleep(s.latency / 2)
	return s.memoryStore.Live(ctx, name)
}

func (s *slowStore) Write(ctx context.Context, b *v1alpha1.GPUBudget) (*v1alpha1.GPUBudget, error) {
	s.asked.Add(1)
	stored, err := s.memoryStore.Write(ctx, b)
	if err != nil {
		s.lost.Add(1)
	}
	return stored, err
}

// BenchmarkReplicas measures how replicas that charge one budget get in each other's way, with a
// store that takes 5 ms for a write; and how they do not, where one of them charges for all.
func BenchmarkReplicas(b *testing.B) {
	for _, at := range []struct {
		replicas int
		forward  bool
	}{{1, false}, {3, false}, {3, true}} {
		for _, clients := range []int{1, 8, 64} {
			replicas := at.replicas
			b.Run(fmt.Sprintf("replicas=%d/forward=%t/clients=%d", replicas, at.forward, clients), func(b *testing.B) {
				s := &slowStore{memoryStore: newStore(counted("b", 1<<50))}
				s.latency = 5 * time.Millisecond
				var chargers []*Charger
				for range replicas {
					chargers = append(chargers, NewCharger(s, nil))
				}
				if at.forward {
					shared := identity(b)
					address := serve(b, Handler(chargers[0], shared), shared)
					for _, c := range chargers[1:] {
						c.Forward = NewForwarder(leading(address), shared, nil).Charge
					}
				}
				took := make([]time.Duration, b.N)
				var next, refused atomic.Int64
				var running sync.WaitGroup
				for range clients {
					running.Go(func() {
						for {
							i := int(next.Add(1)) - 1
							if i >= b.N {
								return
							}
							begun := time.Now()
							if !chargers[i%replicas].Charge(b.Context(), []Demand{demand("b", fmt.Sprint(i), 1)}, false)[0].Fits {
								refused.Add(1)
							}
							took[i] = time.Since(begun)
						}
					})
				}
				running.Wait()
				slices.Sort(took)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "charges/s")
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "p50-ms")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1e3, "p99-ms")
				b.ReportMetric(float64(s.lost.Load())/float64(s.asked.Load()-s.lost.Load()), "conflicts/write")
				b.ReportMetric(float64(refused.Load()), "refused")
			})
		}
	}
}
