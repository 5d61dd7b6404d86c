package workload

import (
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// Target is what a HorizontalPodAutoscaler scales, in its own namespace.
type Target struct {
	schema.GroupKind
	Name string
}

// AutoscalerTarget is what a HorizontalPodAutoscaler scales; the version that it states is of no
// account. The kind may be in lower case, as its controller takes it too.
func AutoscalerTarget(autoscaler manifest.Object) Target {
	ref := manifest.Map(autoscaler, "spec", "scaleTargetRef")
	return Target{inLetters(KindOf(ref)), manifest.Text(ref, "name")}
}

// scalable are the kinds that autoscalers may name, by their name in lower case.
var scalable = sync.OnceValue(func() map[schema.GroupKind]schema.GroupKind {
	lower := map[schema.GroupKind]schema.GroupKind{}
	add := func(kind schema.GroupKind) {
		lower[schema.GroupKind{Group: kind.Group, Kind: strings.ToLower(kind.Kind)}] = kind
	}
	for _, k := range kinds {
		add(k.GroupKind)
	}
	for _, k := range BuiltInOperators().Kinds {
		add(k.GroupKind())
	}
	return lower
})

// inLetters is a kind as it is written, where it may be in lower case.
func inLetters(kind schema.GroupKind) schema.GroupKind {
	if known, ok := scalable()[kind]; ok {
		return known
	}
	return kind
}

// AutoscalerPeak is the most pods that a HorizontalPodAutoscaler may have an object ask for that asks
// for so many now. One at zero is left alone, unless minReplicas is zero too.
func AutoscalerPeak(autoscaler manifest.Object, replicas int64) int64 {
	least := count(autoscaler, 1, "spec", "minReplicas")
	if replicas == 0 && least > 0 {
		return 0
	}
	return max(least, count(autoscaler, Unbounded, "spec", "maxReplicas"))
}
