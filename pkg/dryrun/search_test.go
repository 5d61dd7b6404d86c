package dryrun_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/dryrun"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// place is a namespace with policies, and budgets of which others hold something.
type place struct {
	world   review.World
	budgets *policy.Budgets
	memory  *charge.Memory
}

func parsed(t testing.TB, text string) []offline.Document {
	t.Helper()
	docs, err := offline.Parse("test", []byte(text))
	require.NoError(t, err)
	return docs
}

func newPlace(t testing.TB, policies string, held map[string]int64) *place {
	t.Helper()
	const features = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-features}\ndata: {kubernetes.podspec-nodeselector: enabled, kubernetes.podspec-tolerations: enabled}\n"
	in, err := offline.Compile(parsed(t, policies), parsed(t, features))
	require.NoError(t, err)
	p := &place{world: offline.World(nil, in, "default"), budgets: policy.CompileBudgets(in.Budgets), memory: charge.NewMemory(in.Budgets)}
	for name, gpus := range held {
		p.memory.Hold(name, "default", ledger.ForName("Service", "default", "other"), gpus)
	}
	return p
}

// admit admits an object, and answers with how many pods it then has at most, 0 if it is refused, and with what its
// refusal says that would fit.
func (p *place) admit(t testing.TB, o manifest.Object) (pods int64, fit string) {
	t.Helper()
	raw, err := dryrun.Request(o, nil, "default", authenticationv1.UserInfo{Username: "somebody"})
	require.NoError(t, err)
	r, err := dryrun.Admit(p.world, raw)
	require.NoError(t, err)
	if r.Request == nil {
		return 0, ""
	}
	labels, known := p.world.NamespaceLabels("default")
	ledgers := dryrun.Ledgers{Ask: p.memory.Charge}
	search := dryrun.Search{World: p.world, Budgets: p.budgets, Labels: labels, Known: known, Room: ledgers.Room}
	charges, refused := r.Request.Charges(p.budgets, r.Claims, labels, known, false)
	require.Empty(t, refused)
	allowed := r.Allowed
	for _, c := range charges {
		answers := p.memory.Charge(context.Background(), []charge.Demand{{Budget: c.Budget.Name, Charges: c.Charges}}, true)
		allowed = allowed && answers[0].Admits()
	}
	if !allowed && r.ForPods {
		fit = search.Fitting(context.Background(), r.Request).Words
	}
	if !allowed {
		return 0, fit
	}
	require.Len(t, r.Claims, 1)
	return r.Claims[0].Demand.PeakPods, ""
}

// said is one thing that a sentence says would fit.
type said struct {
	pods    int64
	kind    string
	lowered []string
}

var (
	clause = regexp.MustCompile(`^(?:max-scale )?(\d+)(?: fits)?(?: with gpu-type (\S+?))?(, with an? .+ no larger)?$`)
	scales = regexp.MustCompile(`min-scale|initial-scale`)
)

func read(t *testing.T, sentence string) (all []said) {
	t.Helper()
	for text := range strings.SplitSeq(sentence, "; ") {
		m := clause.FindStringSubmatch(text)
		require.NotNil(t, m, "%q", sentence)
		n, err := strconv.ParseInt(m[1], 10, 64)
		require.NoError(t, err)
		all = append(all, said{n, m[2], scales.FindAllString(m[3], -1)})
	}
	return all
}

// follow does what a sentence says, as an author would.
func follow(o manifest.Object, s said, pods int64) manifest.Object {
	o = runtime.DeepCopyJSON(o)
	annotations, prefix := manifest.Map(o, "metadata", "annotations"), "autoscale.kubetorch.com/"
	if manifest.Map(o, "metadata", "labels") == nil {
		annotations, prefix = manifest.Map(o, "spec", "template", "metadata", "annotations"), "autoscaling.knative.dev/"
	}
	annotations[prefix+"max-scale"] = strconv.FormatInt(pods, 10)
	for _, name := range s.lowered {
		annotations[prefix+name] = strconv.FormatInt(pods, 10)
	}
	if s.kind != "" {
		annotations["compute.kubetorch.com/gpu-type"] = s.kind
	}
	return o
}

