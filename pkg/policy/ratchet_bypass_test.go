// What was stored before a bound is used to grow, or an odd policy to hide GPUs.

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

func withBounds(bounds string) *policy.Set {
	return policy.Compile(policies(`{spec: {bounds: ` + bounds + `}}`))
}

// What was stored before a policy may stay, and is no licence to grow.
func TestNothingGrowsBehindWhatWasThereBefore(t *testing.T) {
	pod := func(resource, quantity string) string {
		return `{containers: [{resources: {limits: {` + resource + `: "` + quantity + `"}}}]}`
	}
	const one, unlimited = `{autoscaling.knative.dev/max-scale: "1"}`, `{}`
	tests := map[string]struct {
		bounds   string
		old, now manifest.Object
		refused  bool
	}{
		"GPUs of an unknown name, unchanged": {
			bounds: `{gpusPerPod: {max: 8}}`, old: service(one, pod("foo.com/gpu", "1")), now: service(one, pod("foo.com/gpu", "1")),
		},
		"another unknown name": {
			bounds: `{gpusPerPod: {max: 8}}`, old: service(one, pod("foo.com/gpu", "1")), now: service(one, pod("bar.com/gpu", "1000")), refused: true,
		},
		"more pods with GPUs of an unknown name": {
			bounds: `{gpusPerPod: {max: 8}}`, old: service(one, pod("foo.com/gpu", "1")), now: service(unlimited, pod("foo.com/gpu", "1")), refused: true,
		},
		"half a GPU, unchanged": {
			bounds: `{gpusPerPod: {max: 8}}`, old: service(one, pod("nvidia.com/gpu", "0.5")), now: service(one, pod("nvidia.com/gpu", "0.5")),
		},
		"half a GPU becomes a thousand": {
			bounds: `{gpusPerPod: {max: 8}}`, old: service(one, pod("nvidia.com/gpu", "0.5")), now: service(one, pod("nvidia.com/gpu", "1000")), refused: true,
		},
		"half a GPU becomes eight, on thousands of pods": {
			bounds: `{gpusPerWorkload: {max: 64}}`, old: service(one, pod("nvidia.com/gpu", "500m")), now: service(`{autoscaling.knative.dev/max-scale: "5000"}`, pod("nvidia.com/gpu", "8")), refused: true,
		},
		"an unbounded number of pods, with more GPUs each": {
			bounds: `{gpusPerWorkload: {max: 64}}`, old: service(unlimited, pod("nvidia.com/gpu", "1")), now: service(unlimited, pod("nvidia.com/gpu", "1000")), refused: true,
		},
		"an unbounded number of pods, unchanged": {
			bounds: `{gpusPerWorkload: {max: 64}}`, old: service(unlimited, pod("nvidia.com/gpu", "1")), now: service(unlimited, pod("nvidia.com/gpu", "1")),
		},
		"fewer GPUs than before, though still too many": {
			bounds: `{gpusPerPod: {max: 2}}`, old: service(one, pod("nvidia.com/gpu", "8")), now: service(one, pod("nvidia.com/gpu", "4")),
		},
		"a quantity of cpu that nobody can read": {
			bounds: `{cpusPerPod: {max: "4"}}`, now: service(one, pod("cpu", "1e99999999")), refused: true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := judge(withBounds(test.bounds), test.now, test.old)
			assert.Equal(t, test.refused, len(v.Denied)+len(v.Invalid) > 0, "%v %v", violations(v.Denied), v.Invalid)
		})
	}
}

// Knative takes a template that bears the name of a revision that exists, if the spec is
// the same, and leaves the revision as it is.
func TestTheNameOfAnOldRevisionDoesNotHideItsScale(t *testing.T) {
	const pod = `{containers: [{resources: {limits: {nvidia.com/gpu: "8"}}}]}`
	revision := func(peak string) manifest.Object {
		return service(`{autoscaling.knative.dev/max-scale: "`+peak+`"}`, pod)["spec"].(manifest.Object)["template"].(manifest.Object)
	}
	o := service(`{autoscaling.knative.dev/max-scale: "1"}`, pod)
	manifest.Map(o, "spec", "template", "metadata")["name"] = "svc-a"
	manifest.Map(o, "spec")["traffic"] = []any{manifest.Object{"revisionName": "svc-a", "percent": int64(50)}, manifest.Object{"revisionName": "svc-b", "percent": int64(50)}}
	known := workload.Revisions{"svc-a": revision("8"), "svc-b": revision("7")}
	assert.Equal(t, []string{"svc-a", "svc-b"}, workload.RevisionsToRead(o))
	assert.EqualValues(t, 64+56, workload.ServiceUsage(o, "", knative.Default(), workload.BuiltInGPUResources, known).Claim)
	delete(known, "svc-a") // a new name
	assert.EqualValues(t, 8+56, workload.ServiceUsage(o, "", knative.Default(), workload.BuiltInGPUResources, known).Claim)
}

func TestWhatAnInvalidPolicyCallsAGPUCounts(t *testing.T) {
	set := policy.Compile(policies(`{metadata: {name: broken}, spec: {gpuResources: [foo.com/accel, "no slash"], bounds: {maxScale: {}}}}`))
	assert.Contains(t, set.Invalid(), "broken")
	assert.True(t, set.GPUResources().Match("foo.com/accel"))
	o := service(`{autoscaling.knative.dev/max-scale: "1"}`, `{containers: [{resources: {limits: {foo.com/accel: "1"}}}]}`)
	d := workload.ServiceUsage(o, "", knative.Default(), set.GPUResources(), nil)
	assert.Len(t, set.For(policy.Subject{}).Judge(d, nil).Denied, 1)
}

func TestAnAuditOfGPUsRefusesNothing(t *testing.T) {
	v := judge(withBounds(`{gpusPerPod: {max: 8, enforcement: Audit}}`), service(`{}`, `{containers: [{resources: {limits: {acme.com/gpumem: "3000"}}}]}`), nil)
	assert.Empty(t, v.Denied)
	assert.Len(t, v.Audited, 1)
}

// TestClaimsWithoutEndGrowToo: what has no end already may not have another part without
// one.
func TestClaimsWithoutEndGrowToo(t *testing.T) {
	revision := read(`{metadata: {annotations: {}}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 4}}}]}}`)
	bounds := withBounds(`{gpusPerWorkload: {max: 8}}`)
	measured := func(traffic string) workload.Usage {
		o := service(`{}`, `{containers: [{resources: {limits: {nvidia.com/gpu: 4}}}]}`)
		manifest.Map(o, "spec")["traffic"] = read(`{v: ` + traffic + `}`)["v"]
		return workload.ServiceUsage(o, "", knative.Default(), bounds.GPUResources(), workload.Revisions{"inference-00001": revision})
	}
	before, after := measured(`[{latestRevision: true}]`), measured(`[{latestRevision: true}, {revisionName: inference-00001, tag: old}]`)
	assert.Len(t, bounds.For(policy.Subject{}).Judge(after, &before).Denied, 1)
	assert.Empty(t, bounds.For(policy.Subject{}).Judge(before, &after).Denied)
}
