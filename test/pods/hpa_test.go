package pods

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestTheHPAClassScalesByCPU spends CPU time in the pods of a Service of the hpa class. A pod
// requests 50m for the application and 25m for Knative's sidecar; 80 % of that are 60m.
func TestTheHPAClassScalesByCPU(t *testing.T) {
	t.Parallel()
	eventually(t, "metrics of pods", patience, func() error {
		out, _, err := cluster.Kubectl(t.Context(), nil, "get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/kubetorch-system/pods")
		if err == nil && !strings.Contains(out, `"usage"`) {
			err = fmt.Errorf("there are none: %s", out)
		}
		return err
	})
	ns := newNamespace(t, "hpa")
	pods := observe(t.Context(), ns)
	create(t, services, ns, service("app", prefixed(map[string]string{
		"cpus": "50m", "autoscaler-class": "hpa.autoscaling.knative.dev", "metric": "cpu", "target": "80", "min-scale": "2", "max-scale": "20",
	}), nil))
	awaitReady(t, client.Resource(services).Namespace(ns), "app", "Ready")
	eventually(t, "the minimum of pods", patience, func() error {
		if n := countPods(ns).Ready; n != 2 {
			return fmt.Errorf("%d are ready", n)
		}
		return nil
	})
	to := throughIngress(ns, "app", 0)
	to.burn = 20 * time.Millisecond
	l, begin := newLoad(), time.Now()
	const rate = 12
	l.perSecond(t.Context(), to, rate, func() bool {
		now := time.Now()
		got, since := settled(pods.between(begin, now))
		return got >= 4 && since >= settledFor || now.Sub(begin) >= mostLoad
	})
	end := time.Now()
	got, _ := settled(pods.between(begin, end))
	assert.GreaterOrEqual(t, got, 4)
	assert.LessOrEqual(t, got, 7)
	assert.Empty(t, l.failed())
	drawIf(t, "hpa by cpu", pods.end(), pods.begin, begin, end, fmt.Sprintf("%d requests a second of %s of CPU each", rate, to.burn))
	record(t, otherTable, []string{
		"`autoscaler_class=hpa, metric=\"cpu\", target=80, min_scale=2`, `cpus: 50m`, " + fmt.Sprintf("%d requests a second that take %s of CPU each", rate, to.burn),
		fmt.Sprintf("2 pods before, %d in the end; expected are (240m + what the sidecars use) / 60m, 4 or 5; %d answers, %d failed",
			got, l.answers(), len(l.failed())),
	})
}
