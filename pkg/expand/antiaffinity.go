package expand

import (
	"slices"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// gpuNodeLabels are those by which kubetorch's client tells nodes with GPUs.
var gpuNodeLabels = []string{"nvidia.com/gpu", "eks.amazonaws.com/instance-gpu-count", "cloud.google.com/gke-accelerator"}

// awayTerm is the node selector term that keeps a pod away from nodes with GPUs.
func awayTerm() manifest.Object {
	expressions := make([]any, len(gpuNodeLabels))
	for i, label := range gpuNodeLabels {
		expressions[i] = manifest.Object{"key": label, "operator": "DoesNotExist"}
	}
	return manifest.Object{"matchExpressions": expressions}
}

// termsPath is where the terms of a required node affinity stand.
var termsPath = []any{"spec", "template", "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"}

func terms(pod manifest.Object) []manifest.Object {
	return manifest.Objects(pod, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
}

// keepsAway tells whether a term rules out every node with GPUs.
func keepsAway(term manifest.Object) bool {
	have := manifest.Objects(term, "matchExpressions")
	for _, want := range manifest.Objects(awayTerm(), "matchExpressions") {
		if !slices.ContainsFunc(have, func(h manifest.Object) bool { return manifest.Equal(h, want) }) {
			return false
		}
	}
	return true
}

// awayFromGPUs tells whether a pod spec rules out every node with GPUs. The terms of an
// affinity are alternatives, so each of them has to.
func awayFromGPUs(pod manifest.Object) bool {
	all := terms(pod)
	return len(all) > 0 && !slices.ContainsFunc(all, func(t manifest.Object) bool { return !keepsAway(t) })
}

// antiAffinity keeps a pod that needs no GPU away from the nodes that have some.
func (e *expansion) antiAffinity() {
	p := parameter.GPUAntiAffinity
	away := awayFromGPUs(e.podSpec())
	_, owned := e.before[antiAffinityLocation]
	w, ok := e.wanted(p, location{name: antiAffinityLocation, path: termsPath}, "true", away && !owned)
	switch {
	case !ok:
		return
	case e.asksForGPUs() && w.stated != nil:
		e.refuse(w.stated.Path, w.stated.Text, "the pod asks for GPUs, which no node without any has; leave it out")
		return
	case e.asksForGPUs(): // a default is for workloads without GPUs
		return
	case !away && !e.allowed(p, w, knative.FlagAffinity):
		return
	}
	e.values.put(Setting{Name: p.Name, Value: w.text, From: w.from})
	if away && !owned {
		return
	}
	e.after.put(antiAffinityLocation, Entry{Value: "true", From: w.from})
	e.keepAwayFromGPUs()
}

// keepAwayFromGPUs adds what rules out nodes with GPUs to every term, or makes one.
func (e *expansion) keepAwayFromGPUs() {
	all := terms(e.podSpec())
	if len(all) == 0 {
		e.add(awayTerm(), termsPath...)
		return
	}
	for i, term := range all {
		have := manifest.Objects(term, "matchExpressions")
		for _, want := range manifest.Objects(awayTerm(), "matchExpressions") {
			if !slices.ContainsFunc(have, func(h manifest.Object) bool { return manifest.Equal(h, want) }) {
				e.add(want, slices.Concat(termsPath, []any{i, "matchExpressions"})...)
			}
		}
	}
}

// dropAntiAffinity takes out what an earlier expansion added, with whatever is empty then.
func (e *expansion) dropAntiAffinity() {
	for i := len(terms(e.podSpec())) - 1; i >= 0; i-- {
		expressions := manifest.Objects(terms(e.podSpec())[i], "matchExpressions")
		for j, expression := range slices.Backward(expressions) {
			if slices.ContainsFunc(manifest.Objects(awayTerm(), "matchExpressions"), func(o manifest.Object) bool { return manifest.Equal(o, expression) }) {
				e.remove(slices.Concat(termsPath, []any{i, "matchExpressions", j})...)
			}
		}
		if manifest.Equal(terms(e.podSpec())[i], manifest.Object{}) {
			e.remove(slices.Concat(termsPath, []any{i})...)
		}
	}
}
