package offline

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/knative"
)

// TestARefusalByABudgetNamesADefaultThatNobodyWrote: the author did not state a max-scale, and learns which parameter
// does.
func TestARefusalByABudgetNamesADefaultThatNobodyWrote(t *testing.T) {
	const isDefault = "; max-scale 10 is a default (built-in), and autoscale.kubetorch.com/max-scale sets another"
	service := func(labels, annotations, template string, native ...int) string {
		resources := ""
		for _, n := range native {
			resources = fmt.Sprintf(", resources: {limits: {nvidia.com/gpu: %d}}", n)
		}
		return `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: yolo, labels: {` + labels + `}, annotations: {` + annotations + `}}, spec: {template: {` + template +
			`spec: {containers: [{image: "registry.example.com/yolo:8", ports: [{containerPort: 8080}]` + resources + `}]}}}}`
	}
	const autoscale, gpu = `kubetorch.com/autoscale: "true"`, `compute.kubetorch.com/gpus: "1"`
	deployment := `{apiVersion: apps/v1, kind: Deployment, metadata: {name: yolo, labels: {` + autoscale + `}, annotations: {` + gpu + `}}, spec: {selector: {matchLabels: {a: b}},
		template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "registry.example.com/yolo:8", ports: [{containerPort: 8080}]}]}}}}`
	for name, test := range map[string]struct {
		object, policy string
		want           string
	}{
		"nobody stated it":                      {object: service(autoscale, gpu, ""), want: "asks for 10 GPUs (1 x 10 pods); 4 of 4 are free in budget b; max-scale 4 fits" + isDefault},
		"a Deployment":                          {object: deployment, want: "asks for 10 GPUs (1 x 10 pods); 4 of 4 are free in budget b; max-scale 4 fits" + isDefault},
		"none would fit":                        {object: service(autoscale, `compute.kubetorch.com/gpus: "8"`, ""), want: "asks for 80 GPUs (8 x 10 pods); 4 of 4 are free in budget b; one pod alone asks for 8, and 4 are free, so that no number of pods fits"},
		"no maximum":                            {object: service("", "", `metadata: {annotations: {}}, `, 1), want: "asks for unbounded GPUs (1 x unbounded pods); 4 of 4 are free in budget b; max-scale is absent, and so unlimited in Knative; max-scale 4 fits"},
		"a maximum of 0":                        {object: service("", "", `metadata: {annotations: {autoscaling.knative.dev/maxScale: "0"}}, `, 1), want: "asks for unbounded GPUs (1 x unbounded pods); 4 of 4 are free in budget b; autoscaling.knative.dev/maxScale 0 is unlimited in Knative; max-scale 4 fits"},
		"no maximum of pods that are too large": {object: service("", "", "", 8), want: "asks for unbounded GPUs (8 x unbounded pods); 4 of 4 are free in budget b; max-scale is absent, and so unlimited in Knative; one pod alone asks for 8, and 4 are free, so that no number of pods fits"},
		"a parameter states it": {object: service(autoscale, gpu+`, autoscale.kubetorch.com/max-scale: "10"`, ""),
			want: "asks for 10 GPUs (1 x 10 pods); 4 of 4 are free in budget b; max-scale 4 fits"},
		"the template states it": {object: service(autoscale, gpu, `metadata: {annotations: {autoscaling.knative.dev/max-scale: "10"}}, `),
			want: "asks for 10 GPUs (1 x 10 pods); 4 of 4 are free in budget b; max-scale 4 fits"},
		"with more at least than fits": {object: service(autoscale, gpu+`, autoscale.kubetorch.com/max-scale: "10", autoscale.kubetorch.com/min-scale: "5"`, ""),
			want: "asks for 10 GPUs (1 x 10 pods); 4 of 4 are free in budget b; max-scale 4 fits, with a min-scale that is no larger"},
		"a policy's default": {object: service(autoscale, gpu, ""), policy: `{apiVersion: policy.kubetorch.com/v1alpha1, kind: ComputePolicy, metadata: {name: house}, spec: {defaults: {autoscale: {maxScale: 7}}}}`,
			want: "asks for 7 GPUs (1 x 7 pods); 4 of 4 are free in budget b; max-scale 4 fits; max-scale 7 is a default (policy house), and autoscale.kubetorch.com/max-scale sets another"},
	} {
		t.Run(name, func(t *testing.T) {
			parse := func(text string) []Document {
				docs, err := Parse("test", []byte(text))
				require.NoError(t, err)
				return docs
			}
			in, err := compile(parse(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: b}, spec: {max: 4}}`+"\n---\n"+test.policy), nil)
			require.NoError(t, err)
			in.Knative = knative.Default()
			outcomes := Expand(parse(test.object), in)
			require.Len(t, outcomes, 1)
			require.Len(t, outcomes[0].Verdict.Denied, 1)
			assert.Equal(t, test.want+"; what the workloads of a cluster hold is not known here", outcomes[0].Verdict.Denied[0].Error.Detail)
		})
	}
}
