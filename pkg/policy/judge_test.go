package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// judge holds a Service against policies, with an old state if one is given.
func judge(set *policy.Set, now, old manifest.Object) policy.Judgement {
	sel := set.For(policy.Subject{Namespace: "ml", NamespaceKnown: true})
	measure := func(o manifest.Object) workload.Usage {
		return workload.ServiceUsage(o, "", knative.Default(), set.GPUResources(), nil)
	}
	if old == nil {
		return sel.Judge(measure(now), nil)
	}
	before := measure(old)
	return sel.Judge(measure(now), &before)
}

func violations(all []policy.Violation) []string {
	var words []string
	for _, v := range all {
		words = append(words, v.Error.Error())
	}
	return words
}

// scaled is a Service of n pods with GPUs.
func scaled(pods, gpus string) manifest.Object {
	return service(`{autoscaling.knative.dev/max-scale: "`+pods+`"}`, `{containers: [{resources: {limits: {nvidia.com/gpu: "`+gpus+`"}}}]}`)
}

const scaleField = "spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: "

func TestBounds(t *testing.T) {
	annotation := func(key string) string { return "spec.template.metadata.annotations[" + key + "]: Forbidden: " }
	const containers = "spec.template.spec.containers: Forbidden: "
	tests := map[string]struct {
		bounds string
		object manifest.Object
		denied []string
	}{
		"a peak at the bound is within it": {bounds: `{maxScale: {max: 5}}`, object: scaled("5", "0")},
		"a peak above it is not":           {bounds: `{maxScale: {max: 5}}`, object: scaled("6", "0"), denied: []string{scaleField + "asks for up to 6 pods; policy platform allows at most 5 (bounds.maxScale.max)"}},
		"an unbounded peak is not": {bounds: `{maxScale: {max: 5}}`, object: service(`{}`, `{}`),
			denied: []string{scaleField + "asks for unbounded pods (a max-scale of 0, or none, is unlimited in Knative); policy platform allows at most 5 (bounds.maxScale.max)"}},
		"a min-scale": {bounds: `{minScale: {max: 2}}`, object: service(`{autoscaling.knative.dev/minScale: "3"}`, `{}`),
			denied: []string{annotation("autoscaling.knative.dev/minScale") + "asks for a min-scale of 3; policy platform allows at most 2 (bounds.minScale.max)"}},
		"GPUs of one pod": {bounds: `{gpusPerPod: {max: 2}}`, object: scaled("1", "3"), denied: []string{containers + "asks for 3 GPUs per pod; policy platform allows at most 2 (bounds.gpusPerPod.max)"}},
		"a number of GPUs that is not listed": {bounds: `{gpusPerPod: {max: 8, allowed: [0, 1, 2, 4, 8]}}`, object: scaled("1", "3"),
			denied: []string{containers + "asks for 3 GPUs per pod; policy platform allows only 0, 1, 2, 4, 8 (bounds.gpusPerPod.allowed)"}},
		"no GPUs at all, where 0 is listed":     {bounds: `{gpusPerPod: {allowed: [0, 1]}}`, object: scaled("1", "0")},
		"no GPUs at all, where 0 is not listed": {bounds: `{gpusPerPod: {allowed: [1]}}`, object: scaled("1", "0"), denied: []string{containers + "asks for 0 GPUs per pod; policy platform allows only 1 (bounds.gpusPerPod.allowed)"}},
		"GPUs of the workload": {bounds: `{gpusPerWorkload: {max: 8}}`, object: scaled("3", "3"),
			denied: []string{scaleField + "asks for 9 GPUs (3 x 3 pods); policy platform allows at most 8 (bounds.gpusPerWorkload.max)"}},
		"GPUs without an upper limit": {bounds: `{gpusPerWorkload: {max: 8}}`, object: scaled("0", "1"),
			denied: []string{scaleField + "asks for unbounded GPUs (1 x unbounded pods); policy platform allows at most 8 (bounds.gpusPerWorkload.max)"}},
		"without GPUs an unbounded peak claims none": {bounds: `{gpusPerWorkload: {max: 8}}`, object: scaled("0", "0")},
		"CPUs": {bounds: `{cpusPerPod: {max: 2}}`, object: service(`{}`, `{containers: [{resources: {requests: {cpu: 2500m}}}]}`),
			denied: []string{containers + "asks for 2500m CPUs per pod; policy platform allows at most 2 (bounds.cpusPerPod.max)"}},
		"memory": {bounds: `{memoryPerPod: {max: 2Gi}}`, object: service(`{}`, `{containers: [{resources: {limits: {memory: 2049Mi}}}]}`),
			denied: []string{containers + "asks for 2049Mi of memory per pod; policy platform allows at most 2Gi (bounds.memoryPerPod.max)"}},
		"durations": {bounds: `{scaleToZeroPodRetentionPeriod: {max: 30m}, scaleDownDelay: {max: 15m}, progressDeadline: {max: 30m}}`,
			object: service(`{autoscaling.knative.dev/scale-to-zero-pod-retention-period: 31m, autoscaling.knative.dev/scaleDownDelay: 901s, serving.knative.dev/progress-deadline: 1h}`, `{}`),
			denied: []string{annotation("autoscaling.knative.dev/scale-to-zero-pod-retention-period") + "asks for a scale-to-zero retention of 31m; policy platform allows at most 30m (bounds.scaleToZeroPodRetentionPeriod.max)",
				annotation("autoscaling.knative.dev/scaleDownDelay") + "asks for a scale-down delay of 901s; policy platform allows at most 15m (bounds.scaleDownDelay.max)",
				annotation("serving.knative.dev/progress-deadline") + "asks for a progress deadline of 1h; policy platform allows at most 30m (bounds.progressDeadline.max)"}},
		"a listed GPU type": {bounds: `{gpuTypes: {allowed: [NVIDIA-L4, "NVIDIA-A100*"]}}`, object: service(`{}`, `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB}, containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`)},
		"another GPU type": {bounds: `{gpuTypes: {allowed: [NVIDIA-L4]}}`, object: service(`{}`, `{nodeSelector: {nvidia.com/gpu.product: L40S}, containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`),
			denied: []string{"spec.template.spec.nodeSelector: Forbidden: asks for GPU type L40S; policy platform allows only NVIDIA-L4 (bounds.gpuTypes.allowed)"}},
		"GPUs of any type": {bounds: `{gpuTypes: {allowed: ["*"]}}`, object: scaled("1", "1"),
			denied: []string{"spec.template.spec.nodeSelector: Forbidden: asks for GPUs of no particular type (nothing pins the pod to one); policy platform allows only * (bounds.gpuTypes.allowed)"}},
		"a type without GPUs is nobody's business": {bounds: `{gpuTypes: {allowed: [NVIDIA-L4]}}`, object: service(`{}`, `{nodeSelector: {nvidia.com/gpu.product: L40S}}`)},
		"a class by its short name":                {bounds: `{autoscalerClasses: {allowed: [kpa]}}`, object: service(`{}`, `{}`)},
		"another class": {bounds: `{autoscalerClasses: {allowed: [kpa]}}`, object: service(`{autoscaling.knative.dev/class: hpa.autoscaling.knative.dev}`, `{}`),
			denied: []string{annotation("autoscaling.knative.dev/class") + "asks for autoscaler class hpa.autoscaling.knative.dev; policy platform allows only kpa.autoscaling.knative.dev (bounds.autoscalerClasses.allowed)"}},
		"GPUs that cannot be counted": {bounds: `{gpusPerPod: {max: 8}}`, object: service(`{}`, `{resourceClaims: [{name: gpu}]}`),
			denied: []string{"spec.template.spec.resourceClaims: Forbidden: devices asked for through resource claims cannot be counted as GPUs; ask for a GPU resource instead; policy platform bounds GPUs (bounds.gpusPerPod.max)"}},
		"GPUs that cannot be counted, where nothing bounds GPUs": {bounds: `{maxScale: {max: 8}}`, object: service(`{autoscaling.knative.dev/max-scale: "1"}`, `{resourceClaims: [{name: gpu}]}`)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := judge(policy.Compile(policies(`{spec: {bounds: `+test.bounds+`}}`)), test.object, nil)
			assert.Equal(t, test.denied, violations(v.Denied))
			assert.Empty(t, v.Invalid)
			assert.Empty(t, v.Warned)
			assert.Empty(t, v.Audited)
		})
	}
}

