package dryrun

import (
	"maps"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// scale is how a workload says how many pods it has.
type scale struct {
	name string // max-scale, or the last of at
	// at is where the number stands; nil for max-scale, which is a parameter or an annotation of Knative's.
	at       []string
	pods     int64 // that it asks for
	labelled bool
	// others are the scales beside it that the workload states, by name.
	others map[string]int64
}

// mostTried is where the search begins if a workload states no number.
const mostTried = 1 << 20

// minReplicas is what a HorizontalPodAutoscaler has beside its maxReplicas.
const minReplicas = "minReplicas"

// scaleKind is that of the object in a request for a subresource of that name.
var scaleKind = schema.GroupKind{Group: "autoscaling", Kind: "Scale"}

// scaleOf finds it; ok is false for kinds that say it otherwise, and for what a controller made, which would set it
// back.
func scaleOf(o manifest.Object) (s scale, ok bool) {
	s.labelled = expand.ReadIntent(o).Expands()
	free := manifest.ControllerOf(o) == (manifest.Owner{})
	switch of := workload.KindOf(o); {
	case of == workload.ServiceKind, of == workload.DeploymentKind && s.labelled:
	case of == scaleKind:
		return countAt(o, "spec", "replicas"), true
	case of == workload.HorizontalPodAutoscalerKind:
		s := countAt(o, "spec", "maxReplicas")
		if n, stated := manifest.Whole(o, "spec", minReplicas); stated {
			s.others = map[string]int64{minReplicas: n}
		}
		return s, free
	default:
		kind, known := workload.KindFor(of)
		if !known || kind.Replicas == nil {
			return s, false
		}
		return countAt(o, kind.Replicas...), free || of == workload.DeploymentKind
	}
	s.name, s.pods, s.others = parameter.MaxScale.Name, mostTried, map[string]int64{}
	if n, stated := stated(o, parameter.MaxScale); stated && n > 0 {
		s.pods = n
	}
	for _, p := range []*parameter.Parameter{parameter.MinScale, parameter.InitialScale} {
		if n, stated := stated(o, p); stated {
			s.others[p.Name] = n
		}
	}
	return s, true
}

// countAt is a number of pods that stands somewhere in an object, 1 if it states none.
func countAt(o manifest.Object, at ...string) scale {
	n, stated := manifest.Whole(o, at...)
	if !stated {
		n = 1
	}
	return scale{name: at[len(at)-1], at: at, pods: n}
}

// stated is a scale that a workload states, as a parameter or in Knative's own words, and that no expansion set.
func stated(o manifest.Object, p *parameter.Parameter) (n int64, ok bool) {
	text := manifest.Texts(o, "metadata", "annotations")[p.Key()]
	if text == "" {
		text = manifest.Texts(o, "metadata", "labels")[p.Key()]
	}
	if native := knative.AutoscalingPrefix + p.Name; text == "" && !expand.Expanded(o, native) {
		_, text, _ = knative.Get(manifest.Map(o, "spec", "template", "metadata", "annotations"), native)
	}
	n, err := parameter.ParseScale(text)
	return n, err == nil
}

// with is the workload with another number of pods, and GPUs of a type if it is not empty. lowered
// are the scales that had to follow.
func (s *scale) with(o manifest.Object, pods int64, kind string) (changed manifest.Object, lowered []string) {
	o = runtime.DeepCopyJSON(o)
	if s.at != nil {
		last := len(s.at) - 1
		at := o
		for _, key := range s.at[:last] {
			at = within(at, key)
		}
		at[s.at[last]] = pods
		if s.others[minReplicas] > pods {
			at[minReplicas] = pods
			lowered = append(lowered, minReplicas)
		}
		return o, lowered
	}
	text := strconv.FormatInt(pods, 10)
	values := map[string]string{parameter.MaxScale.Name: text}
	for _, name := range []string{parameter.MinScale.Name, parameter.InitialScale.Name} {
		if s.others[name] > pods {
			values[name] = text
			lowered = append(lowered, name)
		}
	}
	if kind != "" {
		values[parameter.GPUType.Name] = kind
	}
	set(o, values, s.labelled)
	return o, lowered
}

// Lower words the largest number of pods, of those below what a stored object asks for, with which fits is true of it, as
// a refusal ends: "replicas 3 fits". It is empty if there is none, and for kinds that state no number. What is expanded
// has the number of its parameters; anything else that of its own, as a Knative Service that was expanded has it.
func Lower(o manifest.Object, expanded bool, fits func(changed manifest.Object) bool) string {
	stated := o
	if !expanded {
		stated = withoutParameters(o)
	}
	s, ok := scaleOf(stated)
	if !ok {
		return ""
	}
	n := Largest(min(s.pods, mostTried), func(n int64) bool {
		changed, _ := s.with(o, n, "")
		return fits(changed)
	})
	if n < 1 {
		return ""
	}
	return Sentence(s.name, []Fit{s.fit(o, n, "")})
}

// withoutParameters is an object that nothing expands. It shares its parts with the object.
func withoutParameters(o manifest.Object) manifest.Object {
	o = maps.Clone(o)
	metadata := maps.Clone(manifest.Map(o, "metadata"))
	delete(metadata, "labels")
	delete(metadata, "annotations")
	o["metadata"] = metadata
	return o
}
