// A record of an exemption is written while nobody checks it.

package attacks

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// planted is what a tenant writes before the webhook is installed, or between two installations:
// policies outlive one. The policy exempts somebody else.
const planted = `
apiVersion: v1
kind: Namespace
metadata: {name: planted}
---
apiVersion: policy.kubetorch.com/v1alpha1
kind: ComputePolicy
metadata: {name: planted}
spec:
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: planted}}
  bounds: {gpusPerWorkload: {max: 4}}
  exempt: [{users: [eve]}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: beyond
  namespace: planted
  labels: {kubetorch.com/autoscale: "true"}
  annotations: {compute.kubetorch.com/gpus: "8", autoscale.kubetorch.com/max-scale: "2", ` + handover.ExemptAnnotation + `: planted}
spec:
  replicas: 0
  selector: {matchLabels: {app: beyond}}
  template: {metadata: {labels: {app: beyond}}, spec: {containers: [{name: app, image: "nginx:1", ports: [{containerPort: 8080}]}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: within
  namespace: planted
  labels: {kubetorch.com/autoscale: "true"}
  annotations: {compute.kubetorch.com/gpus: "2", autoscale.kubetorch.com/max-scale: "2", ` + handover.ExemptAnnotation + `: planted}
spec:
  replicas: 0
  selector: {matchLabels: {app: within}}
  template: {metadata: {labels: {app: within}}, spec: {containers: [{name: app, image: "nginx:1", ports: [{containerPort: 8080}]}]}}
`

// plant writes it. The types are there, as after an installation that was removed.
func plant(ctx context.Context) error {
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		return err
	}
	if _, _, err := cluster.Kubectl(ctx, nil, "apply", "-k", filepath.Join(root, "deploy", "crd")); err != nil {
		return err
	}
	if _, _, err := cluster.Kubectl(ctx, nil, "wait", "--for=condition=Established", "crd/computepolicies.policy.kubetorch.com", "--timeout=3m"); err != nil {
		return err
	}
	_, _, err = cluster.Kubectl(ctx, strings.NewReader(planted), "apply", "-f", "-")
	return err
}

func TestARecordOfAnExemptionFromBeforeIsNotBelieved(t *testing.T) {
	t.Parallel()
	disturbances.Wait()
	s := &scene{T: t, namespace: "planted"}
	harness.Eventually(t, "the Knative Service of what is within the bound", func() bool { return s.exists(services, "within") })
	harness.Eventually(t, "a state of what is beyond it", func() bool {
		u, err := s.get(deployments, "beyond")
		return err == nil && u.GetAnnotations()[handover.StatusAnnotation] != ""
	})
	assert.False(t, s.exists(services, "beyond"), "16 GPUs where 4 are allowed")
	assert.LessOrEqual(t, pods.Most(t, "planted"), int64(4), "GPUs of live pods")
}
