package offline_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// fixed is what is left of a Deployment that stays one: replicas, resources and warnings.
type fixed struct {
	in        run
	replicas  any
	resources string
	pod       map[string]any // further fields of the pod spec
	report    string
}

func TestDeploymentsOfFixedSize(t *testing.T) {
	compute := `labels: {kubetorch.com/compute: "true"}, annotations: {compute.kubetorch.com/cpus: "2", compute.kubetorch.com/gpus: "1", compute.kubetorch.com/gpu-type: NVIDIA-L4, compute.kubetorch.com/priority-class-name: high}`
	filled := `{requests: {cpu: "2", nvidia.com/gpu: "1"}, limits: {nvidia.com/gpu: "1"}}`
	gpuPod := map[string]any{"nodeSelector": parsed(t, `{nvidia.com/gpu.product: NVIDIA-L4}`), "priorityClassName": "high",
		"tolerations": parsed(t, `{l: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}, {key: dedicated, operator: Equal, value: gpu, effect: NoSchedule}]}`)["l"]}
	onGPUs := func(labels, spec string) string {
		return strings.Replace(deployment(labels, spec), "image: acme/web:1", "image: acme/web:1, resources: {limits: {nvidia.com/gpu: 2}}", 1)
	}
	clamp := policyWith(`enforcement: Clamp, bounds: {maxScale: {max: 4}, gpusPerWorkload: {max: 6}}`)
	for name, c := range map[string]fixed{
		"compute parameters are filled in, whatever Knative's flags": {in: run{in: deployment(compute, "replicas: 3")}, replicas: int64(3), resources: filled, pod: gpuPod},
		"autoscale false with compute is a fixed size": {
			in:        run{in: deployment(strings.Replace(compute, "labels: {", `labels: {kubetorch.com/autoscale: "false", `, 1), "")},
			resources: filled, pod: gpuPod},
		"a profile is filled in": {
			in:        run{in: deployment(`labels: {kubetorch.com/compute: small}`, ""), policy: policyWith(`profiles: {compute: [{name: small, cpus: "1", memory: 2Gi}]}`)},
			resources: `{requests: {cpu: "1", memory: 2Gi}}`},
		"an unknown profile is refused": {in: run{in: deployment(`labels: {kubetorch.com/compute: large}`, ""), policy: policyWith(`profiles: {compute: [{name: small, cpus: "1"}]}`)},
			report: "Refused: Deployment default/web (in.yaml)\n  * metadata.labels[kubetorch.com/compute]: Invalid value: \"large\": unknown compute profile; there are small\n"},
		"Knative's defaults for resources have no say": {
			in:        run{in: deployment(`labels: {kubetorch.com/compute: "true"}, annotations: {compute.kubetorch.com/cpus: "4"}`, ""), knative: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-defaults}\ndata: {revision-cpu-limit: 1000m}\n"},
			resources: `{requests: {cpu: "4"}}`},
		"distributed computing is no contradiction": {in: run{in: deployment(`labels: {kubetorch.com/compute: "true"}, annotations: {compute.kubetorch.com/distribute: pytorch}`, "")}},
		"parameters without a label are warned of": {in: run{in: deployment(`annotations: {compute.kubetorch.com/cpus: "4"}`, "")},
			report: "Warning: Deployment default/web: compute.kubetorch.com/cpus: no effect without the label kubetorch.com/compute (set it to \"true\" or to a profile's name)\n"},
		"autoscale parameters beside compute are warned of": {in: run{in: deployment(`labels: {kubetorch.com/compute: "true"}, annotations: {autoscale.kubetorch.com/max-scale: "4"}`, "")},
			report: "Warning: Deployment default/web: autoscale.kubetorch.com/max-scale: no effect without the label kubetorch.com/autoscale (set it to \"true\" or to a profile's name)\n"},
		"an unknown parameter is refused": {in: run{in: deployment(`labels: {kubetorch.com/compute: "true"}, annotations: {compute.kubetorch.com/cpu: "4"}`, "")},
			report: "Refused: Deployment default/web (in.yaml)\n  * metadata.annotations[compute.kubetorch.com/cpu]: Invalid value: \"4\": unknown key; the nearest known one is compute.kubetorch.com/cpus\n"},
		"its claim is the GPUs of all its pods": {in: run{in: onGPUs(`labels: {kubetorch.com/compute: "true"}`, "replicas: 3"), policy: policyWith(`bounds: {gpusPerWorkload: {max: 4}}`)}, replicas: int64(3),
			resources: `{limits: {nvidia.com/gpu: 2}}`,
			report:    "Refused: Deployment default/web (in.yaml)\n  * spec.replicas: Forbidden: asks for 6 GPUs (2 x 3 pods); policy platform allows at most 4 (bounds.gpusPerWorkload.max); replicas 2 fits\n"},
		"without a label its GPUs count as well": {in: run{in: onGPUs("", ""), policy: policyWith(`bounds: {gpusPerPod: {max: 1}}`)}, resources: `{limits: {nvidia.com/gpu: 2}}`,
			report: "Refused: Deployment default/web (in.yaml)\n  * spec.template.spec.containers: Forbidden: asks for 2 GPUs per pod; policy platform allows at most 1 (bounds.gpusPerPod.max)\n"},
		"without a label and GPUs nothing counts": {in: run{in: deployment("", "replicas: 100"), policy: policyWith(`bounds: {maxScale: {max: 4}}`)}, replicas: int64(100)},
		"all its pods run at all times": {in: run{in: deployment(`labels: {kubetorch.com/autoscale: "false"}`, "replicas: 3"), policy: policyWith(`bounds: {minScale: {max: 2}}`)}, replicas: int64(3),
			report: "Refused: Deployment default/web (in.yaml)\n  * spec.replicas: Forbidden: asks for a min-scale of 3; policy platform allows at most 2 (bounds.minScale.max)\n"},
		"bounds on how an autoscaler behaves do not apply": {in: run{in: deployment(`labels: {kubetorch.com/compute: "true"}`, ""),
			policy: policyWith(`bounds: {autoscalerClasses: {allowed: [kpa]}, progressDeadline: {max: 1m}, scaleDownDelay: {max: 0s}}`)}},
		"replicas are clamped": {in: run{in: deployment(`labels: {kubetorch.com/compute: "true"}`, "replicas: 9"), policy: clamp}, replicas: int64(4),
			report: "Warning: Deployment default/web: replicas 9 lowered to 4 by policy platform (bounds.maxScale.max)\n"},
		"replicas are clamped by what GPUs they need": {in: run{in: onGPUs(`labels: {kubetorch.com/compute: "true"}`, "replicas: 9"), policy: clamp}, replicas: int64(3), resources: `{limits: {nvidia.com/gpu: 2}}`,
			report: "Warning: Deployment default/web: replicas 9 lowered to 3 by policy platform (bounds.gpusPerWorkload.max)\n"},
		"without a label nothing is clamped": {in: run{in: onGPUs("", "replicas: 9"), policy: clamp}, replicas: int64(9), resources: `{limits: {nvidia.com/gpu: 2}}`,
			report: "Refused: Deployment default/web (in.yaml)\n  * spec.replicas: Forbidden: asks for up to 9 pods; policy platform allows at most 4 (bounds.maxScale.max); replicas 3 fits\n" +
				"  * spec.replicas: Forbidden: asks for 18 GPUs (2 x 9 pods); policy platform allows at most 6 (bounds.gpusPerWorkload.max)\n"},
		"a label that was written as an annotation is warned of": {in: run{in: deployment(`labels: {kubetorch.com/compute: "true"}, annotations: {kubetorch.com/autoscale: "true"}`, "")},
			report: "Warning: Deployment default/web: metadata.annotations[kubetorch.com/autoscale] has no effect: it must be a label\n"},
	} {
		t.Run(name, func(t *testing.T) { c.check(t) })
	}
}

