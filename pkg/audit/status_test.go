package audit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 500, time.UTC)

func at(t time.Time) metav1.Time { return metav1.Time{Time: t.Truncate(time.Second)} }

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: 3, LastTransitionTime: at(noon)}
}

const firm = "the bounds hang on nothing that a workload or a namespace states of itself"

func TestAStatusSaysWhatAPolicyDoes(t *testing.T) {
	inForce := condition("Ready", metav1.ConditionTrue, "InForce", "the policy is valid and in force")
	compliant := condition("Compliant", metav1.ConditionTrue, "NoViolations", "nothing that exists breaks a bound")
	stamp := at(noon)
	for name, c := range map[string]struct {
		policy string
		want   v1alpha1.ComputePolicyStatus
	}{
		"without bounds": {`{metadata: {name: p}, spec: {}}`, v1alpha1.ComputePolicyStatus{
			Conditions: []metav1.Condition{inForce, condition("Advisory", metav1.ConditionFalse, "NoBounds", "the policy sets no bounds"), compliant},
			Violations: &v1alpha1.Violations{}, Audited: &stamp}},
		"bounds that hold": {`{metadata: {name: p}, spec: {bounds: {maxScale: {max: 9, enforcement: Clamp}, gpusPerPod: {max: 4, enforcement: Audit}, gpuTypes: {allowed: ["*"]}}}}`, v1alpha1.ComputePolicyStatus{
			Enforcement: "Deny, Clamp, Audit",
			Conditions: []metav1.Condition{inForce, condition("Advisory", metav1.ConditionFalse, "NotAvoidable", firm),
				condition("Compliant", metav1.ConditionFalse, "Violations", "1 violation; what exists goes on, and may not grow")},
			Violations: &v1alpha1.Violations{Total: 1,
				ByBound: []v1alpha1.BoundViolations{{Bound: "maxScale", Enforcement: "Clamp"}, {Bound: "gpusPerPod", Enforcement: "Audit"}, {Bound: "gpuTypes", Enforcement: "Deny", Count: 1}},
				List: []v1alpha1.ObjectViolation{{Namespace: "ml", Kind: "Service", Name: "app", Bound: "gpuTypes",
					Message: "asks for GPUs of no particular type (nothing pins the pod to one); policy p allows only * (bounds.gpuTypes.allowed)"}}}, Audited: &stamp}},
		"bounds that labels of workloads get around": {`{metadata: {name: p}, spec: {workloadSelector: {matchLabels: {tier: prod}}, namespaceSelector: {matchLabels: {team: research}}, bounds: {minScale: {max: 4}}}}`, v1alpha1.ComputePolicyStatus{
			Enforcement: "Deny",
			Conditions: []metav1.Condition{inForce, condition("Advisory", metav1.ConditionTrue, "WorkloadSelector",
				"spec.workloadSelector selects by labels that whoever writes a workload chooses: new workloads get around the bounds by leaving them out"), compliant},
			Violations: &v1alpha1.Violations{ByBound: []v1alpha1.BoundViolations{{Bound: "minScale", Enforcement: "Deny"}}}, Audited: &stamp}},
		"bounds that labels of namespaces get around": {`{metadata: {name: p}, spec: {namespaceSelector: {matchLabels: {team: research}, matchExpressions: [{key: env, operator: Exists}, {key: kubernetes.io/metadata.name, operator: NotIn, values: [a]}]}, bounds: {minScale: {max: 4}}}}`, v1alpha1.ComputePolicyStatus{
			Enforcement: "Deny",
			Conditions: []metav1.Condition{inForce, condition("Advisory", metav1.ConditionFalse, "NamespaceLabels",
				"spec.namespaceSelector selects by labels of namespaces (env, team): the bounds hold as long as tenants may not update Namespaces"), compliant},
			Violations: &v1alpha1.Violations{ByBound: []v1alpha1.BoundViolations{{Bound: "minScale", Enforcement: "Deny"}}}, Audited: &stamp}},
		"the name of a namespace, which nobody changes": {`{metadata: {name: p}, spec: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ml}}, bounds: {minScale: {max: 4}}}}`, v1alpha1.ComputePolicyStatus{
			Enforcement: "Deny", Conditions: []metav1.Condition{inForce, condition("Advisory", metav1.ConditionFalse, "NotAvoidable", firm), compliant},
			Violations: &v1alpha1.Violations{ByBound: []v1alpha1.BoundViolations{{Bound: "minScale", Enforcement: "Deny"}}}, Audited: &stamp}},
		"an invalid policy": {`{metadata: {name: p}, spec: {workloadSelector: {matchLabels: {a: b}}, bounds: {maxScale: {max: -1}}, priority: 1.5}}`, v1alpha1.ComputePolicyStatus{
			Conditions: []metav1.Condition{
				condition("Ready", metav1.ConditionFalse, "Invalid", `spec.priority: Invalid value: 1.5: must be a whole number; until this is mended, whatever asks for more GPUs than before is refused`),
				condition("Compliant", metav1.ConditionUnknown, "Invalid", "the bounds of an invalid policy are not known")}}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.ObservedGeneration = 3
			r := audit.Run(input(t, []string{c.policy}, ksvc("app", 3, "")))
			assert.Equal(t, c.want, r.Status(r.Policies[0], 3, v1alpha1.ComputePolicyStatus{}, noon))
		})
	}
}

