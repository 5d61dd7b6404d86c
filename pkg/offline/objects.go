package offline

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// Flatten are the documents with lists taken apart, in the order in which Expand answers.
func Flatten(docs []Document) []Document { return flatten(docs) }

// Objects are all objects of the documents, each with its namespace, and the labels of the
// namespaces among them. The documents stay as they are.
func Objects(docs []Document) (objects []manifest.Object, namespaces map[string]map[string]string) {
	flat := flatten(docs)
	labels := labelsOf(flat)
	for _, d := range flat {
		o := maps.Clone(d.Object)
		if groupKind(o) != (schema.GroupKind{Kind: "Namespace"}) {
			metadata := maps.Clone(manifest.Map(o, "metadata"))
			if metadata == nil {
				metadata = manifest.Object{}
			}
			metadata["namespace"] = namespaceOf(o)
			o["metadata"] = metadata
		}
		objects = append(objects, o)
	}
	return objects, labels
}

// World is what requests in a namespace are judged in if the documents are all that exists.
func World(docs []Document, in Inputs, namespace string) review.World {
	flat := flatten(docs)
	policies := policy.Compile(in.Policies).WithClasses(slices.Concat(in.Classes, DeviceClasses(flat)))
	w := review.World{Policies: policies, Knative: in.Knative, NamespaceLabels: namespaces(flat, in.Cluster),
		Revisions: revisions(flat)[namespace], Live: documentReader{namespace, flat},
		Reader: documentReader{namespace, in.stored(flat)}, Documents: true, Budgets: policy.CompileBudgets(in.Budgets)}
	if in.NoKnative {
		w.Cluster = &review.Cluster{}
	}
	return w
}

// Compile reads policies, budgets and Knative's ConfigMaps from documents.
func Compile(policies, configs []Document) (Inputs, error) { return compile(policies, configs) }
