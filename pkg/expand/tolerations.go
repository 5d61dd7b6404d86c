package expand

import (
	"encoding/json"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// gpuTolerations are for the taints that GPU nodes usually carry.
var gpuTolerations = []manifest.Object{
	{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
	{"key": "dedicated", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
}

// tolerations lets the pod onto GPU nodes. They are a convenience: where the cluster
// forbids tolerations they are left out with a warning.
func (e *expansion) tolerations(from string) {
	recorded := recordedTolerations(e.before[tolerationsLocation])
	var kept, missing []string
	for _, t := range gpuTolerations {
		switch key := t["key"].(string); {
		case !e.tolerated(t):
			missing = append(missing, key)
		case slices.Contains(recorded, key):
			kept = append(kept, key)
		}
	}
	if len(missing) > 0 && !e.Knative.Feature(knative.FlagTolerations) {
		e.warn("the usual GPU tolerations are left out: %s", knative.WhoEnables(knative.FlagTolerations))
		missing = nil
	}
	e.addTolerations(missing)
	if all := append(kept, missing...); len(all) > 0 {
		slices.Sort(all)
		text, _ := json.Marshal(all)
		e.after.put(tolerationsLocation, Entry{Value: string(text), From: from})
	}
}

// tolerated tells whether a toleration of the pod covers one of ours.
func (e *expansion) tolerated(t manifest.Object) bool {
	return slices.ContainsFunc(manifest.Objects(e.podSpec(), "tolerations"), func(have manifest.Object) bool { return tolerates(have, t) })
}

// tolerates tells whether one toleration covers what another is for.
func tolerates(have, want manifest.Object) bool {
	text := func(o manifest.Object, key string) string { return manifest.Text(o, key) }
	if text(have, "key") != text(want, "key") || (text(have, "effect") != "" && text(have, "effect") != text(want, "effect")) {
		return false
	}
	return text(have, "operator") == "Exists" || text(have, "value") == text(want, "value")
}

// addTolerations adds those of ours, by their keys, that the pod lacks.
func (e *expansion) addTolerations(keys []string) {
	for _, t := range gpuTolerations {
		if slices.Contains(keys, t["key"].(string)) && !e.tolerated(t) {
			e.add(runtime.DeepCopyJSONValue(t), "spec", "template", "spec", "tolerations")
		}
	}
}

// recordedTolerations are the keys of the tolerations that an entry of the record names.
func recordedTolerations(entry Entry) []string {
	var keys []string
	if json.Unmarshal([]byte(entry.Value), &keys) != nil {
		return nil
	}
	return keys
}

// ownToleration is the index of one of our tolerations, by its key, in a pod spec; -1
// where it has none.
func ownToleration(pod manifest.Object, key string) int {
	return slices.IndexFunc(manifest.Objects(pod, "tolerations"), func(have manifest.Object) bool {
		return slices.ContainsFunc(gpuTolerations, func(t manifest.Object) bool { return t["key"] == key && manifest.Equal(have, t) })
	})
}

// dropTolerations removes those that an earlier expansion added.
func (e *expansion) dropTolerations(entry Entry) {
	for _, key := range recordedTolerations(entry) {
		if at := ownToleration(e.podSpec(), key); at >= 0 {
			e.remove("spec", "template", "spec", "tolerations", at)
		}
	}
}
