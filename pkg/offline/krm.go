package offline

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// What a KRM function reads and writes:
// https://github.com/kubernetes-sigs/kustomize/blob/master/cmd/config/docs/api-conventions/functions-spec.md
const (
	resourceListVersion = "config.kubernetes.io/v1"
	resourceListKind    = "ResourceList"

	localConfigAnnotation = "config.kubernetes.io/local-config"
)

// Annotations that say which file an item came from, and the place in it. The second of
// each pair is what older tools write.
var (
	pathAnnotations  = []string{"internal.config.kubernetes.io/path", "config.kubernetes.io/path"}
	indexAnnotations = []string{"internal.config.kubernetes.io/index", "config.kubernetes.io/index"}
)

// ResourceList is the input of a KRM function, and in the end its output. Fields and items
// that nobody here knows stay as they are.
type ResourceList struct {
	object manifest.Object
}

// ReadResourceList reads a ResourceList.
func ReadResourceList(in io.Reader) (*ResourceList, error) {
	raw, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	docs, err := Parse("stdin", raw)
	if err != nil {
		return nil, err
	}
	docs = slices.DeleteFunc(docs, func(d Document) bool { return d.Object == nil })
	if len(docs) != 1 || !isResourceList(docs[0].Object) {
		return nil, fmt.Errorf("stdin: must hold one %s of %s and nothing else", resourceListKind, resourceListVersion)
	}
	l := &ResourceList{object: docs[0].Object}
	shape := reflect.TypeFor[struct {
		Config struct {
			Spec manifest.Object `json:"spec"`
			Data manifest.Object `json:"data"`
		} `json:"functionConfig"`
		Items   []manifest.Object `json:"items"`
		Results []manifest.Object `json:"results"`
	}]()
	errs := manifest.CheckType(l.object, shape, nil, nil)
	if len(errs) > 0 {
		return nil, Within("stdin", errs.ToAggregate())
	}
	var problems []error
	for i, item := range l.items() {
		if manifest.Text(item, "kind") == "" || manifest.Text(item, "apiVersion") == "" {
			problems = append(problems, fmt.Errorf("items[%d] has no apiVersion or no kind, so it is no Kubernetes object", i))
		}
	}
	return l, Within("stdin", errors.Join(problems...))
}

func isResourceList(o manifest.Object) bool {
	return manifest.Text(o, "apiVersion") == resourceListVersion && manifest.Text(o, "kind") == resourceListKind
}

func (l *ResourceList) items() []manifest.Object { return manifest.Objects(l.object, "items") }

