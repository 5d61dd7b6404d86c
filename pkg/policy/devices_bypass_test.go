// Devices that are asked for in other words than an amount of GPUs: through resource claims and
// device classes.

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

func TestDevicesThatCannotBeCountedAreRefused(t *testing.T) {
	const claims = "spec.resourceClaims: Forbidden: devices asked for through resource claims cannot be counted as GPUs; ask for a GPU resource instead"
	const class = "spec.containers[0].resources.limits[deviceclass.resource.kubernetes.io/h100]: Forbidden: devices of DeviceClass h100, which no policy lists, cannot be counted as GPUs; the platform team lists it in gpuDeviceClasses, or in notGPUDeviceClasses if it has none"
	for name, test := range map[string]struct{ pod, want string }{
		"a claim that exists":       {`{resourceClaims: [{name: gpu, resourceClaimName: shared}], containers: [{resources: {claims: [{name: gpu}]}}]}`, claims},
		"one from a template":       {`{resourceClaims: [{name: gpu, resourceClaimTemplateName: large}], containers: [{resources: {claims: [{name: gpu, request: one}]}}]}`, claims},
		"one that nothing uses yet": {`{resourceClaims: [{name: gpu, resourceClaimTemplateName: large}], containers: [{}]}`, claims},
		"beside GPUs that count":    {`{resourceClaims: [{name: gpu, resourceClaimTemplateName: large}], containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`, claims},
		"a device class":            {`{containers: [{resources: {limits: {deviceclass.resource.kubernetes.io/h100: 1}}}]}`, class},
		"none":                      {`{resourceClaims: [], containers: [{resources: {limits: {cpu: 1}}}]}`, ""},
		"none at all":               {`{resourceClaims: null, containers: [{resources: {limits: {example.com/fpga: 1}}}]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			if test.want != "" {
				want = []string{test.want}
			}
			assert.Equal(t, want, texts(workload.CountGPUs(read(test.pod), field.NewPath("spec"), gpus()).Unknown))
			for bound, refuses := range map[string]bool{`{gpusPerPod: {max: 8}}`: true, `{gpusPerWorkload: {max: 64}}`: true, `{maxScale: {max: 8}}`: false} {
				denied := judge(withBounds(bound), service(`{autoscaling.knative.dev/max-scale: "1"}`, test.pod), nil).Denied
				assert.Equal(t, refuses && test.want != "", len(denied) > 0, "%s: %v", bound, violations(denied))
			}
		})
	}
	set := policy.Compile(policies(`{spec: {gpuResources: [deviceclass.resource.kubernetes.io/h100]}}`))
	listed := workload.CountGPUs(read(`{containers: [{resources: {limits: {deviceclass.resource.kubernetes.io/h100: 3}}}]}`), field.NewPath("spec"), set.GPUResources())
	assert.EqualValues(t, 3, listed.PerPod, "a class that a policy lists is counted")
	assert.Empty(t, listed.Unknown)
}
