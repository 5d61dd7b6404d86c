package expand

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// OptIn is what one of the two labels says.
type OptIn struct {
	// On is whether the workload is opted in; Off whether it is opted out by "false".
	On, Off bool
	// Profile that is named; empty for "true".
	Profile string
}

// Statement is a value that the workload states for a parameter.
type Statement struct {
	Parameter *parameter.Parameter
	Text      string
	Path      *field.Path
	// From names the place for people and for the record, with the value.
	From string
	// native is the template annotation that states it in Knative's own terms; empty
	// for a parameter.
	native string
}

// Intent is what a workload's own labels and annotations ask for.
type Intent struct {
	Autoscale, Compute OptIn
	Stated             map[string]*Statement // by parameter name
	// Errors name unknown keys, bad values and contradictions.
	Errors field.ErrorList
	// unknown are those of Errors that name a key.
	unknown field.ErrorList
}

// Expands tells whether the workload becomes a fully annotated Knative Service.
func (i *Intent) Expands() bool { return i.Autoscale.On }

// FillsResources tells whether compute parameters are written.
func (i *Intent) FillsResources() bool { return i.Autoscale.On || i.Compute.On }

// ReadIntent reads the labels and annotations of an object's own metadata. Copies of
// our keys anywhere else mean nothing.
func ReadIntent(o manifest.Object) *Intent {
	in := &Intent{Stated: map[string]*Statement{}}
	var room [16]string
	for _, kind := range []string{"labels", "annotations"} {
		values := manifest.Map(o, "metadata", kind)
		keys := room[:0]
		for key := range values {
			if parameter.IsKey(key) || (kind == "labels" && isOptIn(key)) {
				keys = append(keys, key)
			}
		}
		if len(keys) == 0 {
			continue
		}
		slices.Sort(keys)
		parent := field.NewPath("metadata", kind)
		for _, key := range keys {
			path, optIn := parent.Key(key), kind == "labels" && isOptIn(key)
			text, ok := values[key].(string)
			switch {
			case !ok:
				if optIn {
					in.optIn(key).On = true // and refused
				}
				in.Errors = append(in.Errors, field.TypeInvalid(path, values[key], manifest.MustBeString(values[key])))
			case optIn:
				in.readLabel(key, text, path)
			default:
				in.readParameter(strings.TrimSuffix(kind, "s"), key, text, path)
			}
		}
	}
	return in
}

func isOptIn(label string) bool {
	return label == parameter.AutoscaleLabel || label == parameter.ComputeLabel
}

func (i *Intent) optIn(label string) *OptIn {
	if label == parameter.ComputeLabel {
		return &i.Compute
	}
	return &i.Autoscale
}

func (i *Intent) readLabel(key, text string, path *field.Path) {
	o := i.optIn(key)
	switch text {
	case "true":
		o.On = true
	case "false":
		o.Off = true
	case "":
		o.On = true // and refused
		i.Errors = append(i.Errors, field.Invalid(path, text, `may not be empty; allowed: "true", "false" or a profile's name`))
	default:
		o.On, o.Profile = true, text
	}
}

func (i *Intent) readParameter(kind, key, text string, path *field.Path) {
	p, ok := parameter.Lookup(key)
	if !ok {
		err := field.Invalid(path, text, "unknown key; the nearest known one is "+parameter.Nearest(key))
		i.Errors, i.unknown = append(i.Errors, err), append(i.unknown, err)
		return
	}
	s := &Statement{Parameter: p, Text: text, Path: path, From: kind + " " + key + ": " + text}
	if other, ok := i.Stated[p.Name]; ok {
		if !p.Type.Same(other.Text, text) {
			i.Errors = append(i.Errors, field.Invalid(path, text, fmt.Sprintf("differs from %s: %s; state it once", other.Path, other.Text)))
		}
		return
	}
	if err := p.Type.Check(text); err != nil {
		i.Errors = append(i.Errors, field.Invalid(path, text, err.Error()))
	}
	i.Stated[p.Name] = s
}

// MissingLabels warns of parameters that no label opts in to, and of unknown keys among
// them, which would be refused if one did.
func (i *Intent) MissingLabels() []string {
	var missing []string
	for _, g := range []parameter.Group{parameter.Autoscale, parameter.Compute} {
		if i.Autoscale.On || (g == parameter.Compute && i.Compute.On) || i.Autoscale.Off {
			continue
		}
		var keys []string
		for _, s := range i.Stated {
			if s.Parameter == parameter.ProgressDeadline && i.Compute.On {
				continue // has a meaning for workloads of fixed size too
			}
			if s.Parameter.Group == g {
				keys = append(keys, s.Parameter.Key())
			}
		}
		if len(keys) > 0 {
			slices.Sort(keys)
			missing = append(missing, fmt.Sprintf("%s: no effect without the label %s (set it to \"true\" or to a profile's name)", strings.Join(keys, ", "), g.Label()))
		}
	}
	if !i.Autoscale.On && !i.Compute.On && !i.Autoscale.Off {
		for _, e := range i.unknown {
			missing = append(missing, e.Field+": "+e.Detail)
		}
	}
	return missing
}
