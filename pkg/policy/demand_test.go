package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
)

const onePod = `{containers: [{resources: {limits: {nvidia.com/gpu: 4}}}]}`

func TestPeakPods(t *testing.T) {
	for _, text := range []string{"0", "", "-1", " 5", "5 ", "+5", "5e0", "٥", "2147483648", "9223372036854775808", "abc"} {
		d := demand(service(`{autoscaling.knative.dev/max-scale: "`+text+`"}`, onePod))
		assert.Equal(t, int64(policy.Unbounded), d.PeakPods, "max-scale %q is never small", text)
		assert.Equal(t, int64(policy.Unbounded), d.Claim, "max-scale %q", text)
	}
	tests := map[string]struct {
		annotations string
		config      []string
		want        int64
	}{
		"max-scale bounds":                         {annotations: `{autoscaling.knative.dev/max-scale: "5"}`, want: 5},
		"leading zeros do no harm":                 {annotations: `{autoscaling.knative.dev/max-scale: "007"}`, want: 7},
		"an absent max-scale is unbounded":         {annotations: `{}`, want: policy.Unbounded},
		"an absent max-scale is the cluster's":     {annotations: `{}`, config: []string{"max-scale", "6"}, want: 6},
		"0 is unbounded whatever the cluster says": {annotations: `{autoscaling.knative.dev/max-scale: "0"}`, config: []string{"max-scale", "6"}, want: policy.Unbounded},
		"initial-scale above max-scale counts":     {annotations: `{autoscaling.knative.dev/max-scale: "5", autoscaling.knative.dev/initial-scale: "9"}`, want: 9},
		"min-scale above max-scale counts":         {annotations: `{autoscaling.knative.dev/max-scale: "5", autoscaling.knative.dev/min-scale: "8"}`, want: 8},
		"the cluster's initial-scale counts":       {annotations: `{autoscaling.knative.dev/max-scale: "2"}`, config: []string{"initial-scale", "4"}, want: 4},
		"the cluster's min-scale counts":           {annotations: `{autoscaling.knative.dev/max-scale: "2"}`, config: []string{"min-scale", "3"}, want: 3},
		"an unreadable initial-scale is unbounded": {annotations: `{autoscaling.knative.dev/max-scale: "2", autoscaling.knative.dev/initial-scale: "99999999999"}`, want: policy.Unbounded},
		// Knative's autoscaler applies max-scale after it, whatever its webhook was told.
		"activation-scale above max-scale starts no more": {annotations: `{autoscaling.knative.dev/max-scale: "5", autoscaling.knative.dev/activation-scale: "9"}`, want: 5},
		"camelCase alone is read":                         {annotations: `{autoscaling.knative.dev/maxScale: "5", autoscaling.knative.dev/minScale: "1", autoscaling.knative.dev/initialScale: "6"}`, want: 6},
		"the canonical spelling wins":                     {annotations: `{autoscaling.knative.dev/max-scale: "5", autoscaling.knative.dev/maxScale: "2"}`, want: 5},
		"even where it is smaller":                        {annotations: `{autoscaling.knative.dev/max-scale: "2", autoscaling.knative.dev/maxScale: "5"}`, want: 2},
		"hpa is counted by max-scale":                     {annotations: `{autoscaling.knative.dev/class: hpa.autoscaling.knative.dev, autoscaling.knative.dev/max-scale: "5"}`, want: 5},
		"hpa without max-scale is unbounded":              {annotations: `{autoscaling.knative.dev/class: hpa.autoscaling.knative.dev}`, want: policy.Unbounded},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := policy.ServiceDemand(service(test.annotations, onePod), "", config(t, test.config...), policy.BuiltInGPUResources, nil)
			assert.Equal(t, test.want, d.PeakPods)
			assert.Equal(t, policy.SaturatingMul(4, test.want), d.Claim)
		})
	}
}

