package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

func TestDecodeNamesWhatCannotBeRead(t *testing.T) {
	for text, want := range map[string][]string{
		`{spec: {priority: 5, bounds: {maxScale: {max: 5}, cpusPerPod: {max: 64}}}}`: nil,
		`{}`: nil,
		`{metadata: {name: p, finalizers: 5, future: {}}, status: {conditions: later}}`: nil, // nobody's business here
		`{spec: {priority: high}}`:               {`spec.priority: Invalid value: "high": must be a whole number`},
		`{spec: [1]}`:                            {`spec: Invalid value: "a list": must be an object`},
		`{spec: {bounds: {maxScale: 5}}}`:        {"spec.bounds.maxScale: Invalid value: 5: must be an object with enforcement, max"},
		`{spec: {gpuResources: nvidia.com/gpu}}`: {`spec.gpuResources: Invalid value: "nvidia.com/gpu": must be a list`},
		`{spec: {bounds: {maxScale: {max: 5, per: namespace}, gpusPerRack: {max: 1}}}}`: {
			"spec.bounds.gpusPerRack: Forbidden: this version of the webhook does not know the field",
			"spec.bounds.maxScale.per: Forbidden: this version of the webhook does not know the field"},
		`{spec: {Priority: 5}}`:                      {"spec.Priority: Forbidden: this version of the webhook does not know the field"},
		`{spec: {bounds: {cpusPerPod: {max: [1]}}}}`: {`spec.bounds.cpusPerPod.max: Invalid value: "a list": must be a whole number or a string`},
	} {
		o := read(text)
		_, errs := policy.Decode(o)
		var got []string
		for _, e := range errs {
			got = append(got, e.Error())
		}
		assert.ElementsMatch(t, want, got, text)
	}
}

func TestAnUnreadablePolicyClosesOnlyGPUBounds(t *testing.T) {
	set := policy.CompileStored([]manifest.Object{
		read(`{metadata: {name: later}, spec: {bounds: {gpusPerRack: {max: 1}}, gpuResources: [acme.com/chip, "not a name", 5]}}`),
		read(`{metadata: {name: strict}, spec: {bounds: {maxScale: {max: 5}}}}`),
	})
	judge := func(resource string) []string {
		service := read(`{spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "6"}}, spec: {containers: [{image: a, resources: {limits: {` + resource + `: 1}}}]}}}}`)
		var details []string
		for _, x := range set.For(policy.Subject{}).Judge(workload.ServiceUsage(service, "", knative.Default(), set.GPUResources(), nil), nil).Denied {
			details = append(details, x.Error.Detail)
		}
		return details
	}
	scale := "asks for up to 6 pods; policy strict allows at most 5 (bounds.maxScale.max)"
	closed := "asks for GPUs, and policy later is invalid, so its bounds are not known; ask the platform team to mend it"
	assert.Equal(t, []string{scale}, judge("cpu"), "the others are in force, and nothing else is stopped")
	assert.Equal(t, []string{scale, closed}, judge("nvidia.com/gpu"))
	assert.Equal(t, []string{scale, closed}, judge("acme.com/chip"), "what it calls a GPU is one")
}

func TestDescribe(t *testing.T) {
	set := policy.CompileStored([]manifest.Object{
		read(`{metadata: {name: z}, spec: {priority: 9, enforcement: Warn, workloadSelector: {matchLabels: {a: b}}, bounds: {maxScale: {max: 5}, gpusPerPod: {max: 5, allowed: [1], enforcement: Clamp}, memoryPerPod: {max: 1Gi, enforcement: Deny}}}}`),
		read(`{metadata: {name: a}, spec: {namespaceSelector: {matchExpressions: [{key: b, operator: Exists}, {key: a, operator: Exists}, {key: b, operator: NotIn, values: [c]}, {key: kubernetes.io/metadata.name, operator: Exists}]}}}`),
		read(`{metadata: {name: m}, spec: {enforcement: Never}}`),
	})
	all := set.Describe()
	require.Len(t, all, 3)
	assert.Equal(t, policy.Description{Name: "a", NamespaceLabels: []string{"a", "b"}}, all[0])
	assert.Equal(t, policy.Description{Name: "m", Invalid: set.Invalid()["m"]}, all[1])
	assert.Equal(t, policy.Description{Name: "z", WorkloadSelector: true, Bounds: []policy.Enforced{{Bound: "maxScale", Enforcement: "Warn"},
		{Bound: "gpusPerPod", Enforcement: "Clamp"}, {Bound: "memoryPerPod", Enforcement: "Deny"}}}, all[2])
	assert.Equal(t, []v1alpha1.Enforcement{"Deny", "Clamp", "Warn"}, all[2].Modes())
	assert.Empty(t, all[0].Modes())
}
