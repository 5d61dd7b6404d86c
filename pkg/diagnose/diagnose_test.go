package diagnose_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/diagnose"
	"github.com/kubetorch/webhook/pkg/dryrun"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/policy"
)

func parsed(t *testing.T, text string) []offline.Document {
	t.Helper()
	docs, err := offline.Parse("test", []byte(text))
	require.NoError(t, err)
	return docs
}

const allFlags = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-features}\ndata: {kubernetes.podspec-nodeselector: enabled, kubernetes.podspec-tolerations: enabled}\n"

// input is a workload in a cluster of which A100s are scarce; held is what others hold.
func input(t *testing.T, object, policies string, held map[string]int64) diagnose.Query {
	t.Helper()
	inputs, err := offline.Compile(parsed(t, policies), parsed(t, allFlags))
	require.NoError(t, err)
	memory := charge.NewMemory(inputs.Budgets)
	var uses []audit.BudgetUse
	for i := range inputs.Budgets {
		b := &inputs.Budgets[i]
		memory.Hold(b.Name, "other", ledger.ForName("Service", "other", "big"), held[b.Name])
		b.Status = memory.Status(b.Name)
		b.Status.Rules = "some"
		b.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionCounted, Status: metav1.ConditionTrue}}
		uses = append(uses, audit.BudgetUse{Name: b.Name, Holders: []v1alpha1.Holder{{Namespace: "other", Kind: "Service", Name: "big", GPUs: held[b.Name]}}})
	}
	return diagnose.Query{Object: parsed(t, object)[0].Object, Namespace: "default", World: offline.World(nil, inputs, "default"),
		Budgets: inputs.Budgets, Uses: uses}
}

const (
	service = `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: llm, labels: {kubetorch.com/autoscale: "true"}, annotations: {compute.kubetorch.com/gpus: "2", compute.kubetorch.com/gpu-type: NVIDIA-A100, autoscale.kubetorch.com/max-scale: "6"}}, spec: {template: {spec: {containers: [{image: a/b}]}}}}`
	budgets = `
apiVersion: policy.kubetorch.com/v1alpha1
kind: GPUBudget
metadata: {name: all}
spec: {max: 64}
---
apiVersion: policy.kubetorch.com/v1alpha1
kind: GPUBudget
metadata: {name: a100}
spec: {max: 16, gpuTypes: [NVIDIA-A100]}
---
apiVersion: policy.kubetorch.com/v1alpha1
kind: GPUBudget
metadata: {name: l4}
spec: {max: 8, gpuTypes: [NVIDIA-L4]}
`
)