// drawn is a workload, and policies and budgets that may refuse it.
func drawn(r *rand.Rand) (o manifest.Object, policies string, held map[string]int64) {
	scales := map[string]int64{"max-scale": r.Int64N(30)}
	if r.IntN(3) == 0 {
		delete(scales, "max-scale")
	}
	for _, name := range []string{"min-scale", "initial-scale"} {
		if most, stated := scales["max-scale"]; r.IntN(3) == 0 && (!stated || most > 0) {
			if !stated {
				most = 10
			}
			scales[name] = r.Int64N(most + 1)
		}
	}
	gpus := 1 + r.Int64N(4)
	labelled := r.IntN(3) > 0
	o = manifest.Object{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": manifest.Object{"name": "llm", "namespace": "default"}}
	container := manifest.Object{"image": "registry.example.com/llm:v1"}
	annotations := manifest.Object{}
	prefix := "autoscaling.knative.dev/"
	if labelled {
		prefix = "autoscale.kubetorch.com/"
		annotations["compute.kubetorch.com/gpus"] = strconv.FormatInt(gpus, 10)
		if r.IntN(2) == 0 {
			annotations["compute.kubetorch.com/gpu-type"] = []string{"NVIDIA-A100", "NVIDIA-L4"}[r.IntN(2)]
		}
	} else {
		container["resources"] = manifest.Object{"limits": manifest.Object{"nvidia.com/gpu": gpus}}
	}
	for name, n := range scales {
		if !labelled || name != "max-scale" || n > 0 {
			annotations[prefix+name] = strconv.FormatInt(n, 10)
		}
	}
	template := manifest.Object{"metadata": manifest.Object{"annotations": manifest.Object{}}, "spec": manifest.Object{"containers": []any{container}}}
	if labelled {
		manifest.Map(o, "metadata")["labels"] = manifest.Object{"kubetorch.com/autoscale": "true"}
		manifest.Map(o, "metadata")["annotations"] = annotations
	} else {
		manifest.Map(template, "metadata")["annotations"] = annotations
	}
	o["spec"] = manifest.Object{"template": template}

	var docs []string
	held = map[string]int64{}
	for i, types := range []string{"[]", "[NVIDIA-A100]", "[NVIDIA-L4, NVIDIA-T4]"} {
		if r.IntN(3) == 0 {
			continue
		}
		name, most := fmt.Sprintf("b%d", i), r.Int64N(40)
		perNamespace := ""
		if r.IntN(3) == 0 {
			perNamespace = fmt.Sprintf(", maxPerNamespace: %d", r.Int64N(40))
		}
		docs = append(docs, fmt.Sprintf("{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: %s}, spec: {max: %d, gpuTypes: %s%s}}", name, most, types, perNamespace))
		held[name] = r.Int64N(most + 1)
	}
	var bounds []string
	for _, bound := range []string{
		fmt.Sprintf("maxScale: {max: %d}", 1+r.IntN(12)), fmt.Sprintf("gpusPerWorkload: {max: %d}", 1+r.IntN(40)),
		"gpuTypes: {allowed: [NVIDIA-L4]}", fmt.Sprintf("minScale: {max: %d}", r.IntN(8)), fmt.Sprintf("maxScale: {max: %d, enforcement: Clamp}", 1+r.IntN(12)),
	} {
		if r.IntN(4) == 0 && !(strings.HasPrefix(bound, "maxScale") && strings.Contains(strings.Join(bounds, ""), "maxScale")) {
			bounds = append(bounds, bound)
		}
	}
	defaults := ""
	if r.IntN(4) == 0 {
		defaults = fmt.Sprintf("defaults: {autoscale: {minScale: %d}}, ", r.IntN(6))
	}
	docs = append(docs, fmt.Sprintf("{apiVersion: policy.kubetorch.com/v1alpha1, kind: ComputePolicy, metadata: {name: p}, spec: {%sbounds: {%s}}}", defaults, strings.Join(bounds, ", ")))
	return o, strings.Join(docs, "\n---\n"), held
}

// TestWhatARefusalSuggestsIsAdmittedAndOneMoreIsNot does what refusals say in drawn worlds, in which types, bounds,
// several budgets and scales that the workload states play together.
func TestWhatARefusalSuggestsIsAdmittedAndOneMoreIsNot(t *testing.T) {
	refusals, clauses, kinds, lowered := 0, 0, 0, 0
	for seed := range uint64(250) {
		o, policies, held := drawn(rand.New(rand.NewPCG(seed, 23)))
		p := newPlace(t, policies, held)
		pods, sentence := p.admit(t, o)
		if pods > 0 {
			continue
		}
		if refusals++; sentence == "" {
			continue
		}
		about := fmt.Sprintf("seed %d: %s\n%v\n%s %v", seed, sentence, o, policies, held)
		for _, s := range read(t, sentence) {
			clauses++
			if s.kind != "" {
				kinds++
			}
			if len(s.lowered) > 0 {
				lowered++
			}
			admitted, _ := p.admit(t, follow(o, s, s.pods))
			assert.Equal(t, s.pods, admitted, about)
			if s.pods < askedFor(o) { // a bound may lower it
				admitted, _ = p.admit(t, follow(o, s, s.pods+1))
				assert.LessOrEqual(t, admitted, s.pods, "one more than %s", about)
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d refusals, %d suggestions, %d with another type, %d with other scales", refusals, clauses, kinds, lowered)
	assert.Greater(t, refusals, 100)
	assert.Greater(t, clauses, 100)
	assert.Greater(t, kinds, 20)
	assert.Greater(t, lowered, 10)
}

// askedFor is the largest of the scales that a drawn workload states, or its default.
func askedFor(o manifest.Object) int64 {
	annotations, prefix := manifest.Texts(o, "metadata", "annotations"), "autoscale.kubetorch.com/"
	absent := int64(10)
	if manifest.Map(o, "metadata", "labels") == nil {
		annotations, prefix, absent = manifest.Texts(o, "spec", "template", "metadata", "annotations"), "autoscaling.knative.dev/", 1<<20
	}
	most := int64(0)
	if n, err := strconv.ParseInt(annotations[prefix+"max-scale"], 10, 64); err == nil && n > 0 {
		most = n
	} else {
		most = absent
	}
	for _, name := range []string{"min-scale", "initial-scale"} {
		if n, err := strconv.ParseInt(annotations[prefix+name], 10, 64); err == nil {
			most = max(most, n)
		}
	}
	return most
}

// BenchmarkFitting is what the sentence adds to a refusal, where two types are named beside that of the workload.
func BenchmarkFitting(b *testing.B) {
	o := manifest.Object{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": manifest.Object{"name": "llm", "namespace": "default",
		"labels": manifest.Object{"kubetorch.com/autoscale": "true"}, "annotations": manifest.Object{"compute.kubetorch.com/gpus": "2", "compute.kubetorch.com/gpu-type": "NVIDIA-A100"}},
		"spec": manifest.Object{"template": manifest.Object{"spec": manifest.Object{"containers": []any{manifest.Object{"image": "registry.example.com/llm:v1"}}}}}}
	p := newPlace(b, "{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: a}, spec: {max: 8, gpuTypes: [NVIDIA-A100]}}\n---\n"+
		"{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: b}, spec: {max: 12, gpuTypes: [NVIDIA-L4, NVIDIA-T4]}}", nil)
	for b.Loop() {
		if _, sentence := p.admit(b, o); sentence != "max-scale 4 fits; 6 with gpu-type NVIDIA-L4; 6 with gpu-type NVIDIA-T4" {
			b.Fatal(sentence)
		}
	}
}

// TestASearchEndsWithItsTime: what it could not try out is not suggested, and takes no processor's time.
func TestASearchEndsWithItsTime(t *testing.T) {
	p := newPlace(t, "{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: a}, spec: {max: 8}}", nil)
	o := manifest.Object{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": manifest.Object{"name": "llm", "namespace": "default",
		"labels": manifest.Object{"kubetorch.com/autoscale": "true"}, "annotations": manifest.Object{"compute.kubetorch.com/gpus": "2"}},
		"spec": manifest.Object{"template": manifest.Object{"spec": manifest.Object{"containers": []any{manifest.Object{"image": "registry.example.com/llm:v1"}}}}}}
	raw, err := dryrun.Request(o, nil, "default", authenticationv1.UserInfo{Username: "somebody"})
	require.NoError(t, err)
	r, err := dryrun.Admit(p.world, raw)
	require.NoError(t, err)
	asked := 0
	ledgers := dryrun.Ledgers{Ask: p.memory.Charge}
	search := dryrun.Search{World: p.world, Budgets: p.budgets, Known: true, Room: func(ctx context.Context, charges []review.BudgetCharge) (bool, error) {
		asked++
		return ledgers.Room(ctx, charges)
	}}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, review.Fitting{Tried: true}, search.Fitting(ended, r.Request))
	assert.Zero(t, asked)
	again := dryrun.Search{World: p.world, Budgets: p.budgets, Known: true, Room: search.Room}
	assert.Equal(t, "max-scale 4 fits", again.Fitting(t.Context(), r.Request).Words)
	assert.Positive(t, asked)
}
