package policy_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

func TestWhatCountsIsValidated(t *testing.T) {
	const name = "must be an extended resource name such as amd.com/gpu; a trailing * matches any suffix"
	const class = "must be the name of a DeviceClass such as gpu.nvidia.com; a trailing * matches any suffix"
	for title, test := range map[string]struct {
		spec string
		want []string
	}{
		"names, patterns and weights": {spec: `gpuResources: [nvidia.com/gpu, {name: "nvidia.com/mig-*"}, {name: nvidia.com/mig-1g.10gb, gpus: "1/7"}, {name: acme.com/dual, gpus: 2}, {name: acme.com/half, gpus: "0.5"}],
			notGPUResources: [acme.com/gpumem, "acme.com/gpu-*"], gpuDeviceClasses: [h100, "acme.*"], notGPUDeviceClasses: [nic.example.com]`},
		"no names": {spec: `gpuResources: [gpu, {name: "nvidia.com/*/x"}], notGPUResources: [mem], gpuDeviceClasses: ["Not A Class", "*"], notGPUDeviceClasses: [a_b]`, want: []string{
			`spec.gpuResources[0]: Invalid value: "gpu": ` + name, `spec.gpuResources[1]: Invalid value: "nvidia.com/*/x": ` + name,
			`spec.notGPUResources[0]: Invalid value: "mem": ` + name, `spec.gpuDeviceClasses[0]: Invalid value: "Not A Class": ` + class,
			`spec.gpuDeviceClasses[1]: Invalid value: "*": ` + class, `spec.notGPUDeviceClasses[0]: Invalid value: "a_b": ` + class}},
		"weights that are none": {spec: `gpuResources: [{name: a.com/b, gpus: "0"}, {name: c.com/d, gpus: "1/0"}, {name: e.com/f, gpus: half}, {name: g.com/h, gpus: -1}]`, want: []string{
			`spec.gpuResources[0].gpus: Invalid value: "0": must be above 0; what counts nothing belongs under notGPUResources`,
			`spec.gpuResources[1].gpus: Invalid value: "1/0": must be above 0; what counts nothing belongs under notGPUResources`,
			`spec.gpuResources[2].gpus: Invalid value: "half": must be a number of GPUs such as 1, 0.5 or 1/7`,
			`spec.gpuResources[3].gpus: Invalid value: "-1": must be a number of GPUs such as 1, 0.5 or 1/7`}},
		"both at once": {spec: `gpuResources: [acme.com/gpu], notGPUResources: [acme.com/gpu], gpuDeviceClasses: [h100], notGPUDeviceClasses: [h100]`, want: []string{
			`spec.notGPUResources[0]: Invalid value: "acme.com/gpu": is listed in gpuResources too; list it once`,
			`spec.notGPUDeviceClasses[0]: Invalid value: "h100": is listed in gpuDeviceClasses too; list it once`}},
		"GPUs that count everywhere": {spec: `notGPUResources: [nvidia.com/mig-1g.5gb], notGPUDeviceClasses: [gpu.nvidia.com]`, want: []string{
			`spec.notGPUResources[0]: Invalid value: "nvidia.com/mig-1g.5gb": counts as GPUs everywhere; a part of a GPU has a weight in gpuResources, such as {name: nvidia.com/mig-1g.5gb, gpus: "1/7"}`,
			`spec.notGPUDeviceClasses[0]: Invalid value: "gpu.nvidia.com": has GPUs everywhere`}},
	} {
		t.Run(title, func(t *testing.T) {
			assert.Equal(t, test.want, texts(policy.Validate(&policies(`{spec: {` + test.spec + `}}`)[0])))
		})
	}
}

func TestGPUResourcesAreReadAndWritten(t *testing.T) {
	var spec v1alpha1.ComputePolicySpec
	require.NoError(t, yaml.UnmarshalStrict([]byte(`gpuResources: [a.com/b, {name: c.com/d, gpus: "1/7"}, {name: e.com/f, gpus: 2}, {name: g.com/h}]`), &spec))
	assert.Equal(t, []v1alpha1.GPUResource{{Name: "a.com/b"}, {Name: "c.com/d", GPUs: "1/7"}, {Name: "e.com/f", GPUs: "2"}, {Name: "g.com/h"}}, spec.GPUResources)
	raw, err := json.Marshal(spec.GPUResources)
	require.NoError(t, err)
	assert.JSONEq(t, `["a.com/b", {"name": "c.com/d", "gpus": "1/7"}, {"name": "e.com/f", "gpus": "2"}, "g.com/h"]`, string(raw))
	for text, want := range map[string]string{
		`[5]`:                               `spec.gpuResources[0]: Invalid value: 5: must be a resource name, or an object of a name and gpus`,
		`[null]`:                            `spec.gpuResources[0]: Invalid value: null: must be a resource name, or an object of a name and gpus`,
		`[{name: a.com/b, gpu: 1}]`:         `spec.gpuResources[0].gpu: Forbidden: this version of the webhook does not know the field`,
		`[{name: a.com/b, gpus: 0.5}]`:      `gpus must be a whole number, or a string such as "1/7"`,
		`[{name: a.com/b, gpus: [1]}]`:      `gpus must be a whole number, or a string such as "1/7"`,
		`[{name: a.com/b, gpus: ""}]`:       `gpus may not be empty`,
		`[{name: [a.com/b], gpus: "1/7"}]`:  `spec.gpuResources[0].name: Invalid value: "a list": must be a string`,
		`[[a.com/b]]`:                       `must be a resource name, or an object of a name and gpus`,
		`[{name: a.com/b, gpus: "1/7"}, 1]`: `spec.gpuResources[1]: Invalid value: 1: must be`,
	} {
		_, errs := policy.Decode(manifest.Object{"metadata": manifest.Object{"name": "p"}, "spec": map[string]any(read(`{gpuResources: ` + text + `}`))})
		require.Len(t, errs, 1, text)
		assert.Contains(t, errs[0].Error(), want, text)
	}
}