func TestExplain(t *testing.T) {
	const policyText = "---\napiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {name: p}\nspec: {bounds: {gpusPerWorkload: {max: 10}}}\n"
	const deployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {replicas: 9, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: a/b, resources: {limits: {nvidia.com/gpu: 8}}}]}}}}`
	const native = `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: llm}, spec: {template: {spec: {containers: [{image: a/b, resources: {limits: {nvidia.com/gpu: 4}}}]}}}}`
	for name, test := range map[string]struct {
		object, policies string
		held             map[string]int64
		allowed          bool
		reasons          []string
		fit              string
	}{
		"what is admitted": {service, budgets, nil, true, []string{}, ""},
		"a budget of its type, and another one that has more": {service, budgets, map[string]int64{"a100": 10}, false,
			[]string{"spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for 12 GPUs (2 x 6 pods); 6 of 16 are free in budget a100"},
			"max-scale 3 fits; 4 with gpu-type NVIDIA-L4"},
		"nothing is left of its type": {service, budgets, map[string]int64{"a100": 16}, false,
			[]string{"spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for 12 GPUs (2 x 6 pods); 0 of 16 are free in budget a100"},
			"max-scale 4 fits with gpu-type NVIDIA-L4"},
		"nothing is left at all": {service, budgets, map[string]int64{"all": 64}, false,
			[]string{"spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for 12 GPUs (2 x 6 pods); 0 of 64 are free in budget all"}, "not even one pod fits"},
		"a bound": {service, budgets + policyText, nil, false,
			[]string{"spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for 12 GPUs (2 x 6 pods); policy p allows at most 10 (bounds.gpusPerWorkload.max)"}, "max-scale 5 fits"},
		"a Deployment of fixed size": {deployment, budgets, nil, false,
			[]string{"spec.replicas: Forbidden: asks for 72 GPUs (8 x 9 pods); 16 of 16 are free in budget a100", "; 64 of 64 are free in budget all", "; 8 of 8 are free in budget l4"}, "replicas 1 fits"},
		"a Service without a maximum": {native, "apiVersion: policy.kubetorch.com/v1alpha1\nkind: GPUBudget\nmetadata: {name: all}\nspec: {max: 64}\n", map[string]int64{"all": 20}, false, nil, "max-scale 11 fits"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := diagnose.Explain(input(t, test.object, test.policies, test.held))
			require.NoError(t, err)
			assert.Equal(t, test.allowed, a.Allowed)
			if test.reasons != nil {
				assert.Equal(t, len(test.reasons), len(a.Reasons))
				for i := range test.reasons {
					assert.Contains(t, a.Reasons[i], test.reasons[i])
				}
			}
			assert.Equal(t, test.fit, a.Fit)
		})
	}
}

func TestExplainNamesWhoHoldsTheBudget(t *testing.T) {
	a, err := diagnose.Explain(input(t, service, budgets, map[string]int64{"a100": 10}))
	require.NoError(t, err)
	assert.Equal(t, []diagnose.BudgetState{
		{Name: "a100", Asks: "12 GPUs (2 x 6 pods)", Free: 6, Of: 16, Counted: true, Holders: []diagnose.AgedHolder{{Holder: v1alpha1.Holder{Namespace: "other", Kind: "Service", Name: "big", GPUs: 10}}}},
		{Name: "all", Asks: "12 GPUs (2 x 6 pods)", Free: 52, Of: 64, Fits: true, Counted: true, Holders: []diagnose.AgedHolder{{Holder: v1alpha1.Holder{Namespace: "other", Kind: "Service", Name: "big"}}}},
	}, a.Budgets)
	assert.Equal(t, []dryrun.Fit{{Pods: 3}, {Pods: 4, Type: "NVIDIA-L4"}}, a.Fits)
}

func TestExplainWhileABudgetIsCounted(t *testing.T) {
	const warns = "apiVersion: policy.kubetorch.com/v1alpha1\nkind: GPUBudget\nmetadata: {name: all}\nspec: {max: 64, enforcement: Warn}\n"
	const reason = "budget a100 is being counted, so no claim may rise right now; ask again in a minute"
	uncounted := func(i int, in diagnose.Query) diagnose.Query {
		in.Budgets[i].Status.Conditions[0].Status = metav1.ConditionFalse
		return in
	}
	a, err := diagnose.Explain(uncounted(2, input(t, service, budgets, nil)))
	require.NoError(t, err)
	assert.True(t, a.Allowed, "the budget that is counted has another type: %v", a.Reasons)

	in := input(t, service, budgets, nil)
	for i := range in.Budgets {
		in.Budgets[i].Generation = 2 // counted as it was before
	}
	a, err = diagnose.Explain(in)
	require.NoError(t, err)
	assert.False(t, a.Allowed)
	assert.True(t, a.Unknown)
	assert.Contains(t, a.Reasons, reason)
	assert.Empty(t, a.Fit)

	in.Old = in.Object
	a, err = diagnose.Explain(in)
	require.NoError(t, err)
	assert.True(t, a.Allowed, "what does not rise is admitted: %v", a.Reasons)

	in = input(t, service, budgets, map[string]int64{"all": 64})
	in.Budgets[1].Generation = 2
	a, err = diagnose.Explain(in)
	require.NoError(t, err)
	assert.False(t, a.Unknown, "it would not fit anyway")

	a, err = diagnose.Explain(uncounted(0, input(t, service, warns, nil)))
	require.NoError(t, err)
	assert.True(t, a.Allowed, "a budget that warns admits while it is counted: %v", a.Reasons)
}

func TestExplainABudgetThatOnlyWarns(t *testing.T) {
	const warns = "apiVersion: policy.kubetorch.com/v1alpha1\nkind: GPUBudget\nmetadata: {name: all}\nspec: {max: 8, enforcement: Warn}\n"
	a, err := diagnose.Explain(input(t, service, warns, nil))
	require.NoError(t, err)
	assert.True(t, a.Allowed, "%v", a.Reasons)
	assert.Contains(t, a.Warnings, "spec.template.metadata.annotations[autoscaling.knative.dev/max-scale] asks for 12 GPUs (2 x 6 pods); 8 of 8 are free in budget all; max-scale 4 fits")
	assert.False(t, a.Budgets[0].Fits)
}

func TestHoldersAreCountedAsTheLedgerCounts(t *testing.T) {
	inputs, err := offline.Compile(parsed(t, budgets), nil)
	require.NoError(t, err)
	objects, namespaces := offline.Objects(parsed(t, `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: small, uid: u1}, spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "2"}}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}}}}
