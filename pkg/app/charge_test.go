package app

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// standalone is a handler with a budget of 10 GPUs in memory.
func standalone() (*requestHandler, *charge.Memory) { return enforcing("") }

func enforcing(how v1alpha1.BudgetEnforcement) (*requestHandler, *charge.Memory) {
	return standaloneWith(v1alpha1.GPUBudgetSpec{Max: new(int64(10)), Enforcement: how})
}

func standaloneWith(spec v1alpha1.GPUBudgetSpec) (*requestHandler, *charge.Memory) {
	budgets := []v1alpha1.GPUBudget{{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: spec}}
	memory := charge.NewMemory(budgets)
	e := working()
	e.current.Store(&snapshot{policies: policy.Compile(nil), budgets: policy.CompileBudgets(budgets), knative: knative.Default()})
	e.charging = &charging{charge: memory.Charge, release: memory.Release, everything: true}
	e.remembered = newMemory()
	e.reader = e.remembered
	return e, memory
}

// gpuService is a Knative Service of some pods with 2 GPUs each.
func gpuService(t *testing.T, name, image, maxScale string) []byte {
	t.Helper()
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": map[string]any{"name": name, "namespace": "team", "uid": name},
		"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{"autoscaling.knative.dev/max-scale": maxScale}},
			"spec": map[string]any{"containers": []any{map[string]any{"image": image, "resources": map[string]any{"limits": map[string]any{"nvidia.com/gpu": 2}}}}}}},
	})
	require.NoError(t, err)
	return raw
}

func ask(operation admissionv1.Operation, name string, object, old []byte) *admissionv1.AdmissionRequest {
	r := &admissionv1.AdmissionRequest{UID: "u", Operation: operation, Namespace: "team", Name: name,
		Kind: metav1.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}}
	r.Object.Raw, r.OldObject.Raw = object, old
	return r
}

func TestTheStandaloneLedgerFollowsWhatItIsTold(t *testing.T) {
	e, memory := standalone()
	five := gpuService(t, "a", "nginx:1", "5")
	require.True(t, e.validate(t.Context(), ask(admissionv1.Create, "a", five, nil)).Allowed)
	refused := e.validate(t.Context(), ask(admissionv1.Create, "b", gpuService(t, "b", "nginx:1", "1"), nil))
	require.False(t, refused.Allowed)
	assert.Contains(t, refused.Result.Message, "asks for 2 GPUs (2 x 1 pod); 0 of 10 are free in budget b")

	image := gpuService(t, "a", "nginx:2", "5")
	require.True(t, e.validate(t.Context(), ask(admissionv1.Update, "a", image, five)).Allowed)
	assert.Equal(t, [2]int64{10, 0}, [2]int64{memory.Status("b").Used, memory.Status("b").Overlap}, "nobody would tell when an overlap is over")

	dry := ask(admissionv1.Delete, "a", nil, image)
	dry.DryRun = new(true)
	e.validate(t.Context(), dry)
	assert.EqualValues(t, 10, memory.Status("b").Used, "a dry run frees nothing")
	e.validate(t.Context(), ask(admissionv1.Delete, "a", nil, image))
	assert.Zero(t, memory.Status("b").Used)
}

// A budget that is introduced gently tells of what is beyond it, and counts it.
func TestABudgetThatWarnsOrAudits(t *testing.T) {
	for enforcement, c := range map[v1alpha1.BudgetEnforcement]struct {
		warned, audited bool
		outcome         review.DecisionOutcome
	}{
		v1alpha1.BudgetWarn:  {warned: true, outcome: review.Warned},
		v1alpha1.BudgetAudit: {audited: true, outcome: review.Audited},
	} {
		t.Run(string(enforcement), func(t *testing.T) {
			e, memory := enforcing(enforcement)
			var decided []review.Decision
			e.decided = func(d []review.Decision) { decided = d }
			require.True(t, e.validate(t.Context(), ask(admissionv1.Create, "a", gpuService(t, "a", "nginx:1", "4"), nil)).Allowed)
			answer := e.validate(t.Context(), ask(admissionv1.Create, "b", gpuService(t, "b", "nginx:1", "5"), nil))
			require.True(t, answer.Allowed)
			said := strings.Join(answer.Warnings, "\n")
			assert.Equal(t, c.warned, strings.Contains(said, "asks for 10 GPUs (2 x 5 pods); 2 of 10 are free in budget b"), said)
			assert.Equal(t, c.audited, answer.AuditAnnotations[review.BoundGPUBudget] == "asks for 10 GPUs (2 x 5 pods); 2 of 10 are free in budget b; max-scale 1 fits", "%v", answer.AuditAnnotations)
			assert.Equal(t, []review.Decision{{Policy: "b", Bound: review.BoundGPUBudget, Enforcement: v1alpha1.Enforcement(enforcement), Outcome: c.outcome}}, decided)
			assert.EqualValues(t, 18, memory.Status("b").Used)
		})
	}
}

