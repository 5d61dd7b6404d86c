package expand

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
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
	// The same as errors and as patches show it, where they are known already.
	at      *field.Path
	pointer string
}

const (
	concurrencyLocation   = "containerConcurrency"
	priorityLocation      = "priorityClassName"
	accountLocation       = "serviceAccountName"
	gpuMemoryLocation     = "gpu-memory"
	queueLocation         = "labels." + queueKey
	ttlLocation           = "metadata.kubetorch.com/inactivity-ttl"
	deadlineLocation      = "progressDeadlineSeconds" // of a Deployment
	priorityClassLocation = "labels." + priorityKey
	antiAffinityLocation  = "gpuAntiAffinity"
	tolerationsLocation   = "tolerations"
	sharedMemoryLocation  = "sharedMemory"
)

// locate turns a name into its path; ok is false where the object has no such place.
func (e *expansion) locate(name string) (location, bool) { return locate(name, e.serving) }

// locate does so for any object, given the index of its serving container.
func locate(name string, serving int) (location, bool) {
	if l, ok := annotationLocations[name]; ok {
		return l, true
	}
	l := location{name: name}
	template := []any{"spec", "template"}
	prefix, rest, _ := strings.Cut(name, ".")
	switch {
	case prefix == "requests", prefix == "limits":
		l.path = []any{"spec", "template", "spec", "containers", serving, "resources", prefix, rest}
		return l, serving >= 0 && rest != ""
	case prefix == "nodeSelector":
		l.path = slices.Concat(template, []any{"spec", "nodeSelector", rest})
		return l, rest != ""
	case name == deadlineLocation:
		l.path = []any{"spec", name}
	case name == queueLocation, name == priorityClassLocation:
		l.path = slices.Concat(template, []any{"metadata", "labels", strings.TrimPrefix(name, "labels.")})
	case name == ttlLocation:
		l.path = []any{"metadata", "annotations", strings.TrimPrefix(name, "metadata.")}
	case name == concurrencyLocation, name == priorityLocation, name == accountLocation:
		l.path = slices.Concat(template, []any{"spec", name})
	case name == tolerationsLocation, name == sharedMemoryLocation, name == antiAffinityLocation:
		return l, false // lists: written and removed by code of their own
	default:
		return l, false // a record that nobody here wrote
	}
	return l, true
}

// annotationLocations are the annotations of the template that an expansion writes, by name.
// Nobody changes their paths.
var annotationLocations = func() map[string]location {
	m := map[string]location{gpuMemoryLocation: {}}
	for name := range annotationOf {
		m[name] = location{}
	}
	for name := range m {
		l := location{name: name, path: []any{"spec", "template", "metadata", "annotations", name}}
		l.at, l.pointer = l.field(), pointer(l.path)
		m[name] = l
	}
	return m
}()

// typeOf is the type of the values at a location.
func typeOf(name string) *parameter.Type {
	if p, ok := annotationOf[name]; ok {
		return p.Type
	}
	switch prefix, _, _ := strings.Cut(name, "."); prefix {
	case "requests", "limits":
		return parameter.Quantity
	case "nodeSelector":
		return parameter.QueueName.Type // any label's value
	}
	return typesByLocation[name]
}

// typesByLocation are those of the locations whose names do not tell.
var typesByLocation = map[string]*parameter.Type{
	concurrencyLocation:   parameter.Concurrency.Type,
	gpuMemoryLocation:     parameter.GPUMemory.Type,
	queueLocation:         parameter.QueueName.Type,
	priorityClassLocation: parameter.QueueName.Type,
	antiAffinityLocation:  parameter.GPUAntiAffinity.Type,
	deadlineLocation:      parameter.MinScale.Type, // a whole number
	ttlLocation:           parameter.InactivityTTL.Type,
	priorityLocation:      parameter.PriorityClassName.Type,
	accountLocation:       parameter.ServiceAccountName.Type,
	sharedMemoryLocation:  parameter.SharedMemoryLimit.Type,
}

// field is the path of the location as errors show it: map keys in brackets.
func (l location) field() *field.Path {
	if l.at != nil {
		return l.at
	}
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
	case "annotations", "labels", "requests", "limits", "nodeSelector", "overhead":
		return true
	}
	return false
}

// text reads the value at a location as the text that parameters are written in.
func (e *expansion) text(l location) (string, bool) { return textAt(e.object, l) }

func textAt(o manifest.Object, l location) (string, bool) {
	v, ok := valueAt(o, l.path)
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
