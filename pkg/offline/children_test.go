package offline_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestKnativesOtherKindsAreJudgedOnly: expand says what admission would say of them, and
// leaves them as they are.
func TestKnativesOtherKindsAreJudgedOnly(t *testing.T) {
	const (
		pod       = `{containers: [{image: "a/b:v1", resources: {limits: {nvidia.com/gpu: 2}}}]}`
		config    = "apiVersion: serving.knative.dev/v1\nkind: Configuration\nmetadata: {name: app, uid: c-1}\nspec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: \"9\"}}, spec: " + pod + "}}\n"
		made      = "apiVersion: serving.knative.dev/v1\nkind: Revision\nmetadata: {name: app-00000, annotations: {autoscaling.knative.dev/max-scale: \"9\"}, ownerReferences: [{apiVersion: serving.knative.dev/v1, kind: Configuration, name: app, uid: c-1, controller: true}]}\nspec: " + pod + "\n"
		route     = "apiVersion: serving.knative.dev/v1\nkind: Route\nmetadata: {name: app}\nspec: {traffic: [{configurationName: app, percent: 100}, {revisionName: app-00000, tag: old}]}\n"
		scaler    = "apiVersion: autoscaling.internal.knative.dev/v1alpha1\nkind: PodAutoscaler\nmetadata: {name: app, annotations: {autoscaling.knative.dev/max-scale: \"9\"}}\nspec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n"
		web       = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: " + pod + "}}\n"
		elsewhere = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: other}\nspec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: " + pod + "}}\n"
	)
	for name, test := range map[string]struct {
		in, bounds, want string
	}{
		"a Configuration within bounds":                        {config, "gpusPerWorkload: {max: 18}", ""},
		"one above them":                                       {config, "maxScale: {max: 5}", "asks for up to 9 pods; policy p allows at most 5 (bounds.maxScale.max)"},
		"a Revision above them":                                {made, "maxScale: {max: 5}", "metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden"},
		"a Route to more than fits":                            {config + "---\n" + made + "---\n" + route, "gpusPerWorkload: {max: 20}", "spec.traffic: Forbidden: asks for 36 GPUs over all that it names"},
		"a PodAutoscaler beside its Deployment":                {web + "---\n" + scaler, "gpusPerWorkload: {max: 18}", ""},
		"one that starts too many of it":                       {web + "---\n" + scaler, "gpusPerWorkload: {max: 16}", "asks for 18 GPUs (2 x 9 pods)"},
		"one of a Deployment that is not in the input":         {scaler, "gpusPerWorkload: {max: 18}", "names no Deployment that there is"},
		"one of a Deployment of that name in another place":    {elsewhere + "---\n" + scaler, "gpusPerWorkload: {max: 18}", "names no Deployment that there is"},
		"nothing is judged where there is no bound to be kept": {config + "---\n" + made + "---\n" + route + "---\n" + scaler, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			outcomes, stdout, report := run{in: test.in, policy: "apiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {name: p}\nspec: {bounds: {" + test.bounds + "}}\n"}.admit(t)
			assert.Contains(t, report, test.want)
			assert.Equal(t, test.want == "", report == "", report)
			assert.Equal(t, test.in, stdout, "byte for byte")
			for _, o := range outcomes {
				assert.Empty(t, o.Verdict.Patch)
			}
		})
	}
}
