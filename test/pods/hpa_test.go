package pods

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/test/pods/observed"
)

// usage is a load that takes CPU time or memory, on a Service of class hpa.
type usage struct {
	example       string // of the guide
	parameters    map[string]string
	idle          int // pods without a load
	rate          int // requests a second
	hold, burn    time.Duration
	memory        int // MiB of each request
	least, most   int // pods that it ends at: their sidecars use something, too
	uses, expects string
}

var usages = map[string]usage{
	// A pod requests 50m for the application and 25m for Knative's sidecar; 80 % of that are 60m.
	"cpu": {
		example:    "metric=\"cpu\", target=80, min_scale=2`, `cpus: 50m",
		parameters: map[string]string{"cpus": "50m", "target": "80", "min-scale": "2", "max-scale": "20"},
		idle:       2, rate: 12, burn: 20 * time.Millisecond, least: 4, most: 7,
		uses: "20ms of CPU time each", expects: "(240m + what the sidecars use) / 60m, 4 or 5",
	},
	// 70 % of 256Mi are 179Mi. 16 requests are under way at a time.
	"memory": {
		example:    "metric=\"memory\", target=70, min_scale=1, max_scale=10`, `memory: 256Mi",
		parameters: map[string]string{"memory": "256Mi", "target": "70", "min-scale": "1", "max-scale": "10"},
		idle:       1, rate: 8, hold: 2 * time.Second, memory: 30, least: 3, most: 5,
		uses: "30Mi of memory for 2s each", expects: "(480Mi + what programs and sidecars use) / 179Mi, 3 or 4",
	},
}

func TestTheHPAClassScalesByWhatPodsUse(t *testing.T) {
	t.Parallel()
	eventually(t, "metrics of pods", patience, func() error {
		out, _, err := cluster.Kubectl(t.Context(), nil, "get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/kubetorch-system/pods")
		if err == nil && !strings.Contains(out, `"usage"`) {
			err = fmt.Errorf("there are none: %s", out)
		}
		return err
	})
	for metric, c := range usages {
		t.Run(metric, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t, "hpa")
			pods := observe(t.Context(), ns)
			c.parameters["autoscaler-class"], c.parameters["metric"] = "hpa.autoscaling.knative.dev", metric
			create(t, services, ns, service("app", prefixed(c.parameters), nil))
			awaitReady(t, client.Resource(services).Namespace(ns), "app", "Ready")
			eventually(t, "the minimum of pods", patience, func() error {
				if n := countPods(ns).Ready; n != c.idle {
					return fmt.Errorf("%d are ready", n)
				}
				return nil
			})
			to := throughIngress(ns, "app", c.hold)
			to.burn, to.memory = c.burn, c.memory
			l, begin := newLoad(), time.Now()
			l.perSecond(t.Context(), to, c.rate, func() bool {
				now := time.Now()
				got, since := observed.Settled(pods.between(begin, now))
				return got >= c.least && since >= settledFor || now.Sub(begin) >= mostLoad
			})
			end := time.Now()
			got, _ := observed.Settled(pods.between(begin, end))
			assert.GreaterOrEqual(t, got, c.least)
			assert.LessOrEqual(t, got, c.most)
			assert.Empty(t, l.failed())
			load := fmt.Sprintf("%d requests a second that take %s", c.rate, c.uses)
			drawIf(t, pods.picture("hpa by "+metric, fmt.Sprintf("%d requests a second", c.rate), begin, end))
			record(t, otherTable, []string{
				"`autoscaler_class=hpa, " + c.example + "`, " + load,
				fmt.Sprintf("%d pods before, %d in the end; expected are %s; %d answers, %d failed",
					c.idle, got, c.expects, l.answers(), len(l.failed())),
			})
		})
	}
}
