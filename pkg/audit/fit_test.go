package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/cluster"
)

// TestFindingsEndWithWhatWouldFit in the words of refusals, of objects as they are and as lists keep them.
func TestFindingsEndWithWhatWouldFit(t *testing.T) {
	const labelled = `, labels: {kubetorch.com/autoscale: "true"}`
	scaled := func(name string, gpus int, annotations string) string {
		return strings.Replace(ksvc(name, gpus, ""), `autoscaling.knative.dev/max-scale: "4"`, annotations, 1)
	}
	const most6, fewest = `{metadata: {name: p}, spec: {bounds: {gpusPerWorkload: {max: 6}}}}`, `; policy p allows at most 6 (bounds.gpusPerWorkload.max)`
	for name, c := range map[string]struct {
		policy  string
		objects []string
		want    []string
	}{
		"a Service": {most6, []string{ksvc("a", 2, "")}, []string{"Service a: asks for 8 GPUs (2 x 4 pods)" + fewest + "; max-scale 3 fits"}},
		"a Service, of its labels and parameters nothing": {most6, []string{ksvc("a", 2, labelled+`, annotations: {autoscale.kubetorch.com/max-scale: "2"}`)},
			[]string{"Service a: asks for 8 GPUs (2 x 4 pods)" + fewest + "; max-scale 3 fits"}},
		"a Service without a maximum, and another scale over it": {most6, []string{scaled("a", 2, `autoscaling.knative.dev/minScale: "5", autoscaling.knative.dev/initial-scale: "1"`)},
			[]string{"Service a: asks for unbounded GPUs (2 x unbounded pods)" + fewest + "; max-scale 3 fits, with a min-scale that is no larger"}},
		"a Service of which one pod is too much": {most6, []string{ksvc("a", 7, "")}, []string{"Service a: asks for 28 GPUs (7 x 4 pods)" + fewest}},
		"all bounds on pods, however they are enforced": {`{metadata: {name: p}, spec: {bounds: {gpusPerWorkload: {max: 6, enforcement: Audit}, maxScale: {max: 2, enforcement: Clamp}, gpusPerPod: {max: 1, enforcement: Warn}}}}`, []string{ksvc("a", 2, "")},
			[]string{"Service a: asks for 2 GPUs per pod; policy p allows at most 1 (bounds.gpusPerPod.max)", "Service a: asks for 8 GPUs (2 x 4 pods)" + fewest + "; max-scale 2 fits",
				"Service a: asks for up to 4 pods; policy p allows at most 2 (bounds.maxScale.max); max-scale 2 fits"}},
		"what something else refuses too": {`{metadata: {name: p}, spec: {bounds: {gpusPerWorkload: {max: 6}, gpusPerPod: {max: 1}}}}`, []string{ksvc("a", 2, "")},
			[]string{"Service a: asks for 2 GPUs per pod; policy p allows at most 1 (bounds.gpusPerPod.max)", "Service a: asks for 8 GPUs (2 x 4 pods)" + fewest}},
		"an earlier revision in traffic, which holds what it holds": {most6, []string{
			strings.Replace(ksvc("a", 1, ""), "spec: {template", "spec: {traffic: [{revisionName: a-1, percent: 100}], template", 1), revision("a-1", "Configuration/a", "u", 1, "")},
			[]string{"Service a: asks for 8 GPUs (1 x 4 pods, and 4 GPUs of other revisions in traffic)" + fewest + "; max-scale 2 fits"}},
		"a Deployment": {most6, []string{deployment("d", 2, 4, "")}, []string{"Deployment d: asks for 8 GPUs (2 x 4 pods)" + fewest + "; replicas 3 fits"}},
		"a Deployment that is to become a Service": {most6, []string{deployment("d", 2, 0, labelled+`, annotations: {autoscale.kubetorch.com/max-scale: "4"}`)},
			[]string{"Deployment d: asks for 8 GPUs (2 x 4 pods)" + fewest + "; max-scale 3 fits"}},
		"a StatefulSet": {most6, []string{templated("apps/v1", "StatefulSet", "s", 2, "replicas: 4,")}, []string{"StatefulSet s: asks for 8 GPUs (2 x 4 pods)" + fewest + "; replicas 3 fits"}},
		"a Job":         {most6, []string{templated("batch/v1", "Job", "j", 2, "parallelism: 9, completions: 5,")}, []string{"Job j: asks for 10 GPUs (2 x 5 pods)" + fewest + "; parallelism 3 fits"}},
		"a CronJob": {most6, []string{made("batch/v1", "CronJob", "c", "", `spec: {jobTemplate: {spec: {parallelism: 4, template: {`+podsOf(2)+`}}}}`)},
			[]string{"CronJob c: asks for 8 GPUs (2 x 4 pods)" + fewest + "; parallelism 3 fits"}},
		"a HorizontalPodAutoscaler": {most6, []string{templated("apps/v1", "StatefulSet", "target", 2, ""), autoscaler("h", "StatefulSet", 9)},
			[]string{"HorizontalPodAutoscaler h: asks for 18 GPUs (2 x 9 pods)" + fewest + "; maxReplicas 3 fits"}},
		"what has no number of pods": {most6, []string{pod("p", "", 8, "")}, []string{"Pod p: asks for 8 GPUs (8 x 1 pod)" + fewest}},
		"a message that is cut": {strings.Replace(most6, "name: p", "name: "+strings.Repeat("p", 240), 1), []string{ksvc("a", 2, "")},
			[]string{"Service a: asks for 8 GPUs (2 x 4 pods); policy " + strings.Repeat("p", 198) + "...; max-scale 3 fits"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(t, []string{c.policy}, c.objects...)
			for _, in.Objects = range [][]cluster.Item{in.Objects, kept(t, in.Objects)} {
				before := seen(t, in.Objects)
				var got []string
				for _, f := range audit.Run(in).Findings {
					got = append(got, f.Kind+" "+f.Name+": "+f.Message)
					assert.LessOrEqual(t, len(f.Message), 256)
				}
				assert.Equal(t, c.want, got)
				assert.Equal(t, before, seen(t, in.Objects), "nothing is touched")
			}
		})
	}
}