func TestEveryPolicyHolds(t *testing.T) {
	set := policy.Compile(policies(
		`{metadata: {name: wide}, spec: {bounds: {maxScale: {max: 50}}}}`,
		`{metadata: {name: strict}, spec: {priority: 5, bounds: {maxScale: {max: 5}, gpusPerPod: {max: 1}}}}`,
		`{metadata: {name: warner}, spec: {enforcement: Warn, bounds: {maxScale: {max: 3}}}}`,
		`{metadata: {name: auditor}, spec: {enforcement: Warn, bounds: {maxScale: {max: 2, enforcement: Audit}}}}`,
		`{metadata: {name: clamper}, spec: {enforcement: Clamp, bounds: {maxScale: {max: 4}}}}`))
	says := func(name, max string) string {
		return scaleField + "asks for up to 6 pods; policy " + name + " allows at most " + max + " (bounds.maxScale.max)"
	}
	v := judge(set, scaled("6", "1"), nil)
	assert.Equal(t, []string{says("strict", "5"), says("clamper", "4")}, violations(v.Denied), "a value above a Clamp bound that was not lowered is refused")
	assert.Equal(t, []string{says("warner", "3")}, violations(v.Warned))
	assert.Equal(t, []string{says("auditor", "2")}, violations(v.Audited))

	selection := set.For(policy.Subject{NamespaceKnown: true})
	ceiling, ok := selection.Limit(policy.BoundMaxScale, policy.AllBounds)
	assert.True(t, ok)
	assert.Equal(t, int64(2), ceiling.Max.Value())
	assert.Equal(t, "policy auditor (bounds.maxScale.max)", ceiling.By)
	ceiling, ok = selection.Limit(policy.BoundMaxScale, policy.ClampBounds)
	assert.True(t, ok)
	assert.Equal(t, "policy clamper (bounds.maxScale.max)", ceiling.By)
	_, ok = selection.Limit(policy.BoundMinScale, policy.AllBounds)
	assert.False(t, ok)
}