// TestAccountsThatMayMakePodsInASelectedNamespaceAreInTheStatus: of policies that bound GPUs, as they select.
func TestAccountsThatMayMakePodsInASelectedNamespaceAreInTheStatus(t *testing.T) {
	const bounds = "bounds: {gpusPerPod: {max: 4}}"
	for name, test := range map[string]struct {
		policy   string
		excluded []string
		want     bool
	}{
		"all namespaces":           {`{metadata: {name: p}, spec: {` + bounds + `}}`, nil, true},
		"that namespace":           {`{metadata: {name: p}, spec: {namespaceSelector: {matchLabels: {team: ray}}, ` + bounds + `}}`, nil, true},
		"others":                   {`{metadata: {name: p}, spec: {namespaceSelector: {matchLabels: {team: ml}}, ` + bounds + `}}`, nil, false},
		"all, without it":          {`{metadata: {name: p}, spec: {` + bounds + `}}`, []string{"kuberay-operator"}, false},
		"all, bounding something":  {`{metadata: {name: p}, spec: {bounds: {maxScale: {max: 4}}}}`, nil, false},
		"all, and sets a priority": {`{metadata: {name: p}, spec: {priority: 4}}`, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(t, []string{test.policy})
			in.Namespaces = map[string]map[string]string{"kuberay-operator": {"team": "ray"}, "ml": {"team": "ml"}}
			in.Excluded = test.excluded
			r := audit.Run(in)
			s := r.Status(r.Policies[0], 3, v1alpha1.ComputePolicyStatus{}, noon)
			var got []metav1.Condition
			for _, c := range s.Conditions {
				if c.Type == v1alpha1.ConditionMakersApart {
					got = append(got, c)
				}
			}
			var want []metav1.Condition
			if test.want {
				want = []metav1.Condition{condition("MakersApart", metav1.ConditionFalse, "MakersSelected",
					"trusted to make pods of operators' kinds, in namespaces that this selects: kuberay-operator/kuberay-operator; "+
						"whoever may write there may act as these, so let no tenant write there, or have the installation leave these namespaces out")}
			}
			assert.Equal(t, want, got)
			in.Namespaces = nil
			assert.NotContains(t, fmt.Sprint(audit.Run(in).Status(r.Policies[0], 3, s, noon).Conditions), "MakersApart", "once it is gone")
		})
	}
}

