package app

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
)

// labelledService asks for pods of two A100s each.
func labelledService(t *testing.T, annotations map[string]any) []byte {
	t.Helper()
	all := map[string]any{"compute.kubetorch.com/gpus": "2", "compute.kubetorch.com/gpu-type": "NVIDIA-A100"}
	for k, v := range annotations {
		all["autoscale.kubetorch.com/"+k] = v
	}
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"metadata": map[string]any{"name": "llm", "namespace": "team", "uid": "llm", "labels": map[string]any{"kubetorch.com/autoscale": "true"}, "annotations": all},
		"spec":     map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"image": "registry.example.com/llm:v1"}}}}},
	})
	require.NoError(t, err)
	return raw
}

// TestARefusalEndsWithWhatWouldFit: the sentence of why stands in the webhook's own answers, of bounds as of budgets.
func TestARefusalEndsWithWhatWouldFit(t *testing.T) {
	budget := func(name string, most int64, types ...string) v1alpha1.GPUBudget {
		return v1alpha1.GPUBudget{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.GPUBudgetSpec{Max: &most, GPUTypes: types}}
	}
	budgets := []v1alpha1.GPUBudget{budget("a100", 16, "NVIDIA-A100"), budget("all", 64), budget("l4", 8, "NVIDIA-L4")}
	bounds := func(b v1alpha1.Bounds) []v1alpha1.ComputePolicy {
		return []v1alpha1.ComputePolicy{{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1alpha1.ComputePolicySpec{Bounds: &b}}}
	}
	const asks, free = "asks for 12 GPUs (2 x 6 pods); ", "6 of 16 are free in budget a100; 10 are held in other namespaces; "
	for name, test := range map[string]struct {
		annotations map[string]any
		policies    []v1alpha1.ComputePolicy
		want        string
	}{
		"a budget": {map[string]any{"max-scale": "6"}, nil, asks + free + "max-scale 3 fits; 4 with gpu-type NVIDIA-L4"},
		"a budget, with a min-scale over it": {map[string]any{"max-scale": "6", "min-scale": "4"}, nil,
			asks + free + "max-scale 3 fits, with a min-scale that is no larger; 4 with gpu-type NVIDIA-L4"},
		"a bound, and a budget that has less": {map[string]any{"max-scale": "6"}, bounds(v1alpha1.Bounds{GPUsPerWorkload: &v1alpha1.NumberBound{Max: new(int64(10))}}),
			asks + "policy p allows at most 10 (bounds.gpusPerWorkload.max); max-scale 3 fits; 4 with gpu-type NVIDIA-L4"},
		"a bound on types": {map[string]any{"max-scale": "6"}, bounds(v1alpha1.Bounds{GPUTypes: &v1alpha1.NameBound{Allowed: []string{"NVIDIA-L4"}}}),
			"asks for GPU type NVIDIA-A100; policy p allows only NVIDIA-L4 (bounds.gpuTypes.allowed); max-scale 4 fits with gpu-type NVIDIA-L4"},
		"a bound that has nothing to do with it": {map[string]any{"max-scale": "6", "min-scale": "4"}, bounds(v1alpha1.Bounds{MinScale: &v1alpha1.NumberBound{Max: new(int64(1))}}),
			"asks for a min-scale of 4; policy p allows at most 1 (bounds.minScale.max)"},
	} {
		t.Run(name, func(t *testing.T) {
			memory := charge.NewMemory(budgets)
			memory.Hold("a100", "other", ledger.ForName("Service", "other", "big"), 10)
			config, err := knative.ParseConfig(map[string]map[string]string{"config-features": {"kubernetes.podspec-nodeselector": "enabled", "kubernetes.podspec-tolerations": "enabled"}})
			require.NoError(t, err)
			e := working()
			e.current.Store(&snapshot{policies: policy.Compile(test.policies), budgets: policy.CompileBudgets(budgets), knative: config})
			e.charging = &charging{charge: memory.Charge, release: memory.Release, everything: true}
			e.remembered = newMemory()
			e.reader = e.remembered
			request := ask(admissionv1.Create, "llm", labelledService(t, test.annotations), nil)
			mutated := e.mutate(t.Context(), request)
			require.True(t, mutated.Allowed, "%v", mutated.Result)
			patch, err := jsonpatch.DecodePatch(mutated.Patch)
			require.NoError(t, err)
			request.Object.Raw, err = patch.Apply(request.Object.Raw)
			require.NoError(t, err)
			answer := e.validate(t.Context(), request)
			require.False(t, answer.Allowed)
			require.Len(t, answer.Result.Details.Causes, 1)
			assert.Equal(t, "Forbidden: "+test.want, answer.Result.Details.Causes[0].Message)
			assert.True(t, strings.HasSuffix(answer.Result.Message, test.want), answer.Result.Message)
		})
	}
}