func TestRatchet(t *testing.T) {
	typed := func(product string) manifest.Object {
		return service(`{autoscaling.knative.dev/max-scale: "1"}`, `{nodeSelector: {nvidia.com/gpu.product: `+product+`}, containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`)
	}
	tests := map[string]struct {
		bounds   string
		old, now manifest.Object
		refused  bool
	}{
		"as it was":                          {bounds: `{maxScale: {max: 5}}`, old: scaled("9", "0"), now: scaled("9", "0")},
		"a little better":                    {bounds: `{maxScale: {max: 5}}`, old: scaled("9", "0"), now: scaled("7", "0")},
		"within the bound":                   {bounds: `{maxScale: {max: 5}}`, old: scaled("9", "0"), now: scaled("5", "0")},
		"worse":                              {bounds: `{maxScale: {max: 5}}`, old: scaled("9", "0"), now: scaled("10", "0"), refused: true},
		"newly beyond the bound":             {bounds: `{maxScale: {max: 5}}`, old: scaled("5", "0"), now: scaled("6", "0"), refused: true},
		"unbounded as before":                {bounds: `{maxScale: {max: 5}}`, old: scaled("0", "0"), now: scaled("0", "0")},
		"bounded to unbounded":               {bounds: `{maxScale: {max: 5}}`, old: scaled("9", "0"), now: scaled("0", "0"), refused: true},
		"the same claim, spread otherwise":   {bounds: `{gpusPerWorkload: {max: 5}}`, old: scaled("9", "2"), now: scaled("6", "3")},
		"a larger claim":                     {bounds: `{gpusPerWorkload: {max: 5}}`, old: scaled("9", "2"), now: scaled("9", "3"), refused: true},
		"a listed number instead of another": {bounds: `{gpusPerPod: {allowed: [1, 2]}}`, old: scaled("1", "5"), now: scaled("1", "2")},
		"another number that is not listed":  {bounds: `{gpusPerPod: {allowed: [1, 2]}}`, old: scaled("1", "5"), now: scaled("1", "4"), refused: true},
		"a forbidden type as before":         {bounds: `{gpuTypes: {allowed: [NVIDIA-L4]}}`, old: typed("H100"), now: typed("H100")},
		"another forbidden type":             {bounds: `{gpuTypes: {allowed: [NVIDIA-L4]}}`, old: typed("H100"), now: typed("H200"), refused: true},
		"a strange quantity as before":       {bounds: `{gpusPerPod: {max: 1}}`, old: scaled("1", "500m"), now: scaled("1", "500m")},
		"a new strange quantity":             {bounds: `{gpusPerPod: {max: 1}}`, old: scaled("1", "1"), now: scaled("1", "500m"), refused: true},
		"one bound better and one worse":     {bounds: `{maxScale: {max: 5}, gpusPerPod: {max: 1}}`, old: scaled("9", "2"), now: scaled("8", "3"), refused: true},
		"unknown GPUs as before":             {bounds: `{gpusPerPod: {max: 1}}`, old: service(`{}`, `{resourceClaims: [{name: gpu}]}`), now: service(`{}`, `{resourceClaims: [{name: gpu}]}`)},
		"new unknown GPUs":                   {bounds: `{gpusPerPod: {max: 1}}`, old: service(`{}`, `{}`), now: service(`{}`, `{resourceClaims: [{name: gpu}]}`), refused: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := judge(policy.Compile(policies(`{spec: {bounds: `+test.bounds+`}}`)), test.now, test.old)
			assert.Equal(t, test.refused, len(v.Denied)+len(v.Invalid) > 0, "%v %v", violations(v.Denied), v.Invalid)
		})
	}
}

func TestInvalidPoliciesFailClosed(t *testing.T) {
	set := policy.Compile(policies(`{metadata: {name: broken}, spec: {bounds: {maxScale: {max: -1}}}}`))
	assert.Equal(t, []string{"spec.bounds.maxScale.max: Invalid value: -1: must be at least 0"}, texts(set.Invalid()["broken"]))
	v := judge(set, scaled("1", "1"), nil)
	assert.Equal(t, []string{"spec.template.spec: Forbidden: asks for GPUs, and policy broken is invalid, so its bounds are not known; ask the platform team to mend it"}, violations(v.Denied))
	assert.Empty(t, judge(set, scaled("1", "0"), nil).Denied, "without GPUs nothing is at stake")
	assert.Empty(t, judge(set, scaled("2", "1"), scaled("2", "1")).Denied, "what runs may be updated")
	assert.Len(t, judge(set, scaled("3", "1"), scaled("2", "1")).Denied, 1, "and may not grow")
}
