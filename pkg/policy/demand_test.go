package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/workload"
)

const onePod = `{containers: [{resources: {limits: {nvidia.com/gpu: 4}}}]}`

func TestDemandOfOnePod(t *testing.T) {
	withDefaults, err := knative.ParseConfig(map[string]map[string]string{knative.DefaultsConfig: {"revision-cpu-limit": "3", "revision-memory-request": "2Gi"},
		knative.AutoscalerConfig: {"scale-down-delay": "15s", "scale-to-zero-pod-retention-period": "30s", "pod-autoscaler-class": "hpa.autoscaling.knative.dev"}, knative.DeploymentConfig: {"progress-deadline": "20m"}})
	assert.NoError(t, err)
	tests := map[string]struct {
		annotations, pod string
		at               *knative.Config
		cpus, memory     string
	}{
		"the larger of limits and requests, over all containers": {pod: `{containers: [{resources: {limits: {cpu: 2}, requests: {cpu: 500m, memory: 1Gi}}}, {resources: {requests: {cpu: 1, memory: 1Gi}}}]}`, cpus: "3", memory: "2Gi"},
		"the cluster's defaults fill in":                         {pod: `{containers: [{}]}`, at: withDefaults, cpus: "3", memory: "2Gi"},
		"a larger init container":                                {pod: `{initContainers: [{resources: {requests: {memory: 8Gi}}}], containers: [{resources: {requests: {memory: 1Gi}}}]}`, cpus: "0", memory: "8Gi"},
		"the queue proxy as far as annotations set it": {pod: `{containers: [{resources: {requests: {cpu: 1}}}]}`, cpus: "3", memory: "4Gi",
			annotations: `{queue.sidecar.serving.knative.dev/cpu-resource-request: "1", queue.sidecar.serving.knative.dev/cpu-resource-limit: "2", queue.sidecar.serving.knative.dev/memory-resource-limit: 4Gi}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.at == nil {
				test.at = knative.Default()
			}
			if test.annotations == "" {
				test.annotations = "{}"
			}
			d := workload.ServiceUsage(service(test.annotations, test.pod), "", test.at, workload.GPUResources{}, nil)
			cpus, memory := resource.MustParse(test.cpus), resource.MustParse(test.memory)
			assert.Zero(t, cpus.Cmp(d.CPUs), d.CPUs.String())
			assert.Zero(t, memory.Cmp(d.Memory), d.Memory.String())
		})
	}
	t.Run("what the cluster uses where the template says nothing", func(t *testing.T) {
		d := workload.ServiceUsage(service(`{}`, `{}`), "", withDefaults, workload.GPUResources{}, nil)
		assert.Equal(t, []any{15 * time.Second, 30 * time.Second, 20 * time.Minute, "hpa.autoscaling.knative.dev"}, []any{d.ScaleDownDelay, d.Retention, d.ProgressDeadline, d.Class})
	})
	t.Run("a duration that cannot be read is never short", func(t *testing.T) {
		d := demand(service(`{autoscaling.knative.dev/scale-down-delay: soon}`, `{}`))
		assert.Equal(t, time.Duration(workload.Unbounded), d.ScaleDownDelay)
	})
}
