package workload

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// Operators is a table of kinds whose operators make pods.
type Operators struct {
	Kinds []OperatorKind `json:"kinds"`
}

// OperatorKind says what pods an operator makes for an object.
type OperatorKind struct {
	Group    string `json:"group"`
	Kind     string `json:"kind"`
	Resource string `json:"resource"`
	// Scale is whether the resource has a subresource of that name, and Replicas the path of the number
	// that it sets: spec.replicas if it is empty.
	Scale    bool   `json:"scale,omitempty"`
	Replicas string `json:"replicas,omitempty"`
	// Suspend are paths of booleans: while any is true there are no pods.
	Suspend []string `json:"suspend,omitempty"`
	// Makers are the service accounts of the operator, as namespace/name. A kind without one
	// is bounded, and charged by what is made of it.
	Makers []string `json:"makers,omitempty"`
	// Children are the kinds of what its makers make of an object, as Kind.group; without any, those of
	// Kubernetes' own. What of them an object controls is part of its claim.
	Children []string `json:"children,omitempty"`
	// Finished says when there are no pods any more, nor will be.
	Finished *OperatorFinish `json:"finished,omitempty"`
	// ManagedBy is where another controller may be named, which then has the pods, in another cluster perhaps.
	ManagedBy *OperatorManager `json:"managedBy,omitempty"`
	// Pods are the groups of pods that are alike.
	Pods []OperatorPods `json:"pods"`
}

// OperatorManager says where an object names the controller that is to make its pods, and which is the operator.
type OperatorManager struct {
	Path string   `json:"path"`
	Own  []string `json:"own"`
}

// OperatorFinish says by what an object's status tells that it has finished. Whatever is made of it all
// the same is counted.
type OperatorFinish struct {
	// Conditions are the types of conditions that are true then.
	Conditions []string `json:"conditions,omitempty"`
	// Path is where one of some values stands then.
	Path   string   `json:"path,omitempty"`
	Values []string `json:"values,omitempty"`
}

// OperatorPods are pods that are alike. Exactly one of Template, Spec, Containers and GPU says
// what one of them asks for.
type OperatorPods struct {
	// Each is a list or an object whose elements have pods of their own each.
	Each string `json:"each,omitempty"`
	// Template is the path of a pod template, Spec that of a pod's specification.
	Template string `json:"template,omitempty"`
	Spec     string `json:"spec,omitempty"`
	// Containers are paths of containers, and Lists of lists of containers beside them.
	Containers []string `json:"containers,omitempty"`
	Lists      []string `json:"lists,omitempty"`
	// Metadata are paths of further objects with labels and annotations, beside the template's.
	Metadata []string `json:"metadata,omitempty"`
	// NodeSelector of pods that Containers describes.
	NodeSelector string `json:"nodeSelector,omitempty"`
	// GPU is where a resource and a number of it stand.
	GPU *OperatorGPU `json:"gpu,omitempty"`
	// Suspend are paths of booleans that suspend these pods alone.
	Suspend []string `json:"suspend,omitempty"`
	// Counts are the factors of the number of pods; 1 without any.
	Counts []OperatorCount `json:"counts,omitempty"`
}

// OperatorGPU is a request for GPUs that is written in two fields.
type OperatorGPU struct {
	Name         string `json:"name"`
	Quantity     string `json:"quantity"`
	NodeSelector string `json:"nodeSelector,omitempty"`
	Affinity     string `json:"affinity,omitempty"`
}

// OperatorCount is a factor of a number of pods.
type OperatorCount struct {
	Path string `json:"path"`
	// Absent is the number where there is none.
	Absent int64 `json:"absent,omitempty"`
	// AtLeast and AtMost are paths of numbers that limit it, as far as they are there.
	AtLeast string `json:"atLeast,omitempty"`
	AtMost  string `json:"atMost,omitempty"`
	// UpTo is a number that an autoscaler may raise it to.
	UpTo *OperatorMaximum `json:"upTo,omitempty"`
	// OneLessWith is the path of something that takes one away if it is there.
	OneLessWith string `json:"oneLessWith,omitempty"`
}

// OperatorMaximum is the number that an autoscaler may raise a count to.
type OperatorMaximum struct {
	Path string `json:"path"`
	// Absent is the number where there is none; 0 is that there is no such maximum.
	Absent int64 `json:"absent,omitempty"`
	// When is the path of a boolean without which there is no autoscaler; empty is always.
	When string `json:"when,omitempty"`
	// Element is the key of the only element of each that is raised; empty is every one.
	Element string `json:"element,omitempty"`
}