// Write writes the list as YAML.
func (l *ResourceList) Write(w io.Writer) error {
	text, err := yaml.Marshal(l.object)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// Expand expands the items, with policies and Knative's configuration from the list
// itself, and adds what there is to say as results. Refused items stay as they were, and
// so do all others then. The error is not nil where the list cannot be used.
func (l *ResourceList) Expand() ([]Preview, error) {
	inputs, err := l.inputs()
	if err != nil {
		return nil, err
	}
	before := l.items()
	for i, item := range before {
		before[i] = runtime.DeepCopyJSON(item)
	}
	var docs []Document
	for i, item := range l.items() {
		if !isLocalConfig(item) {
			docs = append(docs, Document{Source: source(item, i), Object: item})
		}
	}
	originals := flatten(copies(docs))
	outcomes := Expand(docs, inputs)
	results := manifest.List(l.object, "results")
	refused := false
	for i, o := range outcomes {
		results = append(results, resultsOf(o, originals[i].Object)...)
		refused = refused || o.Verdict.Refused()
	}
	for _, w := range inputs.Warnings {
		results = append(results, manifest.Object{"message": w, "severity": "warning"})
	}
	if len(results) > 0 {
		l.object["results"] = results
	}
	if refused {
		items := make([]any, len(before))
		for i, item := range before {
			items[i] = item
		}
		l.object["items"] = items
	}
	return outcomes, nil
}

func copies(docs []Document) []Document {
	copied := slices.Clone(docs)
	for i, d := range docs {
		copied[i].Object = runtime.DeepCopyJSON(d.Object)
	}
	return copied
}

// source names an item by its file, if that is known.
func source(item manifest.Object, i int) string {
	if path := annotation(item, pathAnnotations); path != "" {
		return fmt.Sprintf("%s, item %d", path, i+1)
	}
	return fmt.Sprintf("item %d", i+1)
}

func annotation(o manifest.Object, keys []string) string {
	for _, key := range keys {
		if text := manifest.Text(o, "metadata", "annotations", key); text != "" {
			return text
		}
	}
	return ""
}

// isLocalConfig tells whether an item is for tools and never goes to a cluster.
func isLocalConfig(item manifest.Object) bool {
	return manifest.Text(item, "metadata", "annotations", localConfigAnnotation) == "true"
}

// resultsOf are what there is to say about an object, in the words of KRM.
func resultsOf(o Preview, original manifest.Object) []any {
	var results []any
	ref := manifest.Object{"apiVersion": manifest.Text(original, "apiVersion"), "kind": manifest.Text(original, "kind"), "name": manifest.Text(original, "metadata", "name")}
	if namespace := manifest.Text(original, "metadata", "namespace"); namespace != "" {
		ref["namespace"] = namespace
	}
	var file manifest.Object
	if path := annotation(original, pathAnnotations); path != "" {
		file = manifest.Object{"path": path}
		if n, err := strconv.ParseInt(annotation(original, indexAnnotations), 10, 64); err == nil {
			file["index"] = n
		}
	}
	add := func(severity, message, path string) {
		r := manifest.Object{"message": message, "severity": severity, "resourceRef": ref}
		if path != "" {
			r["field"] = manifest.Object{"path": path}
		}
		if file != nil {
			r["file"] = file
		}
		results = append(results, r)
	}
	refusal := func(e *field.Error) { add("error", e.Error(), e.Field) }
	for _, e := range o.Verdict.Errors {
		refusal(e)
	}
	for _, v := range o.Verdict.Denied {
		refusal(v.Error)
	}
	for _, w := range o.Verdict.Warnings {
		add("warning", w, "")
	}
	return results
}

// inputs are the policies and ConfigMaps that the function's own configuration holds under
// spec.policies and spec.knativeConfig, and those among the items that are marked as local
// configuration.
func (l *ResourceList) inputs() (Inputs, error) {
	config := manifest.Map(l.object, "functionConfig")
	var problems []error
	for _, key := range slices.Sorted(maps.Keys(manifest.Map(config, "spec"))) {
		if key != "policies" && key != "knativeConfig" && key != "knativeVersion" {
			problems = append(problems, fmt.Errorf("functionConfig.spec.%s is not known; spec takes policies, knativeConfig and knativeVersion", key))
		}
	}
	if data := manifest.Map(config, "data"); len(data) > 0 {
		problems = append(problems, errors.New("functionConfig.data is not read; put policies and knativeConfig under spec, of any kind but ConfigMap"))
	}
	policies, err := configured(config, "policies")
	problems = append(problems, err)
	configs, err := configured(config, "knativeConfig")
	problems = append(problems, err)
	for i, item := range l.items() {
		if !isLocalConfig(item) {
			continue
		}
		d := Document{Source: source(item, i), Object: item}
		switch kind := groupKind(item); {
		case kind == schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: "ComputePolicy"}:
			policies = append(policies, d)
		case isDeviceClass(item):
			policies = append(policies, d)
		case kind == schema.GroupKind{Kind: "ConfigMap"} && slices.Contains(knative.ConfigMaps, manifest.Text(item, "metadata", "name")):
			configs = append(configs, d)
		}
	}
	inputs, err := compile(policies, configs)
	problems = append(problems, err)
	version := manifest.At(config, "spec", "knativeVersion")
	text, ok := version.(string)
	switch {
	case !ok && version != nil:
		problems = append(problems, fmt.Errorf("functionConfig.spec.knativeVersion: %s", manifest.MustBeString(version)))
	default:
		problems = append(problems, Within("functionConfig.spec.knativeVersion", inputs.OfRelease(text)))
	}
	return inputs, errors.Join(problems...)
}

// configured are the objects of a list under the spec of the function's configuration.
func configured(config manifest.Object, name string) ([]Document, error) {
	value := manifest.At(config, "spec", name)
	list, ok := value.([]any)
	if !ok && value != nil {
		return nil, fmt.Errorf("functionConfig.spec.%s is %s, not a list of objects", name, manifest.TypeName(value))
	}
	var docs []Document
	var problems []error
	for i, entry := range list {
		o, ok := entry.(manifest.Object)
		if !ok {
			problems = append(problems, fmt.Errorf("functionConfig.spec.%s[%d] is %s, not an object", name, i, manifest.TypeName(entry)))
			continue
		}
		docs = append(docs, Document{Source: fmt.Sprintf("functionConfig.spec.%s[%d]", name, i), Object: o})
	}
	return docs, errors.Join(problems...)
}
