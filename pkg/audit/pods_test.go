package audit_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/cluster/clustertest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// podsOf is a pod template, or a pod, with GPUs.
func podsOf(gpus int) string {
	return fmt.Sprintf(`metadata: {labels: {a: b}}, spec: {containers: [{name: c, resources: {limits: {nvidia.com/gpu: %d}}}]}`, gpus)
}

// made is an object of one of Kubernetes' own kinds, whose controller has a UID where one is named.
func made(version, kind, name, owner, rest string) string {
	by := ""
	if owner != "" {
		by = fmt.Sprintf(`, ownerReferences: [{%s, controller: true}]`, owner)
	}
	return fmt.Sprintf(`{apiVersion: %s, kind: %s, metadata: {namespace: ml, name: %s, uid: uid-%s-%s, labels: {a: b}%s}, %s}`, version, kind, name, kind, name, by, rest)
}

func templated(version, kind, name string, gpus int, spec string) string {
	return made(version, kind, name, "", fmt.Sprintf(`spec: {%s selector: {matchLabels: {a: b}}, template: {%s}}`, spec, podsOf(gpus)))
}

func controller(version, kind, name string) string {
	return fmt.Sprintf(`apiVersion: %s, kind: %s, name: %s, uid: uid-%s-%s`, version, kind, name, kind, name)
}

func pod(name, owner string, gpus int, more string) string {
	return made("v1", "Pod", name, owner, fmt.Sprintf(`spec: {containers: [{name: c, resources: {limits: {nvidia.com/gpu: %d}}}]}%s`, gpus, more))
}

func autoscaler(name, kind string, most int) string {
	return made("autoscaling/v2", "HorizontalPodAutoscaler", name, "",
		fmt.Sprintf(`spec: {scaleTargetRef: {apiVersion: apps/v1, kind: %s, name: target}, maxReplicas: %d}`, kind, most))
}

func jobSet(name string, replicas, gpus int) string {
	return made("jobset.x-k8s.io/v1alpha2", "JobSet", name, "",
		fmt.Sprintf(`spec: {replicatedJobs: [{name: r, replicas: %d, template: {spec: {template: {%s}}}}]}`, replicas, podsOf(gpus)))
}

