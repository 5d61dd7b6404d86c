package offline

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/mutate"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// Outcome is what admission would make of one object.
type Outcome struct {
	Document
	// Kind and Name for people, such as Service default/inference.
	Title string
	// Concerned is whether the object is one that is expanded or judged.
	Concerned bool
	Verdict   review.Verdict
}

// Expand admits every object of the documents, in place, as if it were created.
func Expand(docs []Document, in Inputs) []Outcome {
	flat := flatten(docs)
	w := review.World{Policies: policy.Compile(in.Policies), Knative: in.Knative, NamespaceLabels: namespaces(flat), Revisions: policy.Revisions{}}
	for _, d := range flat {
		if groupKind(d.Object) == (schema.GroupKind{Group: "serving.knative.dev", Kind: "Revision"}) {
			w.Revisions[manifest.Text(d.Object, "metadata", "name")] = d.Object
		}
	}
	outcomes := make([]Outcome, len(flat))
	for i, d := range flat {
		outcomes[i] = admit(d, w)
	}
	return outcomes
}

func admit(d Document, w review.World) Outcome {
	namespace := manifest.Text(d.Object, "metadata", "namespace")
	if namespace == "" {
		namespace = corev1.NamespaceDefault
	}
	name := manifest.Text(d.Object, "metadata", "name")
	if name == "" {
		name = manifest.Text(d.Object, "metadata", "generateName")
	}
	o := Outcome{Document: d, Title: fmt.Sprintf("%s %s/%s", manifest.Text(d.Object, "kind"), namespace, name)}
	kind := groupKind(d.Object)
	if review.Concerns(kind) {
		o.Concerned = true
		o.Verdict = review.ForObject(d.Object, namespace).Admit(w)
		return o
	}
	if intent := mutate.ReadIntent(d.Object); intent.Expands() {
		o.Concerned = true
		o.Verdict.Errors = field.ErrorList{field.Invalid(field.NewPath("metadata", "labels").Key(parameter.AutoscaleLabel),
			manifest.Texts(d.Object, "metadata", "labels")[parameter.AutoscaleLabel],
			fmt.Sprintf("a %s cannot be expanded; autoscaling is for Services of serving.knative.dev/v1", kind))}
	}
	return o
}

func groupKind(o manifest.Object) schema.GroupKind {
	gv, err := schema.ParseGroupVersion(manifest.Text(o, "apiVersion"))
	if err != nil {
		return schema.GroupKind{}
	}
	return schema.GroupKind{Group: gv.Group, Kind: manifest.Text(o, "kind")}
}

// namespaces knows the labels of the namespaces among the documents.
func namespaces(docs []Document) func(string) (map[string]string, bool) {
	known := map[string]map[string]string{}
	for _, d := range docs {
		if groupKind(d.Object) != (schema.GroupKind{Kind: "Namespace"}) {
			continue
		}
		name := manifest.Text(d.Object, "metadata", "name")
		labels := manifest.Texts(d.Object, "metadata", "labels")
		if labels == nil {
			labels = map[string]string{}
		}
		labels[corev1.LabelMetadataName] = name // the API server sets it
		known[name] = labels
	}
	return func(name string) (map[string]string, bool) {
		labels, ok := known[name]
		return labels, ok
	}
}