// A refusal names who holds the GPUs in the author's own namespace, and of all others only how
// many they hold.
func TestARefusalSaysWhoHoldsTheGPUs(t *testing.T) {
	holder := func(namespace, name string, gpus int64) v1alpha1.Holder {
		return v1alpha1.Holder{Namespace: namespace, Kind: "Service", Name: name, GPUs: gpus}
	}
	const unbounded = ledger.Most
	for name, c := range map[string]struct {
		answer charge.Answer
		want   string
	}{
		"one of theirs, and others": {
			charge.Answer{Outcome: ledger.Outcome{Raised: 4, Free: 1, Of: 10}, All: 9, Own: 4, Holders: []v1alpha1.Holder{holder("web", "secret", 5), holder("team", "old", 4)}},
			"asks for 4 GPUs (2 x 2 pods); 1 of 10 are free in budget b; in namespace team these hold most: Service old 4, and 5 are held in other namespaces; one pod alone asks for 2, and 1 are free, so that no number of pods fits",
		},
		"an unbounded one of theirs": {
			charge.Answer{Outcome: ledger.Outcome{Raised: 4, Of: 10}, All: unbounded, Own: unbounded, Holders: []v1alpha1.Holder{holder("team", "old", unbounded)}},
			"asks for 4 GPUs (2 x 2 pods); 0 of 10 are free in budget b; in namespace team these hold most: Service old an unbounded number",
		},
		"an unbounded one of others": {
			charge.Answer{Outcome: ledger.Outcome{Raised: 4, Of: 10}, All: unbounded, Own: 4, Holders: []v1alpha1.Holder{holder("web", "secret", unbounded), holder("team", "a", 4)}},
			"asks for 4 GPUs (2 x 2 pods); 0 of 10 are free in budget b; in namespace team these hold most: Service a 4, and an unbounded number is held in other namespaces",
		},
		"their own share": {
			charge.Answer{Outcome: ledger.Outcome{Raised: 4, Free: 1, Of: 5, PerNamespace: true}, All: 40, Own: 4, Holders: []v1alpha1.Holder{holder("team", "old", 4)}},
			"asks for 4 GPUs (2 x 2 pods); 1 of the 5 for namespace team are free in budget b; in namespace team these hold most: Service old 4; one pod alone asks for 2, and 1 are free, so that no number of pods fits",
		},
		"an unbounded claim of their own": {
			charge.Answer{Outcome: ledger.Outcome{Raised: unbounded, Free: 10, Of: 10}}, "asks for 4 GPUs (2 x 2 pods); 10 of 10 are free in budget b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := standalone()
			e.charging.charge = func(context.Context, []charge.Demand, bool) []charge.Answer { return []charge.Answer{c.answer} }
			answer := e.validate(t.Context(), ask(admissionv1.Create, "a", gpuService(t, "a", "nginx:1", "2"), nil))
			require.False(t, answer.Allowed)
			assert.Equal(t, c.want, strings.TrimPrefix(answer.Result.Details.Causes[0].Message, "Forbidden: "))
		})
	}
}

// TestAReplicaThatIsCutOffLetsClaimsFallAndNotRise: it may not know of a budget any more.
func TestAReplicaThatIsCutOffLetsClaimsFallAndNotRise(t *testing.T) {
	e, _ := standalone()
	e.charging.everything = false
	e.charging.holds = func() error { return errors.New("cut off") }
	five, four := gpuService(t, "a", "nginx:1", "5"), gpuService(t, "a", "nginx:1", "4")
	rising := e.validate(t.Context(), ask(admissionv1.Update, "a", five, four))
	require.False(t, rising.Allowed)
	assert.EqualValues(t, 429, rising.Result.Code)
	assert.True(t, e.validate(t.Context(), ask(admissionv1.Update, "a", four, five)).Allowed)
}