func TestTheAuditCoversEveryKindThatMakesPods(t *testing.T) {
	most := `{metadata: {name: most}, spec: {bounds: {gpusPerWorkload: {max: 8}}}}`
	for name, c := range map[string]struct {
		policy  string
		objects []string
		want    []string
		looked  int
	}{
		"a Pod that nothing made, and no other that fits": {two, []string{pod("big", "", 3, ""), pod("fits", "", 2, ""), pod("plain", "", 0, "")},
			[]string{"strict Deny gpusPerPod Pod ml/big"}, 3},
		"nothing that has ended": {two, []string{pod("done", "", 3, ", status: {phase: Succeeded}"),
			made("batch/v1", "Job", "done", "", `spec: {template: {`+podsOf(3)+`}}, status: {conditions: [{type: Complete, status: "True"}]}`)}, nil, 2},
		"a StatefulSet, and not its pods": {two, []string{templated("apps/v1", "StatefulSet", "db", 3, ""), pod("db-0", controller("apps/v1", "StatefulSet", "db"), 3, "")},
			[]string{"strict Deny gpusPerPod StatefulSet ml/db"}, 2},
		"a pod that asks for more than its StatefulSet": {two, []string{templated("apps/v1", "StatefulSet", "db", 1, ""), pod("db-0", controller("apps/v1", "StatefulSet", "db"), 3, "")},
			[]string{"strict Deny gpusPerPod Pod ml/db-0"}, 2},
		"a pod that only says whose it is": {two, []string{templated("apps/v1", "StatefulSet", "db", 3, ""), pod("other", controller("apps/v1", "StatefulSet", "db"), 3, "")},
			[]string{"strict Deny gpusPerPod Pod ml/other", "strict Deny gpusPerPod StatefulSet ml/db"}, 2},
		"a Job, by the pods that run side by side": {most, []string{templated("batch/v1", "Job", "wide", 3, "parallelism: 3, completions: 9,"), templated("batch/v1", "Job", "long", 3, "parallelism: 2, completions: 9,")},
			[]string{"most Deny gpusPerWorkload Job ml/wide"}, 2},
		"a CronJob and each of its Jobs": {two, []string{
			made("batch/v1", "CronJob", "nightly", "", `spec: {jobTemplate: {spec: {template: {`+podsOf(3)+`}}}}`),
			made("batch/v1", "Job", "nightly-1", controller("batch/v1", "CronJob", "nightly"), `spec: {template: {`+podsOf(3)+`}}`)},
			[]string{"strict Deny gpusPerPod CronJob ml/nightly", "strict Deny gpusPerPod Job ml/nightly-1"}, 2},
		"a DaemonSet, and not its pods": {two, []string{templated("apps/v1", "DaemonSet", "each", 3, ""), pod("each-x", controller("apps/v1", "DaemonSet", "each"), 3, "")},
			[]string{"strict Deny gpusPerPod DaemonSet ml/each"}, 2},
		"a ReplicationController": {most, []string{made("v1", "ReplicationController", "old", "", `spec: {replicas: 3, selector: {a: b}, template: {`+podsOf(3)+`}}`)},
			[]string{"most Deny gpusPerWorkload ReplicationController ml/old"}, 1},
		"a ReplicaSet that belongs to nothing": {two, []string{templated("apps/v1", "ReplicaSet", "alone", 3, "")}, []string{"strict Deny gpusPerPod ReplicaSet ml/alone"}, 1},
		"a Deployment, and not its ReplicaSet and pods": {two, []string{templated("apps/v1", "Deployment", "app", 3, ""),
			made("apps/v1", "ReplicaSet", "app-1", controller("apps/v1", "Deployment", "app"), `spec: {selector: {matchLabels: {a: b}}, template: {`+podsOf(3)+`}}`),
			pod("app-1-x", controller("apps/v1", "ReplicaSet", "app-1"), 3, "")}, []string{"strict Deny gpusPerPod Deployment ml/app"}, 3},
		"an earlier ReplicaSet while it has replicas": {two, []string{templated("apps/v1", "Deployment", "app", 1, ""),
			made("apps/v1", "ReplicaSet", "app-1", controller("apps/v1", "Deployment", "app"), `spec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {`+podsOf(3)+`}}`),
			made("apps/v1", "ReplicaSet", "app-0", controller("apps/v1", "Deployment", "app"), `spec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {`+podsOf(3)+`}}`)},
			[]string{"strict Deny gpusPerPod ReplicaSet ml/app-1"}, 3},
		"an autoscaler that may give what it scales too many pods": {most, []string{templated("apps/v1", "StatefulSet", "target", 3, ""), autoscaler("fits", "StatefulSet", 2), autoscaler("far", "StatefulSet", 3), autoscaler("elsewhere", "Deployment", 9)},
			[]string{"most Deny gpusPerWorkload HorizontalPodAutoscaler ml/far"}, 4},
		"what breaks a bound already, once": {most, []string{templated("apps/v1", "StatefulSet", "target", 9, ""), autoscaler("far", "StatefulSet", 3)},
			[]string{"most Deny gpusPerWorkload StatefulSet ml/target"}, 2},
		"a LimitRange that gives devices, and no other": {two, []string{made("v1", "LimitRange", "gives", "", `spec: {limits: [{type: Container, default: {nvidia.com/gpu: 1}}]}`), made("v1", "LimitRange", "limits", "", `spec: {limits: [{type: Pod, max: {nvidia.com/gpu: 1}}]}`)},
			[]string{"strict Deny gpusPerPod LimitRange ml/gives"}, 1},
		"an operator's kind, and not what it makes": {most, []string{jobSet("gang", 3, 3),
			made("batch/v1", "Job", "gang-r-0", controller("jobset.x-k8s.io/v1alpha2", "JobSet", "gang"), `spec: {template: {`+podsOf(9)+`}}`),
			made("batch/v1", "Job", "gang-r-1", controller("jobset.x-k8s.io/v1alpha2", "JobSet", "gang"), `spec: {template: {`+podsOf(3)+`}}`)},
			[]string{"most Deny gpusPerWorkload Job ml/gang-r-0", "most Deny gpusPerWorkload JobSet ml/gang"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			r := audit.Run(input(t, []string{c.policy}, c.objects...))
			assert.Equal(t, c.want, lines(r))
			assert.Equal(t, c.looked, r.Objects)
		})
	}
}

