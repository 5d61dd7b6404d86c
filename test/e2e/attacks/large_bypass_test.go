// A Deployment is admitted that is too large ever to become a Knative Service.

package attacks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestALargeDeploymentIsRefusedOrServed(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"100 KiB": 100 << 10, "300 KiB": 300 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 16, strict)
			err := s.try(fmt.Sprintf(`{apiVersion: apps/v1, kind: Deployment,
				metadata: {name: a, labels: {kubetorch.com/autoscale: "true"}, annotations: {compute.kubetorch.com/gpus: "8", autoscale.kubetorch.com/max-scale: "2"}},
				spec: {selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: {containers: [
				{name: app, image: "nginx:1", ports: [{containerPort: 8080}], env: [{name: LARGE, value: %s}]}]}}}}`, strings.Repeat("x", size)))
			if err != nil {
				assert.Greater(t, size, 200<<10, "refused: %v", err)
				assert.ErrorContains(t, err, "spec", "says what is too large")
				s.holds(0)
				return
			}
			harness.Eventually(t, "the Knative Service of what was admitted", func() bool { return s.exists(services, "a") })
			s.awaitUsed(16)
			s.holds(0)
		})
	}
}
