// Earlier revisions that traffic keeps running.

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

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
		revisions            workload.Revisions
		want                 int64
		warnings             []string
	}{
		"the latest template alone":                        {spec: `[{latestRevision: true, percent: 100}]`, want: 20},
		"no traffic at all is the latest":                  {want: 20},
		"M16 an old revision in traffic, by its own scale": {spec: `[{latestRevision: true, percent: 100}, {revisionName: inference-00001, tag: old}]`, revisions: workload.Revisions{"inference-00001": read(old)}, want: 20 + 12},
		"an old revision in the status":                    {spec: `[{latestRevision: true, percent: 100}]`, status: `[{revisionName: inference-00001, percent: 100}]`, revisions: workload.Revisions{"inference-00001": read(old)}, want: 20 + 12},
		"named in both it counts once":                     {spec: `[{revisionName: inference-00001}]`, status: `[{revisionName: inference-00001, tag: old}]`, revisions: workload.Revisions{"inference-00001": read(old)}, want: 20 + 12},
		"a tag without traffic counts":                     {spec: `[{latestRevision: true, percent: 100}, {revisionName: inference-00001, percent: 0, tag: t}]`, revisions: workload.Revisions{"inference-00001": read(old)}, want: 32},
		"without GPUs it claims none":                      {spec: `[{revisionName: inference-00001}]`, revisions: workload.Revisions{"inference-00001": read(idle)}, want: 20},
		"one that is not known counts like the latest":     {spec: `[{revisionName: inference-00007, percent: 100}]`, want: 40, warnings: []string{unknown("inference-00007")}},
		"two that are not known":                           {spec: `[{revisionName: a}, {revisionName: b}]`, want: 60, warnings: []string{unknown("a"), unknown("b")}},
		"the revision that the template made already":      {spec: `[{revisionName: inference-00002}]`, latest: "inference-00002", revisions: workload.Revisions{"inference-00002": same}, want: 20},
		"an earlier one that Knative still calls latest":   {spec: `[{revisionName: inference-00001}]`, latest: "inference-00001", revisions: workload.Revisions{"inference-00001": read(idle)}, want: 20},
		"an earlier one with GPUs, likewise":               {spec: `[{revisionName: inference-00001}]`, latest: "inference-00001", revisions: workload.Revisions{"inference-00001": earlier}, want: 20 + 16},
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
			d := workload.ServiceUsage(o, test.latest, knative.Default(), workload.BuiltInGPUResources, test.revisions)
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
