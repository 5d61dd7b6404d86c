package expand

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// dedicated is the key of the taint dedicated=gpu.
const dedicated = "dedicated"

// gpuTolerations are the keys of the taints that nodes with a GPU resource usually carry: the
// resource's own name, that of its vendor's whole GPUs, and dedicated=gpu.
func gpuTolerations(resource string) []string {
	keys := []string{resource}
	if strings.HasPrefix(resource, "nvidia.com/") && resource != workload.DefaultGPUResource {
		keys = append(keys, workload.DefaultGPUResource)
	}
	return append(keys, dedicated)
}

// gpuToleration is the toleration of ours for a key.
func gpuToleration(key string) manifest.Object {
	if key == dedicated {
		return manifest.Object{"key": dedicated, "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
	}
	return manifest.Object{"key": key, "operator": "Exists", "effect": "NoSchedule"}
}

// tolerations lets the pod onto nodes with a GPU resource. They are a convenience: where the cluster
// forbids tolerations they are left out with a warning.
func (e *expansion) tolerations(resource, from string) {
	recorded := recordedTolerations(e.before[tolerationsLocation])
	var kept, missing []string
	for _, key := range gpuTolerations(resource) {
		switch {
		case !e.tolerated(gpuToleration(key)):
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
	if all := slices.Concat(kept, missing); len(all) > 0 {
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
	ordered := slices.Clone(keys)
	slices.SortStableFunc(ordered, func(a, b string) int { return position(a) - position(b) })
	for _, key := range ordered {
		// The keys may come from a record, which anybody can write.
		if key != dedicated && !e.Policies.GPUResources().Match(key) {
			continue
		}
		if t := gpuToleration(key); !e.tolerated(t) {
			e.add(t, "spec", "template", "spec", "tolerations")
		}
	}
}

// position orders tolerations, whatever the order of a record: NVIDIA's whole GPUs after a part
// of one, and dedicated=gpu last.
func position(key string) int {
	switch key {
	case dedicated:
		return 2
	case workload.DefaultGPUResource:
		return 1
	}
	return 0
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
	ours := gpuToleration(key)
	return slices.IndexFunc(manifest.Objects(pod, "tolerations"), func(have manifest.Object) bool { return manifest.Equal(have, ours) })
}

// dropTolerations removes those that an earlier expansion added.
func (e *expansion) dropTolerations(entry Entry) {
	for _, key := range recordedTolerations(entry) {
		if at := ownToleration(e.podSpec(), key); at >= 0 {
			e.remove("spec", "template", "spec", "tolerations", at)
		}
	}
}