//go:embed operators.yaml
var operatorsYAML []byte

//go:embed operators.schema.json
var operatorsSchema []byte

// OperatorsSchema is the JSON schema of a table of operators' kinds.
func OperatorsSchema() []byte { return slices.Clone(operatorsSchema) }

var builtInOperators = sync.OnceValue(func() Operators {
	o, errs := ParseOperators(operatorsYAML)
	if len(errs) > 0 {
		panic(errs.ToAggregate()) // the file is part of the program
	}
	return o
})

// BuiltInOperators is the table that the program comes with.
func BuiltInOperators() Operators { return builtInOperators() }

// Digest names the table: by another one the same objects may be charged otherwise.
func (o Operators) Digest() string {
	text, _ := json.Marshal(o) // of strings and numbers
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// With is the table with the kinds of another one, which replace those of the same name.
func (o Operators) With(more Operators) Operators {
	merged := slices.DeleteFunc(slices.Clone(o.Kinds), func(k OperatorKind) bool {
		_, replaced := more.For(k.GroupKind())
		return replaced
	})
	return Operators{Kinds: append(merged, more.Kinds...)}
}

// For is the row of a kind.
func (o Operators) For(kind schema.GroupKind) (*OperatorKind, bool) {
	i := slices.IndexFunc(o.Kinds, func(k OperatorKind) bool { return k.GroupKind() == kind })
	if i < 0 {
		return nil, false
	}
	return &o.Kinds[i], true
}

// GroupKind of the row.
func (k *OperatorKind) GroupKind() schema.GroupKind {
	return schema.GroupKind{Group: k.Group, Kind: k.Kind}
}

// Charged tells whether a budget is charged when the object is written, and not only when its
// operator makes something of it.
func (k *OperatorKind) Charged() bool { return len(k.Makers) > 0 }

// MadeBy tells whether a user is one of the operator's service accounts.
func (k *OperatorKind) MadeBy(user string) bool {
	account, ok := strings.CutPrefix(user, "system:serviceaccount:")
	return ok && slices.Contains(k.Makers, strings.Replace(account, ":", "/", 1))
}

// ParseOperators reads a table and names every mistake in it.
func ParseOperators(raw []byte) (Operators, field.ErrorList) {
	var o Operators
	text, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return o, field.ErrorList{field.Invalid(field.NewPath("kinds"), field.OmitValueType{}, "cannot be read: "+err.Error())}
	}
	table, err := manifest.Decode(text)
	if err != nil {
		return o, field.ErrorList{field.Invalid(field.NewPath("kinds"), field.OmitValueType{}, "the file "+err.Error()+"; it holds an object with kinds, a list")}
	}
	return ReadOperators(table)
}

// ReadOperators reads a table that is decoded already.
func ReadOperators(table manifest.Object) (Operators, field.ErrorList) {
	var o Operators
	t := reflect.TypeFor[Operators]()
	errs := manifest.CheckType(table, t, nil, func(path *field.Path, known []string) *field.Error {
		return field.Forbidden(path, "is no field; allowed here: "+strings.Join(known, ", "))
	})
	text, err := json.Marshal(manifest.Fitting(table, t, errs))
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil { // of what CheckType passes
		return o, append(errs, field.Invalid(field.NewPath("kinds"), field.OmitValueType{}, "cannot be read"))
	}
	return o, append(errs, manifest.Unsaid(o.validate(), errs)...)
}

func (o Operators) validate() field.ErrorList {
	var errs field.ErrorList
	seen := map[schema.GroupKind]bool{}
	for i := range o.Kinds {
		k, at := &o.Kinds[i], field.NewPath("kinds").Index(i)
		for name, value := range map[string]string{"group": k.Group, "kind": k.Kind, "resource": k.Resource} {
			if value == "" {
				errs = append(errs, field.Required(at.Child(name), "say which kind it is"))
			}
		}
		if _, own := KindFor(k.GroupKind()); own || seen[k.GroupKind()] || k.Group == servingGroup {
			errs = append(errs, field.Duplicate(at.Child("kind"), k.GroupKind().String()))
		}
		seen[k.GroupKind()] = true
		for j, maker := range k.Makers {
			namespace, name, ok := strings.Cut(maker, "/")
			if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
				errs = append(errs, field.Invalid(at.Child("makers").Index(j), maker,
					"must be the namespace/name of a service account"))
			}
		}
		errs = append(errs, k.validateChildren(at)...)
		errs = append(errs, validatePaths(k.Suspend, at.Child("suspend"), false)...)
		if len(k.Pods) == 0 {
			errs = append(errs, field.Required(at.Child("pods"), "say where the pods are described"))
		}
		for j := range k.Pods {
			errs = append(errs, k.Pods[j].validate(at.Child("pods").Index(j))...)
		}
	}
	slices.SortStableFunc(errs, func(a, b *field.Error) int { return strings.Compare(a.Field, b.Field) })
	return errs
}

