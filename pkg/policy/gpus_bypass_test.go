// GPUs anywhere in a pod: in limits or requests, of any container, or of the pod itself.

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

func TestCountGPUs(t *testing.T) {
	const notWhole = "must be a whole number of GPUs from 0 to 2147483647"
	const unlisted = "Forbidden: looks like a GPU resource that no policy's gpuResources lists, so it cannot be counted; the platform team lists it there, or in notGPUResources if it is no number of GPUs"
	tests := map[string]struct {
		pod                string
		want               int64
		malformed, unknown []string
	}{
		"no GPUs":                      {pod: `{containers: [{resources: {limits: {cpu: 4}}}]}`},
		"no containers":                {pod: `{}`},
		"a limit alone":                {pod: `{containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}`, want: 2},
		"a request alone":              {pod: `{containers: [{resources: {requests: {nvidia.com/gpu: "2"}}}]}`, want: 2},
		"the larger of both":           {pod: `{containers: [{resources: {limits: {nvidia.com/gpu: 1}, requests: {nvidia.com/gpu: 3}}}]}`, want: 3},
		"several containers are added": {pod: `{containers: [{resources: {limits: {nvidia.com/gpu: 1}}}, {resources: {limits: {nvidia.com/gpu: 2}}}, {}]}`, want: 3},
		"an init container smaller than what follows": {pod: `{initContainers: [{resources: {limits: {nvidia.com/gpu: 2}}}], containers: [{resources: {limits: {nvidia.com/gpu: 3}}}]}`, want: 3},
		"an init container larger than what follows":  {pod: `{initContainers: [{resources: {limits: {nvidia.com/gpu: 5}}}, {resources: {limits: {nvidia.com/gpu: 4}}}], containers: [{resources: {limits: {nvidia.com/gpu: 3}}}]}`, want: 5},
		"a restartable init container keeps running":  {pod: `{initContainers: [{restartPolicy: Always, resources: {limits: {nvidia.com/gpu: 1}}}], containers: [{resources: {limits: {nvidia.com/gpu: 3}}}]}`, want: 4},
		"an init container beside the restartable ones before it": {pod: `{initContainers: [{restartPolicy: Always, resources: {limits: {nvidia.com/gpu: 2}}}, {resources: {limits: {nvidia.com/gpu: 4}}}],
			containers: [{resources: {limits: {nvidia.com/gpu: 3}}}]}`, want: 6},
		"not beside those after it": {pod: `{initContainers: [{resources: {limits: {nvidia.com/gpu: 4}}}, {restartPolicy: Always, resources: {limits: {nvidia.com/gpu: 2}}}],
			containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`, want: 4},
		"resources of the pod where they are larger":   {pod: `{resources: {limits: {nvidia.com/gpu: 4}}, containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`, want: 4},
		"resources of the pod where they are smaller":  {pod: `{resources: {requests: {nvidia.com/gpu: 1}}, containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}`, want: 2},
		"kinds of GPUs are counted apart, then added":  {pod: `{initContainers: [{resources: {limits: {nvidia.com/gpu: 2}}}], containers: [{resources: {limits: {amd.com/gpu: 3}}}]}`, want: 5},
		"GPUs of an init container that are not known": {pod: `{initContainers: [{resources: {requests: {acme.com/gpumem: 1}}}]}`, unknown: []string{"spec.initContainers[0].resources.requests[acme.com/gpumem]: " + unlisted}},
		"fractions of a GPU": {pod: `{containers: [{resources: {limits: {nvidia.com/gpu: 500m}}}, {resources: {limits: {nvidia.com/gpu: 1.5}}}]}`, want: workload.Unbounded,
			malformed: []string{`spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "500m": ` + notWhole, `spec.containers[1].resources.limits[nvidia.com/gpu]: Invalid value: 1.5: ` + notWhole}},
		"no quantity at all": {pod: `{containers: [{resources: {limits: {nvidia.com/gpu: many}}}]}`, want: workload.Unbounded,
			malformed: []string{`spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "many": ` + notWhole}},
		"as many as fit in a number are no overflow": {pod: `{containers: [{resources: {limits: {nvidia.com/gpu: 2147483647}}}, {resources: {limits: {nvidia.com/gpu: 2147483647}}}]}`, want: 2 * 2147483647},
	}
	known := policy.Compile(nil).GPUResources()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := workload.CountGPUs(read(test.pod), field.NewPath("spec"), known)
			assert.Equal(t, test.want, got.PerPod)
			assert.Equal(t, test.malformed, texts(got.Malformed))
			assert.Equal(t, test.unknown, texts(got.Unknown))
		})
	}
}
