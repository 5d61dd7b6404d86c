package expand

import (
	"time"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// warnAboutSuperseded warns of GPUs that revisions without requests hold in the cluster's
// release of Knative, and not in later ones. A delay is nil where the workload states none.
func (e *expansion) warnAboutSuperseded(delay *Statement) {
	if e.class != parameter.KPA || e.demandOf(e.object).GPUs.PerPod == 0 {
		return
	}
	if !e.Knative.DelaysReachableOnly() && delay != nil {
		text := e.values.get(parameter.ScaleDownDelay.Name).Value
		if d, err := time.ParseDuration(text); err == nil && d > 0 {
			e.warn("scale-down-delay %s: Knative %s holds the GPUs of superseded revisions so long too; 1.%d and later do not", text, e.Knative.Release(), knative.DelayOfReachable)
		}
	}
	if n, err := parameter.ParseScale(e.values.get(parameter.InitialScale.Name).Value); err == nil && n > 1 && !e.Knative.StartsReachableOnly() {
		e.warn("initial-scale %d: in Knative %s a revision that is superseded before it had so many pods goes on asking for them, and for their GPUs, until it is deleted; 1.%d and later scale it down",
			n, e.Knative.Release(), knative.StartOfReachable)
	}
}
