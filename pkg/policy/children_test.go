package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

const (
	threeByFour = `{metadata: {name: svc-00001, annotations: {autoscaling.knative.dev/max-scale: "3"}}, spec: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{resources: {limits: {nvidia.com/gpu: 4}}}]}}`
	twoByEight  = `{metadata: {name: svc-00002, annotations: {autoscaling.knative.dev/maxScale: "2"}}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 8}}}]}}`
	withoutGPUs = `{metadata: {name: svc-00003, annotations: {autoscaling.knative.dev/max-scale: "2"}}, spec: {containers: [{}]}}`
)

func gpus() workload.GPUResources { return policy.Compile(nil).GPUResources() }

// sumOf is what Demand.Claim has to equal.
func sumOf(parts []workload.Part) int64 {
	var sum int64
	for _, p := range parts {
		sum = workload.SaturatingAdd(sum, p.GPUs)
	}
	return sum
}

func TestPartsOfAService(t *testing.T) {
	const pinned = `{nodeSelector: {nvidia.com/gpu.product: A100}, containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`
	known := workload.Revisions{"svc-00001": read(threeByFour), "svc-00002": read(twoByEight), "svc-00003": read(withoutGPUs)}
	tests := map[string]struct {
		traffic   string
		elsewhere []string
		want      []workload.Part
	}{
		"the latest template": {traffic: `[{latestRevision: true, percent: 100}]`, want: []workload.Part{{GPUs: 5, Type: "A100"}}},
		"each revision by its own scale and type": {traffic: `[{revisionName: svc-00001}, {revisionName: svc-00002, tag: old}]`,
			want: []workload.Part{{GPUs: 5, Type: "A100"}, {Revision: "svc-00001", GPUs: 12, Type: "NVIDIA-L4"}, {Revision: "svc-00002", GPUs: 16}}},
		"one without GPUs is no part":              {traffic: `[{revisionName: svc-00003}]`, want: []workload.Part{{GPUs: 5, Type: "A100"}}},
		"one that is not known is like the latest": {traffic: `[{revisionName: svc-00009}]`, want: []workload.Part{{GPUs: 5, Type: "A100"}, {Revision: "svc-00009", GPUs: 5, Type: "A100"}}},
		"one that something else names":            {elsewhere: []string{"svc-00001"}, want: []workload.Part{{GPUs: 5, Type: "A100"}, {Revision: "svc-00001", GPUs: 12, Type: "NVIDIA-L4"}}},
		"named twice it counts once":               {traffic: `[{revisionName: svc-00001}]`, elsewhere: []string{"svc-00001"}, want: []workload.Part{{GPUs: 5, Type: "A100"}, {Revision: "svc-00001", GPUs: 12, Type: "NVIDIA-L4"}}},
		"a name counts beside latestRevision, as Knative's controller takes it": {traffic: `[{latestRevision: true, revisionName: svc-00001}]`,
			want: []workload.Part{{GPUs: 5, Type: "A100"}, {Revision: "svc-00001", GPUs: 12, Type: "NVIDIA-L4"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := service(`{autoscaling.knative.dev/max-scale: "5"}`, pinned)
			if test.traffic != "" {
				o["spec"].(manifest.Object)["traffic"] = read(`{v: ` + test.traffic + `}`)["v"]
			}
			d := workload.ServiceUsage(o, "", knative.Default(), gpus(), known, test.elsewhere...)
			assert.Equal(t, test.want, d.Parts)
			assert.Equal(t, sumOf(d.Parts), d.Claim)
		})
	}
	t.Run("a template with the name of a revision that exists, of another type, is of both types", func(t *testing.T) {
		o := service(`{autoscaling.knative.dev/max-scale: "5"}`, pinned)
		manifest.Map(o, "spec", "template", "metadata")["name"] = "svc-00001"
		parts := workload.ServiceUsage(o, "", knative.Default(), gpus(), known).Parts
		assert.EqualValues(t, 12, workload.Sum(parts))
		for gpuType, want := range map[string]int64{"A100": 5, "NVIDIA-L4": 12, "NVIDIA-H200": 0} {
			assert.Equal(t, want, workload.SumOf(parts, func(of string) bool { return of == gpuType || of == "" }), gpuType)
		}
	})
}

func TestPartsOfADeployment(t *testing.T) {
	d := workload.DeploymentUsage(read(`{spec: {replicas: 3, template: {spec: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}}}}`), workload.Controlled{}, gpus())
	assert.Equal(t, []workload.Part{{GPUs: 6, Type: "NVIDIA-L4"}}, d.Parts)
	assert.EqualValues(t, 6, d.Claim)
}

func TestConfigurationDemand(t *testing.T) {
	configuration := read(`{metadata: {name: svc}, spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "9999"}}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}}}}`)
	d := workload.ConfigurationUsage(configuration, knative.Default(), gpus(), nil)
	assert.Equal(t, []workload.Part{{GPUs: 19998}}, d.Parts)
	assert.Equal(t, "spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]", d.Paths[knative.MaxScaleKey].String())
	manifest.Map(configuration, "spec", "template", "metadata")["name"] = "svc-00002"
	manifest.Map(configuration, "spec", "template", "metadata", "annotations")["autoscaling.knative.dev/max-scale"] = "1"
	assert.Equal(t, []string{"svc-00002"}, workload.RevisionsToRead(configuration))
	d = workload.ConfigurationUsage(configuration, knative.Default(), gpus(), workload.Revisions{"svc-00002": read(twoByEight)})
	assert.EqualValues(t, 16, d.Claim, "a revision that exists keeps its own scale")
}

func TestRevisionDemand(t *testing.T) {
	d := workload.RevisionUsage(read(twoByEight), knative.Default(), gpus())
	assert.Equal(t, []workload.Part{{Revision: "svc-00002", GPUs: 16}}, d.Parts)
	assert.Equal(t, []int64{8, 2, 16}, []int64{d.GPUs.PerPod, d.PeakPods, d.Claim})
	assert.Equal(t, "metadata.annotations[autoscaling.knative.dev/maxScale]", d.Paths[knative.MaxScaleKey].String())
	d = workload.RevisionUsage(read(`{spec: {containers: [{resources: {limits: {nvidia.com/gpu: 500m}}}]}}`), knative.Default(), gpus())
	assert.Equal(t, []string{`spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "500m": must be a whole number of GPUs from 0 to 2147483647`}, texts(d.GPUs.Malformed))
}

func TestAutoscalerDemand(t *testing.T) {
	autoscaler := read(`{metadata: {annotations: {autoscaling.knative.dev/max-scale: "50"}}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: trainer}}}`)
	assert.Equal(t, "trainer", workload.ScaledDeployment(autoscaler))
	assert.Empty(t, workload.ScaledDeployment(read(`{spec: {scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: trainer}}}`)))

	target := read(`{spec: {replicas: 1, template: {spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}}}}`)
	d := workload.AutoscalerUsage(autoscaler, target, knative.Default(), gpus())
	assert.Equal(t, []workload.Part{{GPUs: 100}}, d.Parts, "the Deployment's GPUs times the PodAutoscaler's peak")
	assert.Empty(t, d.GPUs.Unknown)

	d = workload.AutoscalerUsage(autoscaler, nil, knative.Default(), gpus())
	assert.Zero(t, d.Claim)
	assert.Equal(t, []string{"spec.scaleTargetRef: Forbidden: names no Deployment that there is, and no Revision is seen to own this, so the GPUs of its pods cannot be counted"}, texts(d.GPUs.Unknown))

	d = workload.AutoscalerUsage(autoscaler, read(`{spec: {template: {spec: {containers: [{resources: {limits: {nvidia.com/gpu: 500m, foo.com/gpus: 1}}}]}}}}`), knative.Default(), gpus())
	assert.Equal(t, []string{`spec.scaleTargetRef: Invalid value: "500m": the Deployment's pods: containers[0].resources.limits[nvidia.com/gpu] must be a whole number of GPUs from 0 to 2147483647`}, texts(d.GPUs.Malformed))
	assert.Len(t, d.GPUs.Unknown, 1)
}

func TestRouteDemand(t *testing.T) {
	known := workload.Revisions{"svc-00001": read(threeByFour), "svc-00002": read(twoByEight)}
	configuration := read(`{metadata: {name: svc}, status: {latestCreatedRevisionName: svc-00002}}`)
	configuration["spec"] = manifest.Object{"template": read(twoByEight)}
	configurations := map[string]manifest.Object{"svc": configuration}
	first, second := workload.Part{Revision: "svc-00001", GPUs: 12, Type: "NVIDIA-L4"}, workload.Part{Revision: "svc-00002", GPUs: 16}
	tests := map[string]struct {
		route string
		want  []workload.Part
	}{
		"nothing":                                   {route: `{}`},
		"two revisions":                             {route: `{spec: {traffic: [{revisionName: svc-00001, percent: 50}, {revisionName: svc-00002, percent: 50}]}}`, want: []workload.Part{first, second}},
		"a tag without traffic":                     {route: `{spec: {traffic: [{revisionName: svc-00001, tag: old}]}}`, want: []workload.Part{first}},
		"one that only status names":                {route: `{spec: {traffic: [{revisionName: svc-00002}]}, status: {traffic: [{revisionName: svc-00001, percent: 100}]}}`, want: []workload.Part{first, second}},
		"a Configuration":                           {route: `{spec: {traffic: [{configurationName: svc, percent: 100}]}}`, want: []workload.Part{{GPUs: 16}}},
		"a Configuration and its own latest":        {route: `{spec: {traffic: [{configurationName: svc, percent: 100}, {revisionName: svc-00002, tag: now}]}}`, want: []workload.Part{{GPUs: 16}}},
		"a Configuration and an earlier revision":   {route: `{spec: {traffic: [{configurationName: svc, percent: 100}, {revisionName: svc-00001, tag: old}]}}`, want: []workload.Part{{GPUs: 16}, first}},
		"one that is not known is like the largest": {route: `{spec: {traffic: [{revisionName: svc-00001}, {revisionName: other}]}}`, want: []workload.Part{first, {Revision: "other", GPUs: 12, Type: "NVIDIA-L4"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := workload.RouteUsage(read(test.route), configurations, known, knative.Default(), gpus())
			assert.Equal(t, test.want, d.Parts)
			assert.Equal(t, sumOf(d.Parts), d.Claim)
		})
	}
	over := policy.Compile(policies(`{spec: {bounds: {maxScale: {max: 1}, gpusPerWorkload: {max: 20}, gpuTypes: {allowed: [H100]}}}}`)).For(policy.Subject{})
	v := over.Judge(workload.RouteUsage(read(tests["two revisions"].route), nil, known, knative.Default(), gpus()), nil)
	assert.Len(t, v.Denied, 1, "a Route has no pods of its own that other bounds could speak of")
	assert.Equal(t, "spec.traffic: Forbidden: asks for 28 GPUs over all that it names; policy platform allows at most 20 (bounds.gpusPerWorkload.max)", v.Denied[0].Error.Error())
}

func TestWithin(t *testing.T) {
	of := func(annotations, pod string) workload.Usage { return demand(service(annotations, pod)) }
	owner := of(`{autoscaling.knative.dev/max-scale: "5", autoscaling.knative.dev/min-scale: "1"}`, `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{resources: {limits: {nvidia.com/gpu: 2, cpu: 4, memory: 8Gi}}}]}`)
	const pod = `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{resources: {limits: {nvidia.com/gpu: 2, cpu: 4, memory: 8Gi}}}]}`
	const scale = `autoscaling.knative.dev/max-scale: "5", autoscaling.knative.dev/min-scale: "1"`
	for name, test := range map[string]struct {
		annotations, pod string
		want             bool
	}{
		"the same":                       {`{` + scale + `}`, pod, true},
		"less":                           {`{autoscaling.knative.dev/max-scale: "2"}`, `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`, true},
		"none, of any type":              {`{` + scale + `}`, `{containers: [{}]}`, true},
		"a higher peak":                  {`{autoscaling.knative.dev/max-scale: "6"}`, pod, false},
		"a peak through initial-scale":   {`{` + scale + `, autoscaling.knative.dev/initial-scale: "6"}`, pod, false},
		"more pods all the time":         {`{autoscaling.knative.dev/max-scale: "5", autoscaling.knative.dev/min-scale: "2"}`, pod, false},
		"more GPUs per pod":              {`{` + scale + `}`, `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{resources: {limits: {nvidia.com/gpu: 3}}}]}`, false},
		"GPUs of another type":           {`{` + scale + `}`, `{nodeSelector: {nvidia.com/gpu.product: H100}, containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}`, false},
		"GPUs of no type":                {`{` + scale + `}`, `{containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}`, false},
		"GPUs that cannot be counted":    {`{` + scale + `}`, `{containers: [{resources: {limits: {foo.com/gpus: 1}}}]}`, false},
		"half a GPU":                     {`{` + scale + `}`, `{containers: [{resources: {limits: {nvidia.com/gpu: 500m}}}]}`, false},
		"more CPUs":                      {`{` + scale + `}`, `{containers: [{resources: {limits: {cpu: 5}}}]}`, false},
		"more memory":                    {`{` + scale + `}`, `{containers: [{resources: {limits: {memory: 9Gi}}}]}`, false},
		"another class":                  {`{` + scale + `, autoscaling.knative.dev/class: hpa.autoscaling.knative.dev}`, pod, false},
		"a longer retention":             {`{` + scale + `, autoscaling.knative.dev/scale-to-zero-pod-retention-period: 10m}`, pod, false},
		"a longer scale-down delay":      {`{` + scale + `, autoscaling.knative.dev/scale-down-delay: 1m}`, pod, false},
		"a longer progress deadline":     {`{` + scale + `, serving.knative.dev/progress-deadline: 20m}`, pod, false},
		"pods without end, in one place": {`{}`, pod, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := of(test.annotations, test.pod)
			assert.Equal(t, test.want, d.Within(&owner))
		})
	}
}

func TestARevisionIsMeasuredLikeTheTemplateItIsMadeFrom(t *testing.T) {
	template := read(threeByFour)
	of := workload.ConfigurationUsage(manifest.Object{"spec": manifest.Object{"template": template}}, knative.Default(), gpus(), nil)
	revision := workload.RevisionUsage(template, knative.Default(), gpus())
	assert.True(t, revision.Within(&of))
	assert.True(t, of.Within(&revision))
	uncounted := read(`{metadata: {annotations: {autoscaling.knative.dev/max-scale: "1"}}, spec: {containers: [{resources: {limits: {foo.com/gpus: 1}}}]}}`)
	of = workload.ConfigurationUsage(manifest.Object{"spec": manifest.Object{"template": uncounted}}, knative.Default(), gpus(), nil)
	revision = workload.RevisionUsage(uncounted, knative.Default(), gpus())
	assert.True(t, revision.Within(&of), "the same that cannot be counted")
}
