package policy_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
)

func TestValidate(t *testing.T) {
	const (
		window     = "; allowed: a duration from 6s to 1h in whole seconds, such as 90s or 10m"
		name       = "must be a label value: letters, digits, '-', '_' and '.', at most 63 characters"
		gpuName    = "must be an extended resource name such as amd.com/gpu; a trailing * matches any suffix"
		notEmpty   = "an exemption names at least one namespace, user, group or service account"
		noNames    = "a list of names cannot be clamped"
		duration   = "must be a duration such as 90s or 10m"
		someAmount = "must be a quantity above 0, such as 64 or 512Gi"
	)
	tests := map[string]struct {
		spec string
		want []string
	}{
		"an empty policy": {spec: `{}`},
		"everything that a policy can say": {spec: `{priority: 3, namespaceSelector: {matchLabels: {a: b}}, workloadSelector: {}, enforcement: Warn,
			defaults: {autoscale: {autoscalerClass: kpa, metric: concurrency, target: "0.5", targetUtilization: 70, minScale: 0, maxScale: 10, initialScale: 1, concurrency: 5, window: 1m, scaleDownDelay: 0s,
				scaleToZeroPodRetentionPeriod: 1.5s, progressDeadline: 24h}, compute: {cpus: 500m, memory: 8Gi, diskSize: 1Gi, gpus: 0, gpuType: "a.b/c: d", gpuMemory: 20Gi, sharedMemoryLimit: 1Gi,
				priorityClassName: high, queueName: q, serviceAccountName: sa, launchTimeout: 15m, inactivityTtl: 400h}},
			profiles: {autoscale: [{name: batch, maxScale: 3}], compute: [{name: batch, gpus: 1}]},
			bounds: {maxScale: {max: 50, enforcement: Clamp}, minScale: {max: 0}, gpusPerPod: {max: 8, allowed: [0, 1]}, gpusPerWorkload: {max: 64}, cpusPerPod: {max: 64}, memoryPerPod: {max: 512Gi},
				scaleToZeroPodRetentionPeriod: {max: 30m}, scaleDownDelay: {max: 0s}, progressDeadline: {max: 30m}, gpuTypes: {allowed: [NVIDIA-L4, "A*"]}, autoscalerClasses: {allowed: [kpa, hpa.autoscaling.knative.dev]}},
			gpuResources: [nvidia.com/gpu, "nvidia.com/mig-*", "gpu.intel.com/i*"], exempt: [{namespaces: [a]}, {users: [u]}, {groups: [g]}, {serviceAccounts: [ns/name]}]}`},
		"selectors that say nothing": {spec: `{namespaceSelector: {matchExpressions: [{key: a, operator: In}]}, workloadSelector: {matchLabels: {"a b": c}}}`, want: []string{
			"spec.namespaceSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
			`spec.workloadSelector.matchLabels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`}},
		"an enforcement that there is none of": {spec: `{enforcement: deny, bounds: {maxScale: {max: 1, enforcement: Refuse}}}`, want: []string{
			`spec.enforcement: Unsupported value: "deny": supported values: "Deny", "Clamp", "Warn", "Audit"`,
			`spec.bounds.maxScale.enforcement: Unsupported value: "Refuse": supported values: "Deny", "Clamp", "Warn", "Audit"`}},
		"defaults that no workload may state": {spec: `{defaults: {autoscale: {window: 5s, target: NaN}, compute: {cpus: 0, gpuType: "a b"}}}`, want: []string{
			`spec.defaults.autoscale.target: Invalid value: "NaN": invalid value: NaN; allowed: a decimal number of at least 0.01`,
			`spec.defaults.autoscale.window: Invalid value: "5s": expected 6s <= 5s <= 1h0m0s`,
			`spec.defaults.compute.cpus: Invalid value: "0": invalid value: 0; allowed: CPU cores above 0, such as 500m or 2`,
			`spec.defaults.compute.gpuType: Invalid value: "a b": invalid value: a b; allowed: a GPU product such as NVIDIA-L4, or label/key: value (in an annotation)`}},
		"an empty default":       {spec: `{defaults: {autoscale: {window: ""}}}`, want: []string{`spec.defaults.autoscale.window: Invalid value: "": may not be empty` + window}},
		"an unbounded default":   {spec: `{defaults: {autoscale: {maxScale: 0}}}`, want: []string{"spec.defaults.autoscale.maxScale: Invalid value: 0: 0 is unlimited; must be at least 1"}},
		"scales that contradict": {spec: `{defaults: {autoscale: {minScale: 3, initialScale: 4, maxScale: 2}}}`, want: []string{"spec.defaults.autoscale.minScale: Invalid value: 3: may not be above maxScale, 2", "spec.defaults.autoscale.initialScale: Invalid value: 4: may not be above maxScale, 2"}},
		"names of profiles": {spec: `{profiles: {autoscale: [{name: "true"}, {name: a b}, {name: x}, {name: x}], compute: [{name: ""}, {name: "false"}]}}`, want: []string{
			`spec.profiles.autoscale[0].name: Invalid value: "true": a profile may not be called true or false`, `spec.profiles.autoscale[1].name: Invalid value: "a b": ` + name,
			`spec.profiles.autoscale[3].name: Duplicate value: "x"`, `spec.profiles.compute[0].name: Invalid value: "": ` + name, `spec.profiles.compute[1].name: Invalid value: "false": a profile may not be called true or false`}},
		"values of profiles": {spec: `{profiles: {compute: [{name: x, gpus: -1}]}}`, want: []string{`spec.profiles.compute[0].gpus: Invalid value: "-1": expected 0 <= -1 <= 2147483647`}},
		"bounds that hold nothing": {spec: `{bounds: {maxScale: {max: -1}, minScale: {max: -1}, gpusPerWorkload: {max: -1}, gpusPerPod: {}, cpusPerPod: {max: 0}, memoryPerPod: {max: much},
			scaleDownDelay: {max: 5}, progressDeadline: {max: -5s}, scaleToZeroPodRetentionPeriod: {max: ""}, gpuTypes: {allowed: []}, autoscalerClasses: {allowed: [keda]}}}`, want: []string{
			"spec.bounds.maxScale.max: Invalid value: -1: must be at least 0", "spec.bounds.minScale.max: Invalid value: -1: must be at least 0", "spec.bounds.gpusPerWorkload.max: Invalid value: -1: must be at least 0",
			"spec.bounds.gpusPerPod: Required value: give max, allowed or both", `spec.bounds.cpusPerPod.max: Invalid value: "0": ` + someAmount, `spec.bounds.memoryPerPod.max: Invalid value: "much": ` + someAmount,
			`spec.bounds.scaleToZeroPodRetentionPeriod.max: Invalid value: "": ` + duration, `spec.bounds.scaleDownDelay.max: Invalid value: "5": ` + duration, `spec.bounds.progressDeadline.max: Invalid value: "-5s": ` + duration,
			"spec.bounds.gpuTypes.allowed: Required value: list at least one name",
			`spec.bounds.autoscalerClasses.allowed[0]: Unsupported value: "keda": supported values: "kpa", "hpa", "kpa.autoscaling.knative.dev", "hpa.autoscaling.knative.dev"`}},
		"GPUs per pod below zero": {spec: `{bounds: {gpusPerPod: {max: -1, allowed: [1, -2]}}}`, want: []string{"spec.bounds.gpusPerPod.max: Invalid value: -1: must be at least 0", "spec.bounds.gpusPerPod.allowed[1]: Invalid value: -2: must be at least 0"}},
		"clamping a list of names": {spec: `{bounds: {gpuTypes: {allowed: [NVIDIA-L4], enforcement: Clamp}, autoscalerClasses: {allowed: [kpa], enforcement: Clamp}}}`, want: []string{
			`spec.bounds.gpuTypes.enforcement: Invalid value: "Clamp": ` + noNames, `spec.bounds.autoscalerClasses.enforcement: Invalid value: "Clamp": ` + noNames}},
		"a pattern of GPU types that cannot match": {spec: `{bounds: {gpuTypes: {allowed: ["L[4"]}}}`, want: []string{`spec.bounds.gpuTypes.allowed[0]: Invalid value: "L[4": must be a GPU type or a pattern such as A100*`}},
		"names that are no resource":               {spec: `{gpuResources: [gpu, "amd.com/*gpu", "*", nvidia.com/]}`, want: []string{`spec.gpuResources[0]: Invalid value: "gpu": ` + gpuName, `spec.gpuResources[1]: Invalid value: "amd.com/*gpu": ` + gpuName, `spec.gpuResources[2]: Invalid value: "*": ` + gpuName, `spec.gpuResources[3]: Invalid value: "nvidia.com/": ` + gpuName}},
		"exemptions of nobody":                     {spec: `{exempt: [{}, {serviceAccounts: [controller, a/b/c, /x]}]}`, want: []string{"spec.exempt[0]: Required value: " + notEmpty, `spec.exempt[1].serviceAccounts[0]: Invalid value: "controller": must be namespace/name`, `spec.exempt[1].serviceAccounts[1]: Invalid value: "a/b/c": must be namespace/name`, `spec.exempt[1].serviceAccounts[2]: Invalid value: "/x": must be namespace/name`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := policies(`{spec: ` + test.spec + `}`)[0]
			assert.Equal(t, test.want, texts(policy.Validate(&p)))
		})
	}
}

// TestSettingsAreTheParameterTable compares the fields of the policy API with the table.
func TestSettingsAreTheParameterTable(t *testing.T) {
	for group, settings := range map[parameter.Group]any{parameter.Autoscale: v1alpha1.AutoscaleSettings{}, parameter.Compute: v1alpha1.ComputeSettings{}} {
		var want, got []string
		for _, p := range parameter.Table {
			if p.Group == group && !p.NoDefault {
				want = append(want, p.Field())
			}
		}
		fields := reflect.TypeOf(settings)
		for field := range fields.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			got = append(got, name)
			assert.Equal(t, reflect.Pointer, field.Type.Kind(), "absent and zero must differ: %s", name)
		}
		assert.Equal(t, want, got, "%s", group)
	}
}
