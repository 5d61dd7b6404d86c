package dryrun

import (
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// scale is how a workload says how many pods it has.
type scale struct {
	name     string // max-scale or replicas
	pods     int64  // that it asks for
	labelled bool
	// others are the scales beside it that the workload states, by name.
	others map[string]int64
}

// mostTried is where the search begins if a workload states no number.
const mostTried = 1 << 20

// scaleOf finds it; ok is false for kinds that say it otherwise.
func scaleOf(o manifest.Object) (s scale, ok bool) {
	s.labelled = expand.ReadIntent(o).Expands()
	switch manifest.Text(o, "apiVersion") + " " + manifest.Text(o, "kind") {
	case "apps/v1 Deployment":
		if s.labelled {
			break
		}
		return replicasOf(o), true
	case "apps/v1 StatefulSet", "apps/v1 ReplicaSet", "v1 ReplicationController":
		s := replicasOf(o)
		return s, manifest.ControllerOf(o) == (manifest.Owner{})
	case "serving.knative.dev/v1 Service":
	default:
		return s, false
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

func replicasOf(o manifest.Object) scale {
	n, stated := manifest.Whole(o, "spec", "replicas")
	if !stated {
		n = 1
	}
	return scale{name: "replicas", pods: n}
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
	if s.name == "replicas" {
		manifest.Map(o, "spec")["replicas"] = pods
		return o, nil
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
	Set(o, values)
	return o, lowered
}
