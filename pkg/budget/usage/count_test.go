package usage

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/cluster/clustertest"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// The objects of one Service, whose pods have 2 GPUs each, as Knative keeps them.
const (
	serviceText = `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: svc, namespace: a, uid: 00000000-0000-4000-8000-000000000001, generation: 2},
  spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "4"}}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}}},
  status: {observedGeneration: 2, latestCreatedRevisionName: svc-00002}}`
	configurationText = `{apiVersion: serving.knative.dev/v1, kind: Configuration, metadata: {name: svc, namespace: a, uid: c1, generation: 2, ownerReferences: [{apiVersion: serving.knative.dev/v1, kind: Service, name: svc, uid: 00000000-0000-4000-8000-000000000001, controller: true}]},
  spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "4"}}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}}},
  status: {latestCreatedRevisionName: svc-00002}}`
	revisionText = `{apiVersion: serving.knative.dev/v1, kind: Revision, metadata: {name: svc-00002, namespace: a, uid: r2, annotations: {autoscaling.knative.dev/max-scale: "4"}, ownerReferences: [{apiVersion: serving.knative.dev/v1, kind: Configuration, name: svc, uid: c1, controller: true}]},
  spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}, status: {}}`
	autoscalerText = `{apiVersion: autoscaling.internal.knative.dev/v1alpha1, kind: PodAutoscaler, metadata: {name: svc-00002, namespace: a, uid: p2, annotations: {autoscaling.knative.dev/max-scale: "4"}, ownerReferences: [{apiVersion: serving.knative.dev/v1, kind: Revision, name: svc-00002, uid: r2, controller: true}]},
  spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: svc-00002-deployment}}}`
	podsText = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: svc-00002-deployment, namespace: a, uid: d2, ownerReferences: [{apiVersion: serving.knative.dev/v1, kind: Revision, name: svc-00002, uid: r2, controller: true}]},
  spec: {replicas: 3, template: {spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}}}}`
	routeText = `{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: svc, namespace: a, uid: t1, ownerReferences: [{apiVersion: serving.knative.dev/v1, kind: Service, name: svc, uid: 00000000-0000-4000-8000-000000000001, controller: true}]},
  spec: {traffic: [{configurationName: svc, percent: 100}]}}`
	deploymentText = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: trainer, namespace: a, uid: d1}, spec: {replicas: 3, template: {spec: {containers: [{resources: {limits: {nvidia.com/gpu: 8}}}]}}}}`
	labelledText   = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: plan, namespace: a, uid: d3, labels: {kubetorch.com/autoscale: "true"}, annotations: {compute.kubetorch.com/gpus: "1", autoscale.kubetorch.com/max-scale: "5"}},
  spec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx:1}]}}}}`
)

func sub(text string, replacements ...string) string {
	return strings.NewReplacer(replacements...).Replace(text)
}

func objects(t *testing.T, texts ...string) *cluster.Objects {
	t.Helper()
	o := &cluster.Objects{Namespaces: map[string]map[string]string{"a": {}}, Knative: true}
	for _, text := range texts {
		raw, err := yaml.YAMLToJSON([]byte(text))
		require.NoError(t, err)
		object, err := manifest.Decode(raw)
		require.NoError(t, err)
		into := o.Of(workload.KindOf(object))
		require.NotNil(t, into, text)
		*into = append(*into, cluster.Of(object))
	}
	return o
}

func world() review.World {
	return review.World{Policies: policy.Compile(nil), Knative: knative.Default(), Cluster: &review.Cluster{Knative: true},
		NamespaceLabels: func(string) (map[string]string, bool) { return nil, true }}
}

type sums struct{ gpus, overlap int64 }

// counted is what each object claims, by kind and name.
func counted(all []Claimant) map[string]sums {
	n := map[string]sums{}
	for _, c := range all {
		s := n[c.Kind+" "+c.Name]
		for _, p := range c.Parts {
			s.gpus = workload.SaturatingAdd(s.gpus, p.GPUs)
		}
		for _, p := range c.Overlap {
			s.overlap = workload.SaturatingAdd(s.overlap, p.GPUs)
		}
		if s != (sums{}) {
			n[c.Kind+" "+c.Name] = s
		}
	}
	return n
}

func TestAll(t *testing.T) {
	family := []string{serviceText, configurationText, revisionText, autoscalerText, podsText, routeText}
	earlier := sub(revisionText, "svc-00002", "svc-00001", "r2", "r1")
	for name, test := range map[string]struct {
		objects []string
		want    map[string]sums
	}{
		"a Service and all that Knative made of it is one claim": {family, map[string]sums{"Service svc": {gpus: 8}}},
		"an earlier revision with pods is overlap":               {append(family, earlier), map[string]sums{"Service svc": {8, 8}}},
		"one without GPUs is nothing":                            {append(family, sub(earlier, "gpu: 2", "gpu: 0")), map[string]sums{"Service svc": {gpus: 8}}},
		"one that was seen without pods is nothing": {
			append(family, sub(earlier, "status: {}", "status: {actualReplicas: 0, conditions: [{type: Active, status: \"False\"}]}")), map[string]sums{"Service svc": {gpus: 8}}},
		"one that is active, with no pods yet, is overlap": {
			append(family, sub(earlier, "status: {}", "status: {actualReplicas: 0, conditions: [{type: Active, status: \"True\"}]}")), map[string]sums{"Service svc": {8, 8}}},
		"one that traffic names is part of the claim": {
			append([]string{sub(serviceText, "spec: {template", "spec: {traffic: [{revisionName: svc-00001, tag: old}], template"), earlier}, family[1:]...), map[string]sums{"Service svc": {gpus: 16}}},
		"one without pods that somebody's Route names can have them at any time": {
			append(family, sub(earlier, "status: {}", "status: {conditions: [{type: Active, status: \"False\"}]}"),
				`{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: mine, namespace: a, uid: t2}, spec: {traffic: [{revisionName: svc-00001, percent: 100}]}}`),
			map[string]sums{"Service svc": {8, 8}}},
		"one that still has the traffic since the latest never got ready, too": {
			append([]string{sub(serviceText, "latestCreatedRevisionName: svc-00002", "latestCreatedRevisionName: svc-00002, traffic: [{revisionName: svc-00001, latestRevision: true, percent: 100}]"),
				sub(earlier, "status: {}", "status: {conditions: [{type: Active, status: \"False\"}]}")}, family[1:]...), map[string]sums{"Service svc": {8, 8}}},
		"one that gets it when traffic goes to the latest that is ready, too": {
			append([]string{serviceText, sub(configurationText, "latestCreatedRevisionName: svc-00002", "latestCreatedRevisionName: svc-00002, latestReadyRevisionName: svc-00001"),
				sub(earlier, "status: {}", "status: {conditions: [{type: Active, status: \"False\"}]}")}, family[2:]...), map[string]sums{"Service svc": {8, 8}}},
		"pods of one that is seen without them are claimed": {
			append(family, sub(earlier, "status: {}", "status: {conditions: [{type: Active, status: \"False\"}]}"), sub(podsText, "svc-00002", "svc-00001", "uid: r2", "uid: r1", "d2", "d9")),
			map[string]sums{"Service svc": {gpus: 14}}},
		"what traffic names of others counts where it belongs, once": {
			append([]string{sub(serviceText, "spec: {template", "spec: {traffic: [{revisionName: other-00001, tag: x}, {revisionName: missing, tag: y}], template"),
				sub(revisionText, "svc-00002", "other-00001", "uid: r2", "uid: r9", "uid: c1", "uid: c9")}, family[1:]...),
			map[string]sums{"Service svc": {gpus: 8}, "Revision other-00001": {gpus: 8}}},
		"a Revision that was raised behind its owner counts by itself": {
			append([]string{serviceText, configurationText, sub(revisionText, `"4"`, `"50"`)}, family[3:]...), map[string]sums{"Service svc": {gpus: 8}, "Revision svc-00002": {gpus: 100}}},
		"a second Configuration of a Service counts by itself": {
			append(family, sub(configurationText, "name: svc, namespace", "name: other, namespace", "uid: c1", "uid: c2")), map[string]sums{"Service svc": {gpus: 8}, "Configuration other": {gpus: 8}}},
		"a Configuration with an owner that is not there counts by itself": {
			[]string{configurationText}, map[string]sums{"Configuration svc": {gpus: 8}}},
		"so does one whose owner has another UID": {
			[]string{serviceText, sub(configurationText, "000000000001, controller", "000000000009, controller")}, map[string]sums{"Service svc": {gpus: 8}, "Configuration svc": {gpus: 8}}},
		"and one that asks for more than its owner": {
			[]string{serviceText, sub(configurationText, `"4"`, `"5"`)}, map[string]sums{"Service svc": {gpus: 8}, "Configuration svc": {gpus: 10}}},
		"and one of whose type no budget knows, unlike its owner's": {
			[]string{sub(serviceText, "containers", "nodeSelector: {nvidia.com/gpu.product: \"true\"}, containers"), sub(configurationText, "containers", "nodeSelector: {gpu: \"true\"}, containers")},
			map[string]sums{"Service svc": {gpus: 8}, "Configuration svc": {gpus: 8}}},
		"a Revision without an owner counts by itself": {[]string{revisionText}, map[string]sums{"Revision svc-00002": {gpus: 8}}},
		"a PodAutoscaler without a Revision counts what it scales": {
			[]string{deploymentText, sub(autoscalerText, "svc-00002-deployment", "trainer")}, map[string]sums{"Deployment trainer": {gpus: 24}, "PodAutoscaler svc-00002": {gpus: 32}}},
		"one of a Revision that scales something else, too": {
			[]string{revisionText, sub(autoscalerText, "svc-00002-deployment", "other"), sub(podsText, "name: svc-00002-deployment", "name: other", "ownerReferences", "finalizers: [], more")},
			map[string]sums{"Revision svc-00002": {gpus: 8}, "PodAutoscaler svc-00002": {gpus: 8}, "Deployment other": {gpus: 6}}},
		"a Deployment that only says a Revision made it counts by itself": {[]string{podsText}, map[string]sums{"Deployment svc-00002-deployment": {gpus: 6}}},
		"a Deployment of fixed size":                                      {[]string{deploymentText}, map[string]sums{"Deployment trainer": {gpus: 24}}},
		"one that is to become a Service":                                 {[]string{labelledText}, map[string]sums{"Deployment plan": {gpus: 5}}},
		"its own pods beside that":                                        {[]string{sub(labelledText, "replicas: 0", "replicas: 3", "image: nginx:1", "image: nginx:1, resources: {limits: {nvidia.com/gpu: 1}}")}, map[string]sums{"Deployment plan": {gpus: 8}}},
		"a Service without a limit to its scale": {
			[]string{sub(serviceText, `"4"`, `"0"`)}, map[string]sums{"Service svc": {gpus: workload.Unbounded}}},
		"no GPUs, no claim": {[]string{sub(serviceText, "gpu: 2", "gpu: 0"), sub(deploymentText, "gpu: 8", "gpu: 0")}, map[string]sums{}},
	} {
		t.Run(name, func(t *testing.T) {
			full := objects(t, test.objects...)
			assert.Equal(t, test.want, counted(All(world(), full)))
			var listed []manifest.Object
			for _, i := range full.All() {
				listed = append(listed, i.Object())
			}
			assert.Equal(t, test.want, counted(All(world(), clustertest.List(t, listed...))), "what is kept of a list")
		})
	}
}

func TestADeploymentAndItsServiceHaveOneKey(t *testing.T) {
	planned := All(world(), objects(t, labelledText))
	require.Len(t, planned, 1)
	made := sub(serviceText, "name: svc", "name: plan", "generation: 2}", "generation: 2, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: plan, uid: d3, controller: true}]}")
	both := All(world(), objects(t, labelledText, made))
	require.Len(t, both, 1, "the Service is there, so the plan is not counted any more")
	assert.Equal(t, "Service", both[0].Kind)
	assert.Equal(t, planned[0].Key, both[0].Key)
	orphaned := All(world(), objects(t, made))
	require.Len(t, orphaned, 1)
	assert.Equal(t, planned[0].Key, orphaned[0].Key, "nor does it change when the Deployment is deleted")
}

func TestClaims(t *testing.T) {
	pinned := sub(deploymentText, "spec: {containers", "spec: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers", "trainer", "l4", "uid: d1", "uid: d9")
	elsewhere := sub(deploymentText, "namespace: a", "namespace: b", "uid: d1", "uid: d8")
	all := All(world(), objects(t, deploymentText, pinned, elsewhere))
	namespaces := map[string]map[string]string{"a": {"gpu": "yes"}, "b": {}}
	sum := func(spec string) map[string]int64 {
		var b v1alpha1.GPUBudget
		require.NoError(t, yaml.UnmarshalStrict([]byte("metadata: {name: x}\nspec: "+spec), &b))
		budgets := policy.CompileBudgets([]v1alpha1.GPUBudget{b}).All()
		require.Len(t, budgets, 1)
		n := map[string]int64{}
		counted := Claims(all, budgets[0], namespaces).Live
		for namespace, claims := range counted {
			for _, a := range claims {
				n[namespace] += a.GPUs
			}
		}
		return n
	}
	assert.Equal(t, map[string]int64{"a": 48, "b": 24}, sum(`{max: 1}`))
	assert.Equal(t, map[string]int64{"a": 48}, sum(`{max: 1, namespaceSelector: {matchLabels: {gpu: "yes"}}}`))
	assert.Equal(t, map[string]int64{"a": 48, "b": 24}, sum(`{max: 1, gpuTypes: [NVIDIA-L4]}`), "what nothing pins to a type counts against all")
	assert.Equal(t, map[string]int64{"a": 24, "b": 24}, sum(`{max: 1, gpuTypes: ["A100*"]}`))
}