// TestARefusalOfEveryKindWithANumberOfPodsEndsWithWhatWouldFit: in its own words, whether a bound refuses it or the budget
// of 10 GPUs, and alike where it is scaled.
func TestARefusalOfEveryKindWithANumberOfPodsEndsWithWhatWouldFit(t *testing.T) {
	deployment := func(replicas, gpus int) string {
		return of("apps/v1", "Deployment", "web", fmt.Sprintf("replicas: %d", replicas), gpus)
	}
	set := func(replicas, gpus int) string {
		return of("apps/v1", "StatefulSet", "set", fmt.Sprintf("replicas: %d", replicas), gpus)
	}
	job := func(spec string, gpus int) string { return of("batch/v1", "Job", "train", spec, gpus) }
	cronJob := func(spec string) string {
		return `{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly, namespace: team, uid: nightly-uid}, spec: {jobTemplate: {spec: {` + spec + `, template: {spec: ` + podSpecOf(2) + `}}}}}`
	}
	group := `{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, metadata: {name: llm, namespace: team, uid: llm-uid}, spec: {replicas: 1, leaderWorkerTemplate: {size: 3, workerTemplate: {spec: ` + podSpecOf(1) + `}}}}`
	const target, free = "{apiVersion: apps/v1, kind: StatefulSet, name: set}", " of 10 are free in budget b"
	const bound = "; policy p allows at most 6 (bounds.gpusPerWorkload.max)"
	for name, test := range map[string]struct {
		bounds string
		there  string
		step
	}{
		"a Deployment that is scaled, by a bound": {"{gpusPerWorkload: {max: 6}}", deployment(1, 2), step{subresource: "deployments/scale", object: scaleTo("web", 9), old: scaleTo("web", 1),
			refused: "spec.replicas: Forbidden: asks for 18 GPUs (2 x 9 pods)" + bound + "; replicas 3 fits"}},
		"a Deployment that is scaled, by the budget": {"{}", deployment(2, 2), step{subresource: "deployments/scale", object: scaleTo("web", 9), old: scaleTo("web", 2),
			refused: "spec.replicas: Forbidden: asks for 18 GPUs (2 x 9 pods); 6" + free + ", and it would take 14 more than it has; replicas 5 fits"}},
		"a Deployment that is scaled, by a bound, and a budget that has less": {"{gpusPerWorkload: {max: 14}}", deployment(2, 2), step{subresource: "deployments/scale", object: scaleTo("web", 9), old: scaleTo("web", 2),
			refused: "spec.replicas: Forbidden: asks for 18 GPUs (2 x 9 pods); policy p allows at most 14 (bounds.gpusPerWorkload.max); replicas 5 fits"}},
		"a StatefulSet that is scaled": {"{gpusPerWorkload: {max: 6}}", set(1, 2), step{subresource: "statefulsets/scale", object: scaleTo("set", 4), old: scaleTo("set", 1),
			refused: "spec.replicas: Forbidden: asks for 8 GPUs (2 x 4 pods)" + bound + "; replicas 3 fits"}},
		"an operator's kind that is scaled": {"{}", group, step{subresource: "leaderworkersets/scale", object: scaleTo("llm", 4), old: scaleTo("llm", 1),
			refused: "spec.replicas: Forbidden: asks for 12 GPUs (1 x 12 pods); 7" + free + ", and it would take 9 more than it has; replicas 3 fits"}},
		"a Job, by a bound": {"{gpusPerWorkload: {max: 6}}", "", step{object: job("parallelism: 9, completions: 100", 2),
			refused: "spec.parallelism: Forbidden: asks for 18 GPUs (2 x 9 pods)" + bound + "; parallelism 3 fits"}},
		"a Job, by the budget": {"{}", set(1, 2), step{object: job("parallelism: 9, completions: 100", 2),
			refused: "spec.parallelism: Forbidden: asks for 18 GPUs (2 x 9 pods); 8" + free + "; parallelism 4 fits"}},
		"a Job that has less to do than it states": {"{gpusPerWorkload: {max: 6}}", "", step{object: job("parallelism: 9, completions: 5", 2),
			refused: "spec.parallelism: Forbidden: asks for 10 GPUs (2 x 5 pods)" + bound + "; parallelism 3 fits"}},
		"a Job that is started": {"{gpusPerWorkload: {max: 6}}", job("parallelism: 9, suspend: true", 2), step{object: job("parallelism: 9", 2), old: job("parallelism: 9, suspend: true", 2),
			refused: "spec.parallelism: Forbidden: asks for 18 GPUs (2 x 9 pods)" + bound + "; parallelism 3 fits"}},
		"a Job of one pod": {"{gpusPerWorkload: {max: 6}}", "", step{object: job("completions: 3", 8),
			refused: "spec.parallelism: Forbidden: asks for 8 GPUs (8 x 1 pod)" + bound}},
		"a Job that something else refuses too": {"{gpusPerWorkload: {max: 6}, gpusPerPod: {max: 1}}", "", step{object: job("parallelism: 9", 2),
			refused: "spec.template.spec.containers: Forbidden: asks for 2 GPUs per pod; policy p allows at most 1 (bounds.gpusPerPod.max)|spec.parallelism: Forbidden: asks for 18 GPUs (2 x 9 pods)" + bound}},
		"a Job that a CronJob's controller makes, which would make it so again": {"{gpusPerWorkload: {max: 6}}", "", step{user: account("cronjob-controller"),
			object:  strings.Replace(job("parallelism: 9", 2), "uid: train-uid", "uid: train-uid, ownerReferences: ["+ownerOf("batch/v1", "CronJob", "nightly")+"]", 1),
			refused: "spec.parallelism: Forbidden: asks for 18 GPUs (2 x 9 pods)" + bound}},
		"a CronJob": {"{gpusPerWorkload: {max: 6}}", "", step{object: cronJob("parallelism: 9"),
			refused: "spec.jobTemplate.spec.parallelism: Forbidden: asks for 18 GPUs (2 x 9 pods)" + bound + "; parallelism 3 fits"}},
		"a HorizontalPodAutoscaler, by a bound": {"{gpusPerWorkload: {max: 6}}", set(1, 2), step{object: hpa("h", target, 9),
			refused: "spec.maxReplicas: Forbidden: asks for 18 GPUs (2 x 9 pods)" + bound + "; maxReplicas 3 fits"}},
		"a HorizontalPodAutoscaler, by the budget": {"{}", set(1, 2), step{object: strings.Replace(hpa("h", target, 9), "maxReplicas", "minReplicas: 7, maxReplicas", 1),
			refused: "spec.maxReplicas: Forbidden: asks for 18 GPUs (2 x 9 pods); 8" + free + ", and it would take 16 more than it has; maxReplicas 5 fits, with a minReplicas that is no larger"}},
		"a DaemonSet, which has no number": {"{gpusPerWorkload: {max: 6}}", "", step{object: of("apps/v1", "DaemonSet", "each", "minReadySeconds: 0", 8),
			refused: "spec.template.spec: Forbidden: asks for 8 GPUs (8 x 1 pod)" + bound}},
	} {
		t.Run(name, func(t *testing.T) {
			var p v1alpha1.ComputePolicy
			require.NoError(t, yaml.UnmarshalStrict([]byte("{metadata: {name: p}, spec: {bounds: "+test.bounds+"}}"), &p))
			e, _ := standalone()
			now := *e.current.Load()
			if test.there != "" {
				require.True(t, e.validate(t.Context(), requestOf(t, step{object: test.there})).Allowed)
			}
			now.policies = policy.Compile([]v1alpha1.ComputePolicy{p})
			e.current.Store(&now)
			answer := e.validate(t.Context(), requestOf(t, test.step))
			require.False(t, answer.Allowed)
			var causes []string
			for _, c := range answer.Result.Details.Causes {
				causes = append(causes, c.Field+": "+c.Message)
			}
			assert.Equal(t, strings.Split(test.refused, "|"), causes)
			said := saidToFit.FindStringSubmatch(test.refused)
			if said == nil {
				return
			}
			fits, err := strconv.Atoi(said[2])
			require.NoError(t, err)
			follow := func(n int) step {
				followed, number := test.step, fmt.Sprintf(": %d", n)
				followed.object = regexp.MustCompile(`\b`+said[1]+`: \d+`).ReplaceAllString(followed.object, said[1]+number)
				followed.object = strings.Replace(followed.object, "minReplicas: 7", "minReplicas"+number, 1)
				return followed
			}
			assert.False(t, e.validate(t.Context(), requestOf(t, follow(fits+1))).Allowed, "one more")
			assert.True(t, e.validate(t.Context(), requestOf(t, follow(fits))).Allowed, "what it says is so")
		})
	}
}

// saidToFit is the end of a refusal: the field, and what it may be.
var saidToFit = regexp.MustCompile(`; (\w+) (\d+) fits`)
