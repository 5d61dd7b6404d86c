package offline

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/knative"
)

const (
	boundedToOne = `
apiVersion: policy.kubetorch.com/v1alpha1
kind: ComputePolicy
metadata: {name: house}
spec: {bounds: {gpusPerPod: {max: 1}}}
`
	cardClass = `
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu.nvidia.com}
spec: {extendedResourceName: example.com/card}
`
	twoCards = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: inference}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/max-scale: "1"}}
    spec: {containers: [{image: "a/b:v1", resources: {limits: {example.com/card: 2}}}]}
`
)

func TestDeviceClassesOfTheInputDecideWhatCounts(t *testing.T) {
	parse := func(text string) []Document {
		docs, err := Parse("test", []byte(text))
		require.NoError(t, err)
		return docs
	}
	denied := func(policies, input string) []string {
		in, err := compile(parse(policies), nil)
		require.NoError(t, err)
		in.Knative = knative.Default()
		var texts []string
		for _, o := range Expand(parse(input), in) {
			for _, v := range o.Verdict.Denied {
				texts = append(texts, v.Error.Error())
			}
		}
		return texts
	}
	const refused = "spec.template.spec.containers: Forbidden: asks for 2 GPUs per pod; policy house allows at most 1 (bounds.gpusPerPod.max)"
	assert.Empty(t, denied(boundedToOne, twoCards), "nothing says what a card is")
	assert.Equal(t, []string{refused}, denied(boundedToOne, twoCards+"---"+cardClass), "a class among the manifests")
	assert.Equal(t, []string{refused}, denied(boundedToOne+"---"+cardClass, twoCards), "a class beside the policies, as for serve --standalone")
}

func TestGangsAreHeldAgainstBudgetsOffline(t *testing.T) {
	const budget = `
apiVersion: policy.kubetorch.com/v1alpha1
kind: GPUBudget
metadata: {name: all}
spec: {max: 63}
`
	gang := func(name, size string) string {
		return `
---
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: ` + name + `}
spec: {replicas: ` + size + `, leaderWorkerTemplate: {size: 8, workerTemplate: {spec: {containers: [{name: c, resources: {limits: {nvidia.com/gpu: 1}}}]}}}}
`
	}
	refused := func(input string) []string {
		policies, err := Parse("test", []byte(budget))
		require.NoError(t, err)
		in, err := compile(policies, nil)
		require.NoError(t, err)
		docs, err := Parse("test", []byte(input))
		require.NoError(t, err)
		var names []string
		for _, o := range Expand(docs, in) {
			if o.Verdict.Refused() {
				names = append(names, o.Title)
			}
		}
		return names
	}
	assert.Empty(t, refused(gang("seven", "7")), "56 GPUs")
	assert.Equal(t, []string{"LeaderWorkerSet default/eight"}, refused(gang("eight", "8")), "64 GPUs are one too many")
	assert.Equal(t, []string{"LeaderWorkerSet default/two"}, refused(gang("four", "4")+gang("two", "4")), "32 beside 32")
}

func TestExplainWordsPodsOfSeveralKinds(t *testing.T) {
	docs, err := Parse("test", []byte(`
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: ray}
spec: {headGroupSpec: {template: {spec: {containers: [{name: h, resources: {limits: {nvidia.com/gpu: 1}}}]}}}, workerGroupSpecs: [{replicas: 4, template: {spec: {containers: [{name: w, resources: {limits: {nvidia.com/gpu: 8}}}]}}}]}
`))
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, ExplainTable(&out, Expand(docs, Inputs{Knative: knative.Default()})))
	assert.Contains(t, out.String(), "claims 33 GPUs: 1 x 1 pod + 8 x 4 pods\n")
}