func TestEverySpellingIsRead(t *testing.T) {
	for key, value := range map[string]string{knative.MaxScaleKey: "3", knative.MinScaleKey: "4", knative.InitialScaleKey: "5", knative.RetentionKey: "6s", knative.ScaleDownDelayKey: "7s"} {
		spellings := knative.Spellings(key)
		assert.Len(t, spellings, 2, key)
		for _, spelling := range spellings {
			base := `{autoscaling.knative.dev/max-scale: "1"}`
			if key == knative.MaxScaleKey {
				base = `{}`
			}
			o := service(base, onePod)
			manifest.Map(o, "spec", "template", "metadata", "annotations")[spelling] = value
			d := demand(o)
			got := map[string]any{knative.MaxScaleKey: d.PeakPods, knative.MinScaleKey: d.MinScale, knative.InitialScaleKey: d.PeakPods, knative.RetentionKey: d.Retention, knative.ScaleDownDelayKey: d.ScaleDownDelay}[key]
			want := map[string]any{knative.MaxScaleKey: int64(3), knative.MinScaleKey: int64(4), knative.InitialScaleKey: int64(5), knative.RetentionKey: 6 * time.Second, knative.ScaleDownDelayKey: 7 * time.Second}[key]
			assert.Equal(t, want, got, spelling)
			assert.Equal(t, "spec.template.metadata.annotations["+spelling+"]", d.Paths[key].String())
		}
	}
}

func TestClaimOverTraffic(t *testing.T) {
	const old = `{metadata: {annotations: {autoscaling.knative.dev/max-scale: "3", autoscaling.knative.dev/min-scale: "2"}}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 4}}}]}}`
	const idle = `{metadata: {annotations: {}}, spec: {containers: [{}]}}`
	same := service(`{autoscaling.knative.dev/max-scale: "5"}`, onePod)["spec"].(manifest.Object)["template"].(manifest.Object)
	earlier := service(`{autoscaling.knative.dev/max-scale: "5", autoscaling.knative.dev/min-scale: "1"}`, onePod)["spec"].(manifest.Object)["template"].(manifest.Object)
	manifest.Map(earlier, "metadata", "annotations")["autoscaling.knative.dev/max-scale"] = "4"
	unknown := func(name string) string {
		return "traffic names revision " + name + ", which is not known here; it is counted like the latest template"
	}
	tests := map[string]struct {
		spec, status, latest string
		revisions            policy.Revisions
		want                 int64
		warnings             []string
	}{
		"the latest template alone":                        {spec: `[{latestRevision: true, percent: 100}]`, want: 20},
		"no traffic at all is the latest":                  {want: 20},
		"M16 an old revision in traffic, by its own scale": {spec: `[{latestRevision: true, percent: 100}, {revisionName: inference-00001, tag: old}]`, revisions: policy.Revisions{"inference-00001": read(old)}, want: 20 + 12},
		"an old revision in the status":                    {spec: `[{latestRevision: true, percent: 100}]`, status: `[{revisionName: inference-00001, percent: 100}]`, revisions: policy.Revisions{"inference-00001": read(old)}, want: 20 + 12},
		"named in both it counts once":                     {spec: `[{revisionName: inference-00001}]`, status: `[{revisionName: inference-00001, tag: old}]`, revisions: policy.Revisions{"inference-00001": read(old)}, want: 20 + 12},
		"a tag without traffic counts":                     {spec: `[{latestRevision: true, percent: 100}, {revisionName: inference-00001, percent: 0, tag: t}]`, revisions: policy.Revisions{"inference-00001": read(old)}, want: 32},
		"without GPUs it claims none":                      {spec: `[{revisionName: inference-00001}]`, revisions: policy.Revisions{"inference-00001": read(idle)}, want: 20},
		"one that is not known counts like the latest":     {spec: `[{revisionName: inference-00007, percent: 100}]`, want: 40, warnings: []string{unknown("inference-00007")}},
		"two that are not known":                           {spec: `[{revisionName: a}, {revisionName: b}]`, want: 60, warnings: []string{unknown("a"), unknown("b")}},
		"the revision that the template made already":      {spec: `[{revisionName: inference-00002}]`, latest: "inference-00002", revisions: policy.Revisions{"inference-00002": same}, want: 20},
		"an earlier one that Knative still calls latest":   {spec: `[{revisionName: inference-00001}]`, latest: "inference-00001", revisions: policy.Revisions{"inference-00001": read(idle)}, want: 20},
		"an earlier one with GPUs, likewise":               {spec: `[{revisionName: inference-00001}]`, latest: "inference-00001", revisions: policy.Revisions{"inference-00001": earlier}, want: 20 + 16},
		"the status's latest is not another one":           {status: `[{latestRevision: true, revisionName: inference-00002, percent: 100}]`, want: 20},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := service(`{autoscaling.knative.dev/max-scale: "5"}`, onePod)
			for part, text := range map[string]string{"spec": test.spec, "status": test.status} {
				if text == "" {
					continue
				}
				if o[part] == nil {
					o[part] = manifest.Object{}
				}
				o[part].(manifest.Object)["traffic"] = read("{v: " + text + "}")["v"]
			}
			d := policy.ServiceDemand(o, test.latest, knative.Default(), policy.BuiltInGPUResources, test.revisions)
			assert.Equal(t, test.want, d.Claim)
			assert.Equal(t, test.warnings, d.Warnings)
		})
	}
	t.Run("a template with the traffic's own name is not another one", func(t *testing.T) {
		o := service(`{autoscaling.knative.dev/max-scale: "5"}`, onePod)
		manifest.Map(o, "spec", "template", "metadata")["name"] = "inference-blue"
		o["spec"].(manifest.Object)["traffic"] = read(`{v: [{revisionName: inference-blue}]}`)["v"]
		assert.Equal(t, int64(20), demand(o).Claim)
	})
}

