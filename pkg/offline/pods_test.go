package offline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
)

// TestEveryKindThatMakesPodsIsJudgedInFiles by bounds and budgets, and what belongs to another document with
// that.
func TestEveryKindThatMakesPodsIsJudgedInFiles(t *testing.T) {
	const pods = `spec: {containers: [{name: c, image: a, resources: {limits: {nvidia.com/gpu: 8}}}]}`
	const files = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: set, namespace: team}
spec: {replicas: 100, selector: {matchLabels: {app: set}}, template: {metadata: {labels: {app: set}}, ` + pods + `}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: job, namespace: team}
spec: {parallelism: 2, template: {` + pods + `}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: cron, namespace: team}
spec: {jobTemplate: {spec: {parallelism: 9, template: {` + pods + `}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: pod, namespace: team}
` + pods + `
---
apiVersion: v1
kind: Pod
metadata: {name: plain, namespace: team}
spec: {containers: [{name: c, image: a}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: rs, namespace: team, uid: rs}
spec: {replicas: 1, selector: {matchLabels: {app: rs}}, template: {metadata: {labels: {app: rs}}, ` + pods + `}}
---
apiVersion: v1
kind: Pod
metadata: {name: rs-a, namespace: team, labels: {app: rs}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: rs, uid: rs, controller: true}]}
` + pods + `
---
apiVersion: v1
kind: LimitRange
metadata: {name: gives, namespace: team}
spec: {limits: [{type: Container, default: {nvidia.com/gpu: 1}}]}
`
	var p v1alpha1.ComputePolicy
	require.NoError(t, yaml.Unmarshal([]byte(`{metadata: {name: p}, spec: {bounds: {gpusPerWorkload: {max: 64}}}}`), &p))
	var b v1alpha1.GPUBudget
	require.NoError(t, yaml.Unmarshal([]byte(`{metadata: {name: b}, spec: {max: 24}}`), &b))
	docs, err := Parse("in.yaml", []byte(files))
	require.NoError(t, err)
	said := map[string]string{}
	explained := map[string]ExplainedClaim{}
	outcomes := Expand(docs, Inputs{Policies: []v1alpha1.ComputePolicy{p}, Budgets: []v1alpha1.GPUBudget{b}, Knative: knative.Default()})
	for _, o := range outcomes {
		said[o.Title] = o.Verdict.Reasons()
	}
	for _, e := range explanations(outcomes) {
		e.Claim.perPod = ""
		explained[e.Workload] = e.Claim
	}
	assert.Equal(t, map[string]string{
		"StatefulSet team/set":  "spec.replicas: Forbidden: asks for 800 GPUs (8 x 100 pods); policy p allows at most 64 (bounds.gpusPerWorkload.max); replicas 3 fits",
		"Job team/job":          "",
		"CronJob team/cron":     "spec.jobTemplate.spec.parallelism: Forbidden: asks for 72 GPUs (8 x 9 pods); policy p allows at most 64 (bounds.gpusPerWorkload.max); parallelism 8 fits",
		"Pod team/pod":          "",
		"Pod team/plain":        "",
		"ReplicaSet team/rs":    "spec.replicas: Forbidden: asks for 8 GPUs (8 x 1 pod); 0 of 24 are free in budget b; what the workloads of a cluster hold is not known here",
		"Pod team/rs-a":         "",
		"LimitRange team/gives": "spec.limits[0].default[nvidia.com/gpu]: Forbidden: gives devices to every container that does not ask for any; policy p bounds GPUs (bounds.gpusPerWorkload.max)",
	}, said)
	assert.Equal(t, map[string]ExplainedClaim{
		"Job team/job": {GPUs: 16, GPUsPerPod: 8, PeakPods: 2},
		"Pod team/pod": {GPUs: 8, GPUsPerPod: 8, PeakPods: 1},
	}, explained)
}
