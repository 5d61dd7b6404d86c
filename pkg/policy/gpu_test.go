package policy_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/policy"
)

func TestCountGPUs(t *testing.T) {
	const notWhole = "must be a whole number of GPUs from 0 to 2147483647"
	const unlisted = "Forbidden: looks like a GPU resource that no policy's gpuResources lists, so it cannot be counted"
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
		"slices, shares and other vendors":             {pod: `{containers: [{resources: {limits: {nvidia.com/mig-1g.5gb: 1, nvidia.com/gpu.shared: 2, amd.com/gpu: 4, gpu.intel.com/i915: 8}}}]}`, want: 15},
		"a resource that looks like GPUs":              {pod: `{containers: [{resources: {limits: {acme.example/vGPU: 1}}}]}`, unknown: []string{"spec.containers[0].resources.limits[acme.example/vGPU]: " + unlisted}},
		"GPUs of an init container that are not known": {pod: `{initContainers: [{resources: {requests: {nvidia.com/gpumem: 1}}}]}`, unknown: []string{"spec.initContainers[0].resources.requests[nvidia.com/gpumem]: " + unlisted}},
		"devices asked for through claims": {pod: `{resourceClaims: [{name: gpu}], containers: [{resources: {claims: [{name: gpu}]}}]}`,
			unknown: []string{"spec.resourceClaims: Forbidden: devices asked for through resource claims cannot be counted as GPUs; ask for a GPU resource instead"}},
		"fractions of a GPU": {pod: `{containers: [{resources: {limits: {nvidia.com/gpu: 500m}}}, {resources: {limits: {nvidia.com/gpu: 1.5}}}]}`, want: policy.Unbounded,
			malformed: []string{`spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "500m": ` + notWhole, `spec.containers[1].resources.limits[nvidia.com/gpu]: Invalid value: 1.5: ` + notWhole}},
		"no quantity at all": {pod: `{containers: [{resources: {limits: {nvidia.com/gpu: many}}}]}`, want: policy.Unbounded,
			malformed: []string{`spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "many": ` + notWhole}},
		"as many as fit in a number are no overflow": {pod: `{containers: [{resources: {limits: {nvidia.com/gpu: 2147483647}}}, {resources: {limits: {nvidia.com/gpu: 2147483647}}}]}`, want: 2 * 2147483647},
	}
	known := policy.Compile(nil).GPUResources()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := policy.CountGPUs(read(test.pod), field.NewPath("spec"), known)
			assert.Equal(t, test.want, got.PerPod)
			assert.Equal(t, test.malformed, texts(got.Malformed))
			assert.Equal(t, test.unknown, texts(got.Unknown))
		})
	}
}

func TestGPUResourcesOfPolicies(t *testing.T) {
	set := policy.Compile(policies(`{metadata: {name: a}, spec: {gpuResources: [acme.example/vgpu, "acme.example/gpu-*"]}}`, `{metadata: {name: b}, spec: {priority: 1, gpuResources: [amd.com/gpu]}}`))
	got := policy.CountGPUs(read(`{containers: [{resources: {limits: {acme.example/vgpu: 1, acme.example/gpu-half: 2, acme.example/gpus: 4}}}]}`), field.NewPath("spec"), set.GPUResources())
	assert.Equal(t, int64(3), got.PerPod)
	assert.Len(t, got.Unknown, 1, "a name that only resembles a listed one")
	assert.Equal(t, "amd.com/gpu", set.For(policy.Subject{NamespaceKnown: true}).GPUResource(), "the first one of the policy with the highest priority")
	assert.Equal(t, "nvidia.com/gpu", policy.Compile(nil).For(policy.Subject{}).GPUResource())
}

func TestWholeGPUs(t *testing.T) {
	whole := map[any]int64{"0": 0, "1": 1, "1k": 1000, "1e3": 1000, "1000m": 1, "2Ki": 2048, "2147483647": math.MaxInt32, int64(3): 3, 2.0: 2, "1.0": 1}
	for v, want := range whole {
		n, ok := policy.WholeGPUs(v)
		assert.True(t, ok, "%v", v)
		assert.Equal(t, want, n, "%v", v)
	}
	for _, v := range []any{"0.5", "500m", "1.5", "1001m", "1e100", "9223372036854775808", "2147483648", "-1", "-500m", "", " 1", "NaN", "١", int64(-1), 1.5, true, nil, []any{}} {
		n, ok := policy.WholeGPUs(v)
		assert.False(t, ok, "%v is %d", v, n)
	}
}

func TestSaturation(t *testing.T) {
	assert.Equal(t, int64(6), policy.SaturatingMul(2, 3))
	assert.Equal(t, int64(0), policy.SaturatingMul(0, policy.Unbounded))
	assert.Equal(t, int64(0), policy.SaturatingMul(policy.Unbounded, 0))
	assert.Equal(t, int64(policy.Unbounded), policy.SaturatingMul(2, policy.Unbounded))
	assert.Equal(t, int64(policy.Unbounded), policy.SaturatingMul(math.MaxInt32, 1<<40))
	assert.Equal(t, int64(policy.Unbounded), policy.SaturatingAdd(policy.Unbounded, 1))
	assert.Equal(t, int64(3), policy.SaturatingAdd(1, 2))
}

func TestGPUType(t *testing.T) {
	tests := map[string]struct {
		pod, want string
		pinned    bool
	}{
		"nothing pins the pod":      {pod: `{}`},
		"a node selector does":      {pod: `{nodeSelector: {nvidia.com/gpu.product: L4}}`, want: "L4", pinned: true},
		"a cloud's label does":      {pod: `{nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}}`, want: "nvidia-l4", pinned: true},
		"another label does not":    {pod: `{nodeSelector: {pool: gpu}}`},
		"a required affinity does":  {pod: `{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [A100]}]}]}}}}`, want: "A100", pinned: true},
		"two values do not":         {pod: `{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [A100, L4]}]}]}}}}`},
		"two terms do not":          {pod: `{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [A100]}]}, {matchExpressions: [{key: pool, operator: Exists}]}]}}}}`},
		"exclusion does not":        {pod: `{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: nvidia.com/gpu.product, operator: NotIn, values: [A100]}]}]}}}}`},
		"a preference does not":     {pod: `{affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [A100]}]}}]}}}`},
		"two terms that agree do":   {pod: `{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [A100]}]}, {matchExpressions: [{key: zone, operator: Exists}, {key: nvidia.com/gpu.product, operator: In, values: [A100]}]}]}}}}`, want: "A100", pinned: true},
		"a null in the way is none": {pod: `{nodeSelector: null, affinity: {nodeAffinity: null}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, pinned := policy.GPUType(read(test.pod))
			assert.Equal(t, test.want, got)
			assert.Equal(t, test.pinned, pinned)
		})
	}
}
