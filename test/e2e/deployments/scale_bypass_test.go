// Pods are added through the scale subresource, which shows neither labels nor GPUs.

package deployments

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBoundsHoldForDeploymentsAndTheirScale(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.policy("  bounds: {gpusPerPod: {max: 2}, gpusPerWorkload: {max: 4}}\n")
	_, _, err := l.kubectl(gpus(web("plain", 1), 4), "apply", "-f", "-")
	assert.ErrorContains(t, err, "asks for 4 GPUs per pod; policy policy-"+l.namespace+" allows at most 2")
	_, _, err = l.kubectl(gpus(web("plain", 5), 1), "apply", "-f", "-")
	assert.ErrorContains(t, err, "gpusPerWorkload")
	l.apply(gpus(web("plain", 3), 1))
	l.awaitPods("plain", 3)
	_, _, err = l.kubectl("", "scale", "deployment", "plain", "--replicas=5")
	assert.ErrorContains(t, err, "gpusPerWorkload", "kubectl scale")
	assert.Error(t, l.patch("plain", map[string]any{"spec": map[string]any{"replicas": 5}}), "a patch")
	_, _, err = l.kubectl("", "scale", "deployment", "plain", "--replicas=4")
	assert.NoError(t, err)

	_, _, err = l.kubectl(web("app", 1, autoscale, `annotations: {compute.kubetorch.com/gpus: "1", autoscale.kubetorch.com/max-scale: "5"}`), "apply", "-f", "-")
	assert.ErrorContains(t, err, "metadata.annotations[autoscale.kubetorch.com/max-scale]: Forbidden")
	_, _, err = l.kubectl(web("app", 1, autoscale, `annotations: {compute.kubetorch.com/gpus: "4"}`), "apply", "-f", "-")
	assert.ErrorContains(t, err, "gpusPerPod")

	// The compute label alone.
	l.apply(web("fixed", 1, `labels: {kubetorch.com/compute: "true"}`, `annotations: {compute.kubetorch.com/gpus: "2", compute.kubetorch.com/cpus: "1"}`))
	l.awaitPods("fixed", 1)
	_, _, err = l.kubectl("", "scale", "deployment", "fixed", "--replicas=3")
	assert.ErrorContains(t, err, "gpusPerWorkload")
	assert.False(t, l.exists(services, "fixed"))
}