func (p *OperatorPods) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	below := p.Each != ""
	if below && !eachPath.MatchString(p.Each) {
		errs = append(errs, field.Invalid(at.Child("each"), p.Each,
			"must be the path of a list, such as spec.groups[*], or of an object, such as spec.roles{*}"))
	}
	ways := 0
	for _, given := range []bool{p.Template != "", p.Spec != "", len(p.Containers) > 0, p.GPU != nil} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		errs = append(errs, field.Required(at, "give one of template, spec, containers and gpu"))
	}
	single := map[string]string{"template": p.Template, "spec": p.Spec, "nodeSelector": p.NodeSelector}
	if p.GPU != nil {
		if p.GPU.Name == "" || p.GPU.Quantity == "" {
			errs = append(errs, field.Required(at.Child("gpu"), "give the paths of name and quantity"))
		}
		single["gpu.name"], single["gpu.quantity"] = p.GPU.Name, p.GPU.Quantity
		single["gpu.nodeSelector"], single["gpu.affinity"] = p.GPU.NodeSelector, p.GPU.Affinity
	}
	for name, path := range single {
		if path != "" {
			errs = append(errs, validatePath(path, at.Child(name), below)...)
		}
	}
	for i := range p.Counts {
		errs = append(errs, p.Counts[i].validate(at.Child("counts").Index(i), below)...)
	}
	for name, paths := range map[string][]string{"containers": p.Containers, "lists": p.Lists, "suspend": p.Suspend, "metadata": p.Metadata} {
		errs = append(errs, validatePaths(paths, at.Child(name), below)...)
	}
	return errs
}

func (c *OperatorCount) validate(at *field.Path, below bool) field.ErrorList {
	var errs field.ErrorList
	if c.Path == "" {
		errs = append(errs, field.Required(at.Child("path"), "say where the number stands"))
	}
	if c.Absent < 0 || (c.UpTo != nil && c.UpTo.Absent < 0) {
		errs = append(errs, field.Invalid(at.Child("absent"), c.Absent, "must be at least 0"))
	}
	paths := map[string]string{"path": c.Path, "atLeast": c.AtLeast, "atMost": c.AtMost, "oneLessWith": c.OneLessWith}
	if c.UpTo != nil {
		if c.UpTo.Path == "" {
			errs = append(errs, field.Required(at.Child("upTo", "path"), "say where the number stands"))
		}
		paths["upTo.path"], paths["upTo.when"] = c.UpTo.Path, c.UpTo.When
	}
	for name, path := range paths {
		if path != "" {
			errs = append(errs, validatePath(path, at.Child(name), below)...)
		}
	}
	return errs
}

var (
	eachPath  = regexp.MustCompile(`^[A-Za-z0-9]+(\.[A-Za-z0-9]+)*(\[\*\]|\{\*\})$`)
	plainPath = regexp.MustCompile(`^\.?[A-Za-z0-9]+(\.[A-Za-z0-9]+)*$`)
)

// validatePaths checks a list of paths; below is whether they may begin with a dot.
func validatePaths(paths []string, at *field.Path, below bool) field.ErrorList {
	var errs field.ErrorList
	for i, path := range paths {
		errs = append(errs, validatePath(path, at.Index(i), below)...)
	}
	return errs
}

func validatePath(path string, at *field.Path, below bool) field.ErrorList {
	switch {
	case !plainPath.MatchString(path):
		return field.ErrorList{field.Invalid(at, path, "must be field names with dots between them, such as spec.template")}
	case strings.HasPrefix(path, ".") && !below:
		return field.ErrorList{field.Invalid(at, path, "begins with a dot, so it needs each")}
	}
	return nil
}