func TestOnlyWhatChangedIsWritten(t *testing.T) {
	in := input(t, []string{two}, ksvc("a", 3, ""))
	r := audit.Run(in)
	d := r.Policies[0]
	first := r.Status(d, 1, v1alpha1.ComputePolicyStatus{}, noon)
	assert.True(t, audit.Outdated(v1alpha1.ComputePolicyStatus{}, first), "the first one")

	soon, later := noon.Add(10*time.Minute), noon.Add(time.Hour)
	assert.False(t, audit.Outdated(first, r.Status(d, 1, first, soon)), "the same a moment later")
	assert.True(t, audit.Outdated(first, r.Status(d, 1, first, later)), "the time, by the hour")
	assert.True(t, audit.Outdated(first, r.Status(d, 2, first, soon)), "another generation")

	in.Objects = nil
	r = audit.Run(in)
	mended := r.Status(d, 1, first, soon)
	assert.True(t, audit.Outdated(first, mended), "what was found")
	before, now := meta.FindStatusCondition(first.Conditions, "Compliant"), meta.FindStatusCondition(mended.Conditions, "Compliant")
	assert.Equal(t, []metav1.Time{at(noon), at(soon)}, []metav1.Time{before.LastTransitionTime, now.LastTransitionTime})
	assert.Equal(t, at(noon), meta.FindStatusCondition(mended.Conditions, "Ready").LastTransitionTime, "nothing became of this one")
}

func TestWhatWasFoundStaysWhileNothingCanBeRead(t *testing.T) {
	r := audit.Run(input(t, []string{two}, ksvc("a", 3, "")))
	before := r.Status(r.Policies[0], 1, v1alpha1.ComputePolicyStatus{}, noon)
	got := audit.Unaudited(r.Policies[0], 2, before, noon.Add(time.Minute))
	assert.Equal(t, before.Violations, got.Violations)
	assert.Equal(t, before.Audited, got.Audited)
	assert.Equal(t, int64(2), got.ObservedGeneration)
	assert.True(t, meta.IsStatusConditionTrue(got.Conditions, "Ready"))
	assert.Equal(t, "AuditFailed", meta.FindStatusCondition(got.Conditions, "Compliant").Reason)
	assert.False(t, audit.Outdated(got, audit.Unaudited(r.Policies[0], 2, got, noon.Add(2*time.Minute))), "it is said once")

	invalid := audit.Run(input(t, []string{`{metadata: {name: strict}, spec: {priority: high}}`}))
	assert.Nil(t, audit.Unaudited(invalid.Policies[0], 3, before, noon).Violations, "the bounds they broke are not known any more")
}

func TestAStatusListsTwentyAndCountsAll(t *testing.T) {
	var texts []string
	for i := range 30 {
		texts = append(texts, ksvc(fmt.Sprintf("app-%02d", 29-i), 3, ""))
	}
	r := audit.Run(input(t, []string{two}, texts...))
	all := r.Status(r.Policies[0], 1, v1alpha1.ComputePolicyStatus{}, noon)
	listed := audit.Listed(all)
	require.Len(t, all.Violations.List, 30, "not cut itself")
	assert.Equal(t, all.Violations.List[:20], listed.Violations.List)
	assert.Equal(t, "app-00", listed.Violations.List[0].Name)
	assert.Equal(t, int64(30), listed.Violations.Total)
	assert.Equal(t, int64(30), listed.Violations.ByBound[0].Count)
}

func TestTheAPITakesEveryMessage(t *testing.T) {
	long := strings.Repeat("x", 60)
	var requirements []string
	for i := range 200 {
		requirements = append(requirements, fmt.Sprintf("{key: %s%03d, operator: Exists}", long[:50], i), fmt.Sprintf("{key: b%03d, operator: Near}", i))
	}
	many := "[" + strings.Join(requirements, ", ") + "]"
	for _, text := range []string{
		`{metadata: {name: p}, spec: {namespaceSelector: {matchExpressions: ` + many + `}, bounds: {minScale: {max: 4}}}}`,
		`{metadata: {name: p}, spec: {namespaceSelector: {matchExpressions: ` + strings.ReplaceAll(many, "Near", "Exists") + `}, bounds: {minScale: {max: 4}}}}`,
	} {
		r := audit.Run(input(t, []string{text}))
		for _, c := range r.Status(r.Policies[0], 1, v1alpha1.ComputePolicyStatus{}, noon).Conditions {
			assert.LessOrEqual(t, len(c.Message), 32768)
			assert.LessOrEqual(t, len(c.Message), 4096, "and people")
		}
	}
}
