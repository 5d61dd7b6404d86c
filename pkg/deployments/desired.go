package deployments

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// wanted is the Knative Service to apply: the expansion, or what was applied last of it,
// owned by the Deployment.
func wanted(deployment, expansion, live manifest.Object) manifest.Object {
	o := decoded(expansion)
	metadata := manifest.Map(o, "metadata")
	metadata["namespace"] = manifest.Text(deployment, "metadata", "namespace")
	metadata["ownerReferences"] = []any{manifest.Object{
		"apiVersion": handover.DeploymentVersion, "kind": handover.DeploymentKind, "controller": true,
		"name": manifest.Text(deployment, "metadata", "name"), "uid": manifest.Text(deployment, "metadata", "uid"),
	}}
	annotations := manifest.Map(o, "metadata", "annotations")
	if annotations == nil {
		annotations = manifest.Object{}
		metadata["annotations"] = annotations
	}
	now := handover.Applied{Workload: digest(workload(deployment)), Spec: manifest.Map(o, "spec")}
	// One that somebody changed since gets a new revision anyway, and so the expansion.
	if before, record, ok := lastApplied(live); ok && before.Workload == now.Workload && holds(live["spec"], before.Spec) {
		// All of the live spec, with what Knative filled in: its lists are replaced as a
		// whole, and admission would take the gaps for a change.
		now, o["spec"] = before, decoded(manifest.Map(live, "spec"))
		annotations[expand.RecordAnnotation] = record
	}
	annotations[handover.AppliedAnnotation] = now.Text()
	return o
}

// lastApplied is what was applied last, and the record of its expansion.
func lastApplied(live manifest.Object) (a handover.Applied, record string, ok bool) {
	a, ok = handover.ReadApplied(manifest.Text(live, "metadata", "annotations", handover.AppliedAnnotation))
	record = manifest.Text(live, "metadata", "annotations", expand.RecordAnnotation)
	return a, record, ok && record != ""
}

// workload is all of a Deployment that decides on its expansion.
func workload(deployment manifest.Object) manifest.Object {
	w := manifest.Object{"spec": maps.Clone(manifest.Map(deployment, "spec"))}
	delete(manifest.Map(w, "spec"), "replicas")
	for _, kind := range []string{"labels", "annotations"} {
		stated := maps.Clone(manifest.Map(deployment, "metadata", kind))
		maps.DeleteFunc(stated, func(key string, _ any) bool {
			return !parameter.IsKey(key) && key != parameter.AutoscaleLabel && key != parameter.ComputeLabel
		})
		w[kind] = stated
	}
	return w
}

// decoded is a copy as it will come back from the API server.
func decoded(o manifest.Object) manifest.Object {
	copied, err := manifest.Decode([]byte(text(o)))
	if err != nil {
		panic(err) // what was marshalled always decodes
	}
	return copied
}

func text(v any) string {
	b, err := json.Marshal(v) // with sorted keys
	if err != nil {
		panic(err) // decoded JSON always marshals
	}
	return string(b)
}

func digest(o manifest.Object) string {
	sum := sha256.Sum256([]byte(text(o)))
	return hex.EncodeToString(sum[:8])
}

// current tells whether a live Knative Service is what is wanted: applied as it is now,
// and not changed by anybody since.
func current(desired, live manifest.Object) bool {
	return live != nil && holds(live, desired)
}

// holds tells whether everything in desired stands in live too, where others have filled
// in more.
func holds(live, desired any) bool {
	switch desired := desired.(type) {
	case manifest.Object:
		l, _ := live.(manifest.Object)
		for k, v := range desired {
			if !holds(l[k], v) {
				return false
			}
		}
		return true
	case []any:
		l, _ := live.([]any)
		if len(l) != len(desired) {
			return false
		}
		for i, v := range desired {
			if !holds(l[i], v) {
				return false
			}
		}
		return true
	case nil:
		return true
	case string:
		l, ok := live.(string)
		return ok && (l == desired || sameQuantity(l, desired))
	}
	return live == desired
}

// sameQuantity allows for Knative's rewriting of quantities: 1024Mi becomes 1Gi.
func sameQuantity(a, b string) bool {
	p, err := manifest.ParseQuantity(a)
	if err != nil {
		return false
	}
	q, err := manifest.ParseQuantity(b)
	return err == nil && p.Cmp(q) == 0
}