func TestWithoutKnativeALabelledDeploymentHasItsOwnNumber(t *testing.T) {
	in := input(t, []string{`{metadata: {name: p}, spec: {bounds: {gpusPerWorkload: {max: 6}}}}`},
		deployment("d", 2, 4, `, labels: {kubetorch.com/autoscale: "true"}, annotations: {autoscale.kubetorch.com/max-scale: "9"}`))
	in.Served = false
	r := audit.Run(in)
	require.Len(t, r.Findings, 1)
	assert.Equal(t, "asks for 8 GPUs (2 x 4 pods); policy p allows at most 6 (bounds.gpusPerWorkload.max); replicas 3 fits", r.Findings[0].Message)
}

// TestTheOneWithoutAMaximumIsToldWhatABudgetLeavesIt beside all others, and within the bounds.
func TestTheOneWithoutAMaximumIsToldWhatABudgetLeavesIt(t *testing.T) {
	endless := func(name string) string {
		return strings.Replace(ksvc(name, 2, ""), `max-scale: "4"`, `max-scale: "0"`, 1)
	}
	for name, c := range map[string]struct {
		budget, policy string
		objects        []string
		want           []string
	}{
		"what is left":                  {"{max: 20}", "{}", []string{endless("a"), deployment("d", 3, 2, "")}, []string{"a: give it a max-scale; max-scale 7 fits"}},
		"what is left to the namespace": {"{max: 20, maxPerNamespace: 11}", "{}", []string{endless("a"), deployment("d", 3, 2, "")}, []string{"a: give it a max-scale; max-scale 2 fits"}},
		"within a bound":                {"{max: 20}", "{maxScale: {max: 5}}", []string{endless("a"), deployment("d", 3, 2, "")}, []string{"a: give it a max-scale; max-scale 5 fits"}},
		"nothing":                       {"{max: 6}", "{}", []string{endless("a"), deployment("d", 3, 2, "")}, []string{"a: give it a max-scale"}},
		"two that take all":             {"{max: 20}", "{}", []string{endless("a"), endless("b")}, []string{"a: give it a max-scale", "b: give it a max-scale"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b v1alpha1.GPUBudget
			require.NoError(t, yaml.UnmarshalStrict([]byte("{metadata: {name: shared}, spec: "+c.budget+"}"), &b))
			found, _ := audit.Budgets(input(t, []string{"{metadata: {name: p}, spec: {bounds: " + c.policy + "}}"}, c.objects...), []v1alpha1.GPUBudget{b})
			var got []string
			for _, f := range found {
				if text, ok := strings.CutPrefix(f.Message, "asks for GPUs without a maximum of pods: its claim is unbounded and leaves nothing of budget shared to others; "); ok {
					got = append(got, f.Name+": "+text)
				}
			}
			assert.Equal(t, c.want, got)
		})
	}
}

// TestWhatWouldFitIsTriedOutForAThousandObjectsOfAPolicy, the first ones: an audit takes no multiple of its time.
func TestWhatWouldFitIsTriedOutForAThousandObjectsOfAPolicy(t *testing.T) {
	var texts []string
	for i := range 1010 {
		texts = append(texts, ksvc(fmt.Sprintf("app-%04d", i), 2, ""))
	}
	in := input(t, []string{`{metadata: {name: all}, spec: {bounds: {gpusPerWorkload: {max: 6}, maxScale: {max: 3}}}}`,
		`{metadata: {name: some}, spec: {bounds: {maxScale: {max: 2}}}}`}, texts...)
	said := map[string]int{}
	for _, f := range audit.Run(in).Findings {
		if strings.HasSuffix(f.Message, "; max-scale 2 fits") {
			said[f.Policy]++
			assert.Less(t, f.Name, "app-1000")
		}
	}
	assert.Equal(t, map[string]int{"all": 2000, "some": 1000}, said)
}