// Every kind of the table of kinds is listed, sorted and counted: none has to be added anywhere by hand.
func TestEveryKindOfTheTableIsSortedAndCounted(t *testing.T) {
	for _, kind := range workload.Kinds() {
		t.Run(kind.Kind, func(t *testing.T) {
			assert.NotNil(t, (&cluster.Objects{}).Of(kind.GroupKind), "it is listed")
			path := podsOf(3)
			for i := len(kind.PodSpec) - 2; i >= 0; i-- {
				path = kind.PodSpec[i] + ": {" + path + "}"
				if i == 0 {
					path = "spec: {selector: {matchLabels: {a: b}}, " + path[len("spec: {"):]
				}
			}
			if kind.GroupKind == workload.PodKind {
				path = `spec: {containers: [{name: c, resources: {limits: {nvidia.com/gpu: 3}}}]}`
			}
			version := kind.Version
			if kind.Group != "" {
				version = kind.Group + "/" + version
			}
			in := input(t, []string{two}, made(version, kind.Kind, "a", "", path))
			assert.Equal(t, []string{"strict Deny gpusPerPod " + kind.Kind + " ml/a"}, lines(audit.Run(in)))
			var want []audit.KindUse
			if kind.Charged {
				want = []audit.KindUse{{Kind: kind.Kind, Objects: 1, GPUs: 3}}
			}
			_, use := audit.Budgets(in, budget(t, `{max: 2}`))
			assert.ElementsMatch(t, want, use[0].Kinds)
		})
	}
}

func budget(t *testing.T, spec string) []v1alpha1.GPUBudget {
	t.Helper()
	var b v1alpha1.GPUBudget
	require.NoError(t, yaml.UnmarshalStrict(fmt.Appendf(nil, "{metadata: {name: shared}, spec: %s}", spec), &b))
	return []v1alpha1.GPUBudget{b}
}

// Before an upgrade, the audit of the new version says what a budget will hold of kinds that the old
// one did not count, and who will be beyond it; what it says is what the ledger counts.
func TestTheAuditSaysWhatABudgetWillHold(t *testing.T) {
	texts := []string{
		deployment("app", 2, 2, ""), templated("batch/v1", "Job", "train", 8, "parallelism: 4,"), templated("apps/v1", "StatefulSet", "target", 1, ""),
		autoscaler("far", "StatefulSet", 5), pod("alone", "", 3, ""), pod("done", "", 3, ", status: {phase: Failed}"),
		templated("apps/v1", "DaemonSet", "each", 1, ""), pod("each-x", controller("apps/v1", "DaemonSet", "each"), 1, ""),
		pod("train-x", controller("batch/v1", "Job", "train"), 8, ""),
	}
	in := input(t, nil, texts...)
	want := audit.BudgetUse{
		Name: "shared", Enforcement: v1alpha1.BudgetDeny, Max: 40, Claimed: 45,
		Kinds: []audit.KindUse{{Kind: "Job", Objects: 1, GPUs: 32}, {Kind: "StatefulSet", Objects: 1, GPUs: 5}, {Kind: "Deployment", Objects: 1, GPUs: 4}, {Kind: "Pod", Objects: 2, GPUs: 4}},
		Holders: []v1alpha1.Holder{
			{Namespace: "ml", Kind: "Job", Name: "train", GPUs: 32}, {Namespace: "ml", Kind: "StatefulSet", Name: "target", GPUs: 5},
			{Namespace: "ml", Kind: "Deployment", Name: "app", GPUs: 4}, {Namespace: "ml", Kind: "Pod", Name: "alone", GPUs: 3}, {Namespace: "ml", Kind: "Pod", Name: "each-x", GPUs: 1},
		},
	}
	found, use := audit.Budgets(in, budget(t, `{max: 40}`))
	assert.Equal(t, []audit.BudgetUse{want}, use)
	assert.Equal(t, []string{"GPUBudget/shared Deny max GPUBudget /shared"}, lines(audit.Report{Findings: found}))

	in.Objects = clustertest.List(t, objects(t, texts...)...).All()
	_, listed := audit.Budgets(in, budget(t, `{max: 40}`))
	assert.Equal(t, use, listed, "what is kept of a list says the same")

	in.Excluded = []string{"ml"}
	found, use = audit.Budgets(in, budget(t, `{max: 40}`))
	assert.Empty(t, found)
	assert.Equal(t, audit.BudgetUse{Name: "shared", Enforcement: v1alpha1.BudgetDeny, Max: 40, Free: 40, Kinds: []audit.KindUse{}, Holders: []v1alpha1.Holder{}}, use[0],
		"namespaces that admission leaves alone are not counted")
}
