package review

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// misplaced warns of keys of ours where they mean nothing: opt-in labels among the
// annotations, keys under a prefix that is almost ours, and whatever stands elsewhere than on
// the object's own metadata, while that lacks it.
func misplaced(o manifest.Object) []string {
	labels, annotations := manifest.Texts(o, "metadata", "labels"), manifest.Texts(o, "metadata", "annotations")
	var warnings []string
	for _, key := range []string{parameter.AutoscaleLabel, parameter.ComputeLabel} {
		if _, ok := annotations[key]; ok {
			warnings = append(warnings, "metadata.annotations["+key+"] has no effect: it must be a label")
		}
	}
	for kind, values := range map[string]map[string]string{"labels": labels, "annotations": annotations} {
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if right := almost(key); right != "" {
				warnings = append(warnings, fmt.Sprintf("metadata.%s[%s] has no effect; the key is %s", kind, key, right))
			}
		}
	}
	for _, place := range elsewhere {
		at := manifest.Map(o, place...)
		path := (*field.Path)(nil)
		if len(place) > 0 {
			path = field.NewPath(place[0], place[1:]...)
		}
		for _, key := range slices.Sorted(maps.Keys(at)) {
			if !parameter.IsKey(key) && key != parameter.AutoscaleLabel && key != parameter.ComputeLabel {
				continue
			}
			_, label := labels[key]
			if _, annotation := annotations[key]; label || (annotation && parameter.IsKey(key)) {
				continue // a copy, as tools such as kustomize make
			}
			right := "metadata.annotations"
			if !parameter.IsKey(key) {
				right = "metadata.labels"
			}
			warnings = append(warnings, fmt.Sprintf("%s has no effect there; put it under %s of the %s", keyPath(path, key), right, manifest.Text(o, "kind")))
		}
	}
	slices.Sort(warnings)
	return warnings
}

// Ours tells whether the object is a policy or a budget, or has a key of ours: in its labels or
// annotations, under a prefix that is almost ours, or where it means nothing.
func (r *Request) Ours() bool {
	if r.isPolicy() {
		return true
	}
	for _, at := range []manifest.Object{manifest.Map(r.object, "metadata", "labels"), manifest.Map(r.object, "metadata", "annotations")} {
		for key := range at {
			if parameter.IsKey(key) || key == parameter.AutoscaleLabel || key == parameter.ComputeLabel || almost(key) != "" {
				return true
			}
		}
	}
	return len(misplaced(r.object)) > 0
}

func keyPath(path *field.Path, key string) string {
	if path == nil {
		return key
	}
	return path.Key(key).String()
}

// elsewhere are the objects of a manifest where our keys are found by mistake.
var elsewhere = [][]string{
	{}, {"metadata"}, {"spec"}, {"spec", "annotations"}, {"spec", "labels"}, {"spec", "template"},
	{"spec", "template", "annotations"}, {"spec", "template", "labels"},
	{"spec", "template", "metadata"}, {"spec", "template", "metadata", "annotations"}, {"spec", "template", "metadata", "labels"}, {"spec", "template", "spec"},
}

// almost is the key that is meant by one under a prefix like ours; empty for any other key.
func almost(key string) string {
	prefix, name, found := strings.Cut(key, "/")
	if !found || parameter.IsKey(key) || key == "kubetorch.com/"+parameter.InactivityTTL.Name ||
		(prefix != "kubetorch.com" && !strings.HasSuffix(prefix, ".kubetorch.com")) {
		return ""
	}
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	for _, p := range parameter.Table {
		if p.Name == name {
			return p.Key()
		}
	}
	for _, label := range []string{parameter.AutoscaleLabel, parameter.ComputeLabel} {
		if label == "kubetorch.com/"+name && key != label {
			return label
		}
	}
	return ""
}

// mistakable are kinds on which people put an opt-in label or parameters though nothing is made of
// them, beside those that cannot be autoscaled. On others an overlay has put them.
var mistakable = []schema.GroupKind{workload.PodKind, workload.ReplicationControllerKind, workload.ReplicaSetKind,
	CoreServiceKind, ConfigurationKind, RevisionKind, RouteKind}

// Unexpandable warns of opt-in labels and parameters on an object of a kind that nothing is made of.
// What a controller made has those of its owner, and operators' kinds are told by themselves.
func Unexpandable(o manifest.Object, kind schema.GroupKind) []string {
	if _, ok := unscalable[kind]; !ok && !slices.Contains(mistakable, kind) {
		return nil
	}
	if Operated(kind) || manifest.ControllerOf(o) != (manifest.Owner{}) {
		return nil
	}
	intent := expand.ReadIntent(o)
	if !intent.FillsResources() && len(intent.Stated) == 0 {
		return nil
	}
	what := kind.Kind
	switch {
	case kind.Group == ServiceKind.Group:
		what = "Knative " + what
	case kind == CoreServiceKind:
		what = "core " + what
	}
	return []string{fmt.Sprintf("labels and parameters of ours have no effect on a %s; put them on a Deployment or a Knative Service", what)}
}

// Keys are the opt-in labels and parameters of an object, with their values.
func Keys(o manifest.Object) map[string]string {
	keys := map[string]string{}
	for _, kind := range []string{"labels", "annotations"} {
		for key, text := range manifest.Texts(o, "metadata", kind) {
			if parameter.IsKey(key) || (kind == "labels" && (key == parameter.AutoscaleLabel || key == parameter.ComputeLabel)) {
				keys[key] = text
			}
		}
	}
	return keys
}
