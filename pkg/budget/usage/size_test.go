package usage

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/cluster/clustertest"
)

// What is kept of a list grows with the pods that have GPUs, and not with the others.
func TestTheSizeOfACountOfPods(t *testing.T) {
	listOf := func(n int, text func(int) string) string {
		var items []string
		for i := range n {
			raw, err := yaml.YAMLToJSON([]byte(text(i)))
			require.NoError(t, err)
			items = append(items, string(raw))
		}
		return `{"items":[` + strings.Join(items, ",") + `],"metadata":{}}`
	}
	sets := listOf(1000, func(i int) string {
		return plain("apps/v1", "ReplicaSet", byItself(fmt.Sprint("s", i), fmt.Sprint("s", i)), `replicas: 10, `, "1")
	})
	pods := func(n int, gpus string) string {
		return listOf(n, func(i int) string {
			return podOf(fmt.Sprint("p", i), owned(fmt.Sprint("p", i), fmt.Sprint("p", i), "apps/v1", "ReplicaSet", fmt.Sprint("s", i%1000)), gpus, "Running")
		})
	}
	measure := func(podsText string) (claims int, kept uint64, took time.Duration) {
		source := clustertest.Texts{{Version: "v1", Resource: "namespaces"}: `{"items":[],"metadata":{}}`, cluster.ReplicaSets: sets, cluster.Pods: podsText}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		o, err := cluster.List(t.Context(), source)
		require.NoError(t, err)
		claims = len(All(world(), o))
		took = time.Since(start)
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(o)
		return claims, after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc), took
	}
	claims, kept, took := measure(pods(10_000, "1"))
	t.Logf("10,000 pods with GPUs of 1,000 ReplicaSets: %d KiB, %v", kept>>10, took)
	assert.Equal(t, 1000, claims)
	assert.Less(t, kept, uint64(64<<20))
	_, without, took := measure(strings.ReplaceAll(pods(20_000, "0"), "nvidia.com/gpu", "cpu"))
	t.Logf("20,000 pods without: %d KiB, %v", without>>10, took)
	assert.Less(t, without, uint64(8<<20))
}
