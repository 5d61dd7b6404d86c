package usage_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/budget/usage"
	"github.com/kubetorch/webhook/pkg/cluster/clustertest"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// What operators make of an object is part of its claim, as far as it belongs to it: per type the larger
// of what the object asks for and of what is there.
func TestWhatOperatorsMakeIsCountedOnce(t *testing.T) {
	pods := func(gpus int, more string) string {
		return fmt.Sprintf(`{%s containers: [{name: c, resources: {limits: {nvidia.com/gpu: %d}}}]}`, more, gpus)
	}
	owner := func(apiVersion, kind, name string) string {
		return fmt.Sprintf(`, ownerReferences: [{apiVersion: %s, kind: %s, name: %s, uid: u-%s-%s, controller: true}]`, apiVersion, kind, name, kind, name)
	}
	of := func(apiVersion, kind, name, owner, rest string) string {
		return fmt.Sprintf(`{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: a, uid: u-%s-%s, labels: {app: x}%s}, %s}`, apiVersion, kind, name, kind, name, owner, rest)
	}
	templated := func(apiVersion, kind, name, owner, spec string, gpus int) string {
		return of(apiVersion, kind, name, owner, `spec: {`+spec+`, selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: `+pods(gpus, "")+`}}`)
	}
	gang := func(replicas int, more, selector string) string {
		return of("jobset.x-k8s.io/v1", "JobSet", "gang", "", fmt.Sprintf(`spec: {%s replicatedJobs: [{replicas: %d, template: {spec: {template: {spec: %s}}}}]}`, more, replicas, pods(2, selector)))
	}
	job := func(name, owner string, parallelism, gpus int) string {
		return templated("batch/v1", "Job", name, owner, fmt.Sprintf("parallelism: %d", parallelism), gpus)
	}
	pod := func(name, owner string, gpus int, more string) string {
		return of("v1", "Pod", name, owner, `spec: `+pods(gpus, more)+`, status: {phase: Running}`)
	}
	group := func(replicas int) string {
		return of("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "llm", "", fmt.Sprintf(`spec: {replicas: %d, leaderWorkerTemplate: {size: 2, workerTemplate: {spec: %s}}}`, replicas, pods(1, "")))
	}
	autoscaler := func(target string, most int) string {
		return of("autoscaling/v2", "HorizontalPodAutoscaler", "of-"+target, "", fmt.Sprintf(`spec: {maxReplicas: %d, scaleTargetRef: {apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, name: %s}}`, most, target))
	}
	ofGang := owner("jobset.x-k8s.io/v1", "JobSet", "gang")
	ray := of("ray.io/v1", "RayCluster", "ray", owner("ray.io/v1", "RayJob", "train"), `spec: {workerGroupSpecs: [{replicas: 3, template: {spec: `+pods(2, "")+`}}]}`)
	rayJob := of("ray.io/v1", "RayJob", "train", "", `spec: {rayClusterSpec: {workerGroupSpecs: [{replicas: 3, template: {spec: `+pods(2, "")+`}}]}}`)
	for name, c := range map[string]struct {
		objects []string
		want    []string
	}{
		"a JobSet before anything is made of it": {[]string{gang(3, "", "")}, []string{"JobSet gang 6"}},
		"with its Jobs and their pods": {[]string{gang(3, "", ""), job("gang-0", ofGang, 1, 2), job("gang-1", ofGang, 1, 2), pod("gang-0-x", owner("batch/v1", "Job", "gang-0"), 2, "")},
			[]string{"JobSet gang 6"}},
		"a group that an autoscaler may scale": {[]string{group(1), autoscaler("llm", 4), autoscaler("other", 9)}, []string{"LeaderWorkerSet llm 8"}},
		"one at 0 that it leaves alone":        {[]string{group(0), autoscaler("llm", 4)}, nil},
		"with more than it asks for":           {[]string{gang(1, "", ""), job("gang-0", ofGang, 1, 2), job("gang-1", ofGang, 3, 2)}, []string{"JobSet gang 2 + 6"}},
		"suspended, while pods are there": {[]string{gang(3, "suspend: true,", ""), strings.Replace(job("gang-0", ofGang, 1, 2), "parallelism", "suspend: true, parallelism", 1), pod("gang-0-x", owner("batch/v1", "Job", "gang-0"), 2, "")},
			[]string{"JobSet gang 2"}},
		"a Job that names another JobSet of the name": {[]string{gang(3, "", ""), job("gang-0", strings.Replace(ofGang, "u-JobSet", "v-JobSet", 1), 1, 2)},
			[]string{"JobSet gang 6", "Job gang-0 2"}},
		"what its operator does not make": {[]string{gang(3, "", ""), pod("direct", ofGang, 2, "")}, []string{"JobSet gang 6", "Pod direct 2"}},
		"nodes that are chosen later":     {[]string{gang(2, "", ""), strings.Replace(job("gang-0", ofGang, 1, 2), "spec: {containers", "spec: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers", 1)}, []string{"JobSet gang 4"}},
		"of another type than it asks for": {[]string{gang(2, "", "nodeSelector: {nvidia.com/gpu.product: NVIDIA-H100-NVL},"), strings.Replace(job("gang-0", ofGang, 1, 2), "spec: {containers", "spec: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers", 1)},
			[]string{"JobSet gang 4 + 2"}},
		"a RayJob with its cluster and the cluster's pods": {[]string{rayJob, ray, pod("ray-1", owner("ray.io/v1", "RayCluster", "ray"), 2, "")}, []string{"RayJob train 6"}},
		"a cluster that has outgrown it":                   {[]string{rayJob, strings.Replace(ray, "replicas: 3", "replicas: 5", 1)}, []string{"RayJob train 6 + 4"}},
		"a cluster with pods that it did not ask for":      {[]string{strings.Replace(ray, "uid: u-RayJob-train", "uid: gone", 1), pod("ray-1", owner("ray.io/v1", "RayCluster", "ray"), 8, "")}, []string{"RayCluster ray 6 + 2"}},
		"a LeaderWorkerSet, whose leaders control the workers": {[]string{
			of("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "llm", "", `spec: {replicas: 1, leaderWorkerTemplate: {size: 3, workerTemplate: {spec: `+pods(1, "")+`}}}`),
			templated("apps/v1", "StatefulSet", "llm", owner("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "llm"), "replicas: 1", 1),
			pod("llm-0", owner("apps/v1", "StatefulSet", "llm"), 1, ""),
			templated("apps/v1", "StatefulSet", "llm-0", owner("v1", "Pod", "llm-0"), "replicas: 2", 1),
			pod("llm-0-1", owner("apps/v1", "StatefulSet", "llm-0"), 1, "")}, []string{"LeaderWorkerSet llm 3"}},
		"a kind whose operator has no known account": {[]string{
			of("sparkoperator.k8s.io/v1", "SparkApplication", "etl", "", `spec: {driver: {gpu: {name: nvidia.com/gpu, quantity: 3}}}`), pod("etl-driver", owner("sparkoperator.k8s.io/v1", "SparkApplication", "etl"), 3, "")},
			[]string{"Pod etl-driver 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			var objects []manifest.Object
			for _, text := range c.objects {
				raw, err := yaml.YAMLToJSONStrict([]byte(text))
				require.NoError(t, err, text)
				o, err := manifest.Decode(raw)
				require.NoError(t, err)
				objects = append(objects, o)
			}
			w := review.World{Policies: policy.Compile(nil), Knative: knative.Default(), Cluster: &review.Cluster{}}
			var got []string
			for _, claimant := range usage.All(w, clustertest.List(t, objects...)) {
				var parts []string
				for _, p := range claimant.Parts {
					parts = append(parts, fmt.Sprint(p.GPUs))
				}
				got = append(got, claimant.Kind+" "+claimant.Name+" "+strings.Join(parts, " + "))
			}
			assert.ElementsMatch(t, c.want, got)
		})
	}
}