func (c fixed) check(t *testing.T) {
	t.Helper()
	outcomes, out, report := c.in.admit(t)
	assert.Equal(t, c.report, report)
	o := outcomes[0].Object
	assert.Equal(t, "Deployment", manifest.Text(o, "kind"))
	assert.Equal(t, c.replicas, manifest.At(o, "spec", "replicas"))
	pod := manifest.Map(o, "spec", "template", "spec")
	var resources any
	if c.resources != "" {
		resources = map[string]any(parsed(t, c.resources))
	}
	assert.Equal(t, resources, manifest.Objects(pod, "containers")[0]["resources"])
	rest := map[string]any{}
	for k, v := range pod {
		if k != "containers" {
			rest[k] = v
		}
	}
	if c.pod == nil {
		c.pod = map[string]any{}
	}
	assert.Equal(t, c.pod, rest)
	if strings.Contains(report, "Refused") {
		return
	}
	again := c.in
	again.in = out
	_, twice, _ := again.admit(t)
	assert.Equal(t, out, twice, "expanding what was expanded changes nothing")
}

func TestDeploymentsWithoutKnative(t *testing.T) {
	labelled := func(annotations string) string {
		return deployment(autoscaledLabel+", annotations: {"+annotations+"}", "replicas: 7")
	}
	stays := func(pods string) string {
		return "Warning: Deployment default/web: the cluster has no Knative, so this stays a Deployment of " + pods + " and is not autoscaled\n"
	}
	const refused = "Refused: Deployment default/web (in.yaml)\n  * "
	for name, c := range map[string]fixed{
		"one pod if nothing says more":       {in: run{in: labelled("")}, replicas: int64(1), report: stays("1 pod")},
		"initial-scale":                      {in: run{in: labelled(`autoscale.kubetorch.com/initial-scale: "3", autoscale.kubetorch.com/min-scale: "2"`)}, replicas: int64(3), report: stays("3 pods")},
		"else min-scale":                     {in: run{in: labelled(`autoscale.kubetorch.com/min-scale: "2"`)}, replicas: int64(2), report: stays("2 pods")},
		"at least one":                       {in: run{in: labelled(`autoscale.kubetorch.com/min-scale: "0"`)}, replicas: int64(1), report: stays("1 pod")},
		"a native annotation counts as much": {in: run{in: strings.Replace(labelled(""), "metadata: {labels: {app: web}}", `metadata: {labels: {app: web}, annotations: {autoscaling.knative.dev/min-scale: "4"}}`, 1)}, replicas: int64(4), report: stays("4 pods")},
		"a policy's defaults":                {in: run{in: labelled(""), policy: policyWith(`defaults: {autoscale: {initialScale: 2}}`)}, replicas: int64(2), report: stays("2 pods")},
		"what is stated before a policy's defaults": {in: run{in: labelled(`autoscale.kubetorch.com/min-scale: "3"`), policy: policyWith(`defaults: {autoscale: {initialScale: 2}}`)},
			replicas: int64(3), report: stays("3 pods")},
		"a default is lowered to bounds": {in: run{in: labelled(""), policy: policyWith(`defaults: {autoscale: {minScale: 5}}, bounds: {maxScale: {max: 4}, minScale: {max: 2}}`)}, replicas: int64(2), report: stays("2 pods")},
		"a default is lowered to max-scale": {in: run{in: labelled(`autoscale.kubetorch.com/max-scale: "2"`), policy: policyWith(`defaults: {autoscale: {minScale: 5}}`)},
			replicas: int64(2), report: stays("2 pods")},
		"what is stated is clamped": {in: run{in: labelled(`autoscale.kubetorch.com/min-scale: "9"`), policy: policyWith(`bounds: {maxScale: {max: 4, enforcement: Clamp}}`)}, replicas: int64(4),
			report: stays("4 pods") + "Warning: Deployment default/web: min-scale 9 lowered to 4 by policy platform (bounds.maxScale.max)\n"},
		"what is stated beyond a bound is refused": {in: run{in: labelled(`autoscale.kubetorch.com/min-scale: "9"`), policy: policyWith(`bounds: {maxScale: {max: 4}}`)}, replicas: int64(9),
			report: stays("9 pods") + refused + "spec.replicas: Forbidden: asks for up to 9 pods; policy platform allows at most 4 (bounds.maxScale.max); max-scale 4 fits, with a min-scale that is no larger\n"},
		"more than max-scale is refused": {in: run{in: labelled(`autoscale.kubetorch.com/min-scale: "3", autoscale.kubetorch.com/max-scale: "2"`)}, replicas: int64(2),
			report: stays("2 pods") + refused + "metadata.annotations[autoscale.kubetorch.com/min-scale]: Invalid value: \"3\": max-scale=2 is less than min-scale=3\n"},
		"a bad value is refused": {in: run{in: labelled(`autoscale.kubetorch.com/min-scale: few`)}, replicas: int64(1),
			report: stays("1 pod") + refused + "metadata.annotations[autoscale.kubetorch.com/min-scale]: Invalid value: \"few\": invalid value: few; allowed: a whole number from 0 to 2147483647\n"},
		"resources are filled in": {in: run{in: labelled(`compute.kubetorch.com/memory: 2Gi`)}, replicas: int64(1), resources: `{requests: {memory: 2Gi}}`, report: stays("1 pod")},
		"distributed computing is refused": {in: run{in: labelled(`compute.kubetorch.com/distribute: pytorch`)}, replicas: int64(1),
			report: stays("1 pod") + refused + "metadata.annotations[compute.kubetorch.com/distribute]: Invalid value: \"pytorch\": autoscaling and distributed computing are mutually exclusive\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c.in.noKnative = true
			c.check(t)
		})
	}
	t.Run("a Knative Service cannot do without", func(t *testing.T) {
		_, _, report := run{in: "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{image: acme/web:1}]}}}\n", noKnative: true}.admit(t)
		assert.Equal(t, "Warning: Service default/web: the cluster has no Knative, so this cannot be applied to it; only a Deployment can do without\n", report)
	})
}