---
{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: large, namespace: a, uid: u2}, spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "3"}}, spec: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{resources: {limits: {nvidia.com/gpu: 4}}}]}}}}
`))
	_, uses := audit.Budgets(audit.Listing{Policies: policy.Compile(nil), Knative: knative.Default(), Served: true, Objects: cluster.AllOf(objects), Namespaces: namespaces}, inputs.Budgets)
	large, small := v1alpha1.Holder{Namespace: "a", Kind: "Service", Name: "large", GPUs: 12}, v1alpha1.Holder{Namespace: "default", Kind: "Service", Name: "small", GPUs: 2}
	assert.Equal(t, []audit.BudgetUse{
		{Name: "a100", Enforcement: "Deny", Max: 16, Claimed: 2, Free: 14, Kinds: []audit.KindUse{{Kind: "Service", Objects: 1, GPUs: 2}}, Holders: []v1alpha1.Holder{small}},
		{Name: "all", Enforcement: "Deny", Max: 64, Claimed: 14, Free: 50, Kinds: []audit.KindUse{{Kind: "Service", Objects: 2, GPUs: 14}}, Holders: []v1alpha1.Holder{large, small}},
		{Name: "l4", Enforcement: "Deny", Max: 8, Claimed: 14, Kinds: []audit.KindUse{{Kind: "Service", Objects: 2, GPUs: 14}}, Holders: []v1alpha1.Holder{large, small}},
	}, uses)
}

func TestTree(t *testing.T) {
	docs := parsed(t, `{apiVersion: serving.knative.dev/v1, kind: Configuration, metadata: {name: llm, uid: c, ownerReferences: [{uid: s}]}, spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "5"}}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}}}}
---
{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: llm, uid: t, ownerReferences: [{uid: s}]}, status: {conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: serving.knative.dev/v1, kind: Revision, metadata: {name: llm-1, uid: r, annotations: {autoscaling.knative.dev/max-scale: "5"}, ownerReferences: [{uid: c}]}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}, status: {conditions: [{type: Active, status: "True"}, {type: Ready, status: "False", reason: Unschedulable, message: "0/3 nodes\n are available"}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: llm-1-deployment, uid: d, ownerReferences: [{uid: r}]}, spec: {replicas: 2, template: {spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}}}}
---
{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: llm-1-x, uid: rs, ownerReferences: [{uid: d}]}, spec: {replicas: 2, template: {spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: llm-1-x-b, uid: p2, ownerReferences: [{uid: rs}]}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}, status: {phase: Pending}}
---
{apiVersion: v1, kind: Pod, metadata: {name: llm-1-x-a, uid: p1, ownerReferences: [{uid: rs}]}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}, status: {phase: Running, conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: of-somebody-else, uid: p3}, spec: {}}
---
{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: llm, uid: s, ownerReferences: [{uid: p1}]}, spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "5"}}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}}}}
`)
	var objects []manifest.Object
	for _, d := range docs {
		objects = append(objects, d.Object)
	}
	var out bytes.Buffer
	// The Service says that a Pod of its own owns it, which ends there.
	require.NoError(t, diagnose.Tree(objects[len(objects)-1], objects, knative.Default(), policy.Compile(nil).GPUResources()).Write(&out))
	assert.Equal(t, "OBJECT                                    GPUS              CONDITION\n"+
		"Service llm                               10 (2 x 5 pods)   \n"+
		"|-- Configuration llm                     10 (2 x 5 pods)   \n"+
		"|   `-- Revision llm-1                    10 (2 x 5 pods)   Ready=False Unschedulable: 0/3 nodes are available\n"+
		"|       `-- Deployment llm-1-deployment   4 (2 x 2 pods)    \n", firstLines(out.String(), 5))
	assert.Contains(t, out.String(), "|-- Pod llm-1-x-a")
	assert.Contains(t, out.String(), "`-- Pod llm-1-x-b")
	assert.Contains(t, out.String(), "Pending")
	assert.Contains(t, out.String(), "`-- Route llm")
	assert.NotContains(t, out.String(), "of-somebody-else")
}

func firstLines(text string, n int) string {
	end := 0
	for ; n > 0; n-- {
		end += bytes.IndexByte([]byte(text[end:]), '\n') + 1
	}
	return text[:end]
}