func TestWhatAStoredPolicyThatCannotBeReadCallsAGPUCounts(t *testing.T) {
	set := policy.CompileStored([]manifest.Object{read(`{metadata: {name: old}, spec: {bonds: {}, gpuResources: [acme.com/chip, {name: acme.com/slice, gpus: "1/4"}, 7], gpuDeviceClasses: [chips]}}`)})
	require.Contains(t, set.Invalid(), "old")
	got := workload.CountGPUs(read(`{containers: [{resources: {limits: {acme.com/chip: 1, acme.com/slice: 8, deviceclass.resource.kubernetes.io/chips: 2}}}]}`), field.NewPath("spec"), set.GPUResources())
	assert.EqualValues(t, 1+2+2, got.PerPod)
}

func TestAcceleratorsThatNoPolicyListsAreWarnedAboutAndInTheAudit(t *testing.T) {
	pod := `{containers: [{resources: {limits: {google.com/tpu: 4}}}]}`
	o := service(`{autoscaling.knative.dev/max-scale: "1"}`, pod)
	const warning = "google.com/tpu is an accelerator that no policy's gpuResources lists, so it counts as no GPU; the platform team lists it there, or in notGPUResources to say so"
	set := policy.Compile(policies(`{metadata: {name: a}, spec: {bounds: {gpusPerPod: {max: 8}}}}`, `{metadata: {name: b}, spec: {bounds: {gpusPerWorkload: {max: 8, enforcement: Audit}}}}`, `{metadata: {name: c}, spec: {bounds: {maxScale: {max: 8}}}}`))
	d := demand(o)
	violation := func(name string) policy.Violation {
		return policy.Violation{Policy: name, Bound: "gpuResources", Enforcement: v1alpha1.Warn, Error: d.GPUs.Unlisted[0]}
	}
	v := set.For(policy.Subject{NamespaceKnown: true}).Judge(d, nil)
	assert.Equal(t, policy.Judgement{Warned: []policy.Violation{violation("a")}}, v)
	assert.Equal(t, "spec.template.spec.containers[0].resources.limits[google.com/tpu]: Forbidden: "+warning, v.Warned[0].Error.Error())
	assert.Empty(t, set.For(policy.Subject{NamespaceKnown: true}).Judge(d, &d), "an update that asks for the same")
	assert.Equal(t, []policy.Violation{violation("a"), violation("b")}, set.For(policy.Subject{NamespaceKnown: true}).Audit(d), "in the status of each policy that bounds GPUs")
	other := policy.Compile(policies(`{metadata: {name: c}, spec: {bounds: {maxScale: {max: 8}}}}`, `{metadata: {name: d}, spec: {priority: 1}}`)).For(policy.Subject{NamespaceKnown: true})
	assert.Equal(t, policy.Judgement{Warned: []policy.Violation{violation("d")}}, other.Judge(d, nil), "by the first that selects it, where nothing bounds GPUs")
	assert.Equal(t, []policy.Violation{violation("d"), violation("c")}, other.Audit(d), "in the status of all that select it")
	assert.Empty(t, policy.Compile(nil).For(policy.Subject{NamespaceKnown: true}).Judge(d, nil), "where no policy is")
	counted := policy.Compile(nil).For(policy.Subject{NamespaceKnown: true}).WithBudget(func() string { return "gpus" })
	assert.Equal(t, policy.Judgement{Warned: []policy.Violation{violation("gpus")}}, counted.Judge(d, nil), "where only a budget counts")
	assert.Empty(t, counted.Judge(d, &d), "an update that asks for the same")
	assert.Equal(t, policy.Judgement{Warned: []policy.Violation{violation("a")}}, set.For(policy.Subject{NamespaceKnown: true}).WithBudget(func() string { return "gpus" }).Judge(d, nil), "a policy before a budget")
	for _, field := range []string{"gpuResources", "notGPUResources"} {
		listed := policy.Compile(policies(`{metadata: {name: a}, spec: {` + field + `: [google.com/tpu], bounds: {gpusPerPod: {max: 8}}}}`))
		d := workload.CountGPUs(read(pod), nil, listed.GPUResources())
		assert.Empty(t, d.Unlisted, field)
	}
}

func TestOtherNamespacesThatAreLeftOutAreOtherRules(t *testing.T) {
	set, kn := policy.Compile(nil), knative.Default()
	usual := policy.Rules(set, kn)
	assert.Equal(t, usual, policy.Rules(set.Excluding(nil), kn))
	assert.NotEqual(t, usual, policy.Rules(set.Excluding([]string{""}), kn), "none")
	assert.NotEqual(t, policy.Rules(set.Excluding([]string{"", "a"}), kn), policy.Rules(set.Excluding([]string{"", "b"}), kn))
}