// TestAReplicaThatIsCutOffRefusesWhatOtherRulesMayCount: policies may list more GPU resources,
// and Knative have other defaults, than it knows.
func TestAReplicaThatIsCutOffRefusesWhatOtherRulesMayCount(t *testing.T) {
	service := func(maxScale string, devices map[string]any) []byte {
		annotations := map[string]any{}
		if maxScale != "" {
			annotations["autoscaling.knative.dev/max-scale"] = maxScale
		}
		raw, err := json.Marshal(map[string]any{
			"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": map[string]any{"name": "a", "namespace": "team", "uid": "a"},
			"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": annotations},
				"spec": map[string]any{"containers": []any{map[string]any{"image": "nginx", "resources": map[string]any{"limits": devices}}}}}},
		})
		require.NoError(t, err)
		return raw
	}
	type devices = map[string]any
	for name, c := range map[string]struct {
		object, old []byte
		allowed     bool
	}{
		"a new one without devices":               {service("5", devices{"cpu": "1", "example.kubernetes.io/zone": 1}), nil, true},
		"a new one with a device that may count":  {service("5", devices{"example.com/npu": 1}), nil, false},
		"fewer of a device":                       {service("5", devices{"example.com/npu": 1}), service("5", devices{"example.com/npu": 2}), true},
		"more of a device":                        {service("5", devices{"example.com/npu": 2}), service("5", devices{"example.com/npu": 1}), false},
		"more pods with a device":                 {service("6", devices{"example.com/npu": 1}), service("5", devices{"example.com/npu": 1}), false},
		"as many devices in all, of another kind": {service("5", devices{"example.com/npu": 2}), service("5", devices{"example.com/fpga": 2}), false},
		"no maximum any more, so a default":       {service("", devices{"nvidia.com/gpu": 1}), service("5", devices{"nvidia.com/gpu": 1}), false},
		"a maximum instead of a default":          {service("5", devices{"nvidia.com/gpu": 1}), service("", devices{"nvidia.com/gpu": 1}), false},
		"the default as before":                   {service("", devices{"nvidia.com/gpu": 1}), service("", devices{"nvidia.com/gpu": 2}), true},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := standalone()
			e.charging.everything = false
			operation := admissionv1.Create
			if c.old != nil {
				operation = admissionv1.Update
			}
			e.charging.holds = func() error { return errors.New("cut off") }
			response := e.validate(t.Context(), ask(operation, "a", c.object, c.old))
			require.Equal(t, c.allowed, response.Allowed, "%+v", response.Result)
			if !c.allowed {
				assert.EqualValues(t, 429, response.Result.Code)
				assert.Contains(t, response.Result.Message, "cut off")
			}
		})
	}
}

func TestAGangThatDoesNotFitIsRefusedAtItsManifest(t *testing.T) {
	e, memory := standalone()
	gang := func(pods, suspend string) []byte {
		return []byte(`{"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": "gang", "namespace": "team", "uid": "g"}, "spec": {"suspend": ` + suspend +
			`, "replicatedJobs": [{"name": "a", "replicas": ` + pods + `, "template": {"spec": {"template": {"spec": {"containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": 1}}}]}}}}}]}}`)
	}
	send := func(operation admissionv1.Operation, object, old []byte) *admissionv1.AdmissionResponse {
		r := ask(operation, "gang", object, old)
		r.Kind = metav1.GroupVersionKind{Group: "jobset.x-k8s.io", Version: "v1alpha2", Kind: "JobSet"}
		return e.validate(t.Context(), r)
	}
	refused := send(admissionv1.Create, gang("11", "false"), nil)
	require.False(t, refused.Allowed)
	assert.Contains(t, refused.Result.Message, "asks for 11 GPUs (1 x 11 pods); 10 of 10 are free in budget b")
	assert.True(t, send(admissionv1.Create, gang("11", "true"), nil).Allowed, "one that waits asks for nothing")
	assert.False(t, send(admissionv1.Update, gang("11", "false"), gang("11", "true")).Allowed, "until it is unsuspended, by whomever")
	assert.True(t, send(admissionv1.Create, gang("10", "false"), nil).Allowed)
	assert.EqualValues(t, 10, memory.Status("b").Used, "the gang is charged as a whole")
	assert.False(t, e.validate(t.Context(), ask(admissionv1.Create, "a", gpuService(t, "a", "nginx:1", "2"), nil)).Allowed)

	assert.True(t, send(admissionv1.Update, gang("6", "false"), gang("10", "false")).Allowed)
	assert.True(t, e.validate(t.Context(), ask(admissionv1.Create, "a", gpuService(t, "a", "nginx:1", "2"), nil)).Allowed)
	assert.False(t, send(admissionv1.Update, gang("7", "false"), gang("6", "false")).Allowed, "4 of 10 are taken")
}
