package workload

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// Target is what a HorizontalPodAutoscaler scales, in its own namespace.
type Target struct {
	schema.GroupKind
	Name string
}

// AutoscalerTarget is what a HorizontalPodAutoscaler scales; the version that it states is of no
// account.
func AutoscalerTarget(autoscaler manifest.Object) Target {
	ref := manifest.Map(autoscaler, "spec", "scaleTargetRef")
	return Target{KindOf(ref), manifest.Text(ref, "name")}
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
