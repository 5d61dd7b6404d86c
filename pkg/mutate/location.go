package mutate

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// A location is where an expansion writes one value. Its name is the key of the record:
//
//	autoscaling.knative.dev/max-scale   an annotation of the template
//	containerConcurrency                a field of the pod spec
//	requests.cpu, limits.cpu            resources of the serving container
//	nodeSelector.<label>                an entry of the node selector
//	labels.<key>                        a label of the template
//	metadata.<key>                      an annotation of the object itself
type location struct {
	name string
	path []any
}

const (
	concurrencyLocation  = "containerConcurrency"
	tolerationsLocation  = "tolerations"
	sharedMemoryLocation = "sharedMemory"
)

// locate turns a name into its path; ok is false where the object has no such place.
func (e *expansion) locate(name string) (location, bool) {
	l := location{name: name}
	template := []any{"spec", "template"}
	switch {
	case strings.HasPrefix(name, "requests."), strings.HasPrefix(name, "limits."):
		if e.serving < 0 {
			return l, false
		}
		list, resource, _ := strings.Cut(name, ".")
		l.path = append(template, "spec", "containers", e.serving, "resources", list, resource)
	case strings.HasPrefix(name, "nodeSelector."):
		l.path = append(template, "spec", "nodeSelector", strings.TrimPrefix(name, "nodeSelector."))
	case name == "labels.kueue.x-k8s.io/queue-name":
		l.path = append(template, "metadata", "labels", strings.TrimPrefix(name, "labels."))
	case name == "metadata.kubetorch.com/inactivity-ttl":
		l.path = []any{"metadata", "annotations", strings.TrimPrefix(name, "metadata.")}
	case name == concurrencyLocation, name == "priorityClassName", name == "serviceAccountName":
		l.path = append(template, "spec", name)
	case name == tolerationsLocation, name == sharedMemoryLocation:
		return l, false // lists: written and removed by code of their own
	case annotationOf[name] != nil, name == "gpu-memory":
		l.path = append(template, "metadata", "annotations", name)
	default:
		return l, false // a record that nobody here wrote
	}
	return l, true
}

// field is the path of the location as errors show it: map keys in brackets.
func (l location) field() *field.Path {
	var p *field.Path
	for i, step := range l.path {
		switch step := step.(type) {
		case int:
			p = p.Index(step)
		case string:
			switch {
			case p == nil:
				p = field.NewPath(step)
			case i == len(l.path)-1 && isMap(l.path[i-1]):
				p = p.Key(step)
			default:
				p = p.Child(step)
			}
		}
	}
	return p
}

func isMap(parent any) bool {
	switch parent {
	case "annotations", "labels", "requests", "limits", "nodeSelector":
		return true
	}
	return false
}

// text reads the value at a location as the text that parameters are written in.
func (e *expansion) text(l location) (string, bool) {
	v, ok := e.get(l.path)
	if !ok || v == nil {
		return "", false
	}
	return scalarText(v), true
}

func scalarText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	}
	if text, ok := manifest.QuantityText(v); ok {
		return text
	}
	return manifest.TypeName(v)
}