func TestDemandOfOnePod(t *testing.T) {
	withDefaults, err := knative.ParseConfig(map[string]map[string]string{knative.DefaultsConfig: {"revision-cpu-limit": "3", "revision-memory-request": "2Gi"},
		knative.AutoscalerConfig: {"scale-down-delay": "15s", "scale-to-zero-pod-retention-period": "30s", "pod-autoscaler-class": "hpa.autoscaling.knative.dev"}, knative.DeploymentConfig: {"progress-deadline": "20m"}})
	assert.NoError(t, err)
	tests := map[string]struct {
		annotations, pod string
		at               *knative.Config
		cpus, memory     string
	}{
		"the larger of limits and requests, over all containers": {pod: `{containers: [{resources: {limits: {cpu: 2}, requests: {cpu: 500m, memory: 1Gi}}}, {resources: {requests: {cpu: 1, memory: 1Gi}}}]}`, cpus: "3", memory: "2Gi"},
		"the cluster's defaults fill in":                         {pod: `{containers: [{}]}`, at: withDefaults, cpus: "3", memory: "2Gi"},
		"a larger init container":                                {pod: `{initContainers: [{resources: {requests: {memory: 8Gi}}}], containers: [{resources: {requests: {memory: 1Gi}}}]}`, cpus: "0", memory: "8Gi"},
		"the queue proxy as far as annotations set it": {pod: `{containers: [{resources: {requests: {cpu: 1}}}]}`, cpus: "3", memory: "4Gi",
			annotations: `{queue.sidecar.serving.knative.dev/cpu-resource-request: "1", queue.sidecar.serving.knative.dev/cpu-resource-limit: "2", queue.sidecar.serving.knative.dev/memory-resource-limit: 4Gi}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.at == nil {
				test.at = knative.Default()
			}
			if test.annotations == "" {
				test.annotations = "{}"
			}
			d := policy.ServiceDemand(service(test.annotations, test.pod), "", test.at, nil, nil)
			cpus, memory := resource.MustParse(test.cpus), resource.MustParse(test.memory)
			assert.Zero(t, cpus.Cmp(d.CPUs), d.CPUs.String())
			assert.Zero(t, memory.Cmp(d.Memory), d.Memory.String())
		})
	}
	t.Run("what the cluster uses where the template says nothing", func(t *testing.T) {
		d := policy.ServiceDemand(service(`{}`, `{}`), "", withDefaults, nil, nil)
		assert.Equal(t, []any{15 * time.Second, 30 * time.Second, 20 * time.Minute, "hpa.autoscaling.knative.dev"}, []any{d.ScaleDownDelay, d.Retention, d.ProgressDeadline, d.Class})
	})
	t.Run("a duration that cannot be read is never short", func(t *testing.T) {
		d := demand(service(`{autoscaling.knative.dev/scale-down-delay: soon}`, `{}`))
		assert.Equal(t, time.Duration(policy.Unbounded), d.ScaleDownDelay)
	})
}
