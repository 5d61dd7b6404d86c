package offline

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Preview is what admission would make of one object.
type Preview struct {
	Document
	// Written is the object as it was read, where that is to be kept.
	Written manifest.Object
	// Kind and Name for people, such as Service default/inference.
	Title string
	// Concerned is whether the object is one that is expanded or judged.
	Concerned bool
	// Replaced is whether the object is now a Knative Service that was a Deployment.
	Replaced bool
	Verdict  review.Verdict
}

// Expand admits every object of the documents, in place, as if it were created.
func Expand(docs []Document, in Inputs) []Preview {
	flat := flatten(docs)
	w := review.World{Policies: policy.Compile(in.Policies).WithClasses(slices.Concat(in.Classes, DeviceClasses(flat))), Knative: in.Knative, NamespaceLabels: namespaces(flat, in.Cluster)}
	revisions := revisions(flat)
	stored := in.stored(flat)
	outcomes := make([]Preview, len(flat))
	taken := namesIn(flat)
	budgets := newLedgers(in)
	w.Budgets = budgets.budgets
	for i, d := range flat {
		w.Revisions = revisions[namespaceOf(d.Object)]
		w.Live = documentReader{namespaceOf(d.Object), flat}
		w.Reader, w.Documents = documentReader{namespaceOf(d.Object), stored}, true
		w.Around = around(flat, d.Object)
		var written manifest.Object
		if in.KeepWritten || isDeployment(d.Object) {
			written = runtime.DeepCopyJSON(d.Object)
		}
		errs, warnings := misshapen(d.Object, in.NoKnative)
		outcomes[i] = admit(d, w, taken, in.NoKnative)
		v := &outcomes[i].Verdict
		v.Errors, v.Warnings = append(v.Errors, manifest.Unsaid(errs, v.Errors)...), append(warnings, v.Warnings...)
		if outcomes[i].Concerned = outcomes[i].Concerned || len(errs) > 0; len(v.Errors) == 0 && !copied(d.Object, flat) {
			v.Warnings = append(v.Warnings, review.Unexpandable(d.Object, groupKind(d.Object))...)
		}
		if in.KeepWritten {
			outcomes[i].Written = written
		}
		if !isDeployment(written) {
			written = nil
		}
		budgets.charge(&outcomes[i], written, w, in.NoKnative)
	}
	return outcomes
}

func admit(d Document, w review.World, taken names, noKnative bool) Preview {
	namespace := namespaceOf(d.Object)
	name := manifest.Text(d.Object, "metadata", "name")
	if name == "" {
		name = manifest.Text(d.Object, "metadata", "generateName")
	}
	o := Preview{Document: d, Title: fmt.Sprintf("%s %s/%s", manifest.Text(d.Object, "kind"), namespace, name)}
	kind := groupKind(d.Object)
	switch {
	case review.Concerns(kind):
		o.Concerned = true
		o.decide(review.ForObject(d.Object, namespace).Admit(context.Background(), w))
		if noKnative {
			o.Verdict.Warnings = append(o.Verdict.Warnings, "the cluster has no Knative, so this cannot be applied to it; only a Deployment can do without")
		}
	case review.Judges(kind):
		o.decide(request(d.Object, w).Judge(context.Background(), w))
	case review.MakesPods(kind):
		o.pods(kind, w)
	case isDeployment(d.Object):
		if o.Concerned = review.ConcernsDeployment(d.Object, w); o.Concerned {
			o.deployment(w, taken, noKnative)
		}
	case review.Operated(kind):
		o.Concerned = true
		if o.Verdict.Errors = review.RefuseKind(d.Object, kind); len(o.Verdict.Errors) == 0 {
			o.decide(request(d.Object, w).Judge(context.Background(), w))
		}
	case !madeByKnative(d.Object):
		o.Verdict.Errors = review.RefuseKind(d.Object, kind)
		o.Concerned = len(o.Verdict.Errors) > 0
	}
	return o
}

// copied tells whether all keys of ours that an object has are those of a workload beside it, as
// tools write them that give every object the same labels.
func copied(o manifest.Object, docs []Document) bool {
	keys := review.Keys(o)
	return len(keys) > 0 && slices.ContainsFunc(docs, func(d Document) bool {
		if !(isDeployment(d.Object) || groupKind(d.Object) == serviceKind) || namespaceOf(d.Object) != namespaceOf(o) {
			return false
		}
		has := review.Keys(d.Object)
		for key, text := range keys {
			if has[key] != text {
				return false
			}
		}
		return true
	})
}

// decide takes a verdict. Documents can always be read.
func (o *Preview) decide(v review.Verdict, _ error) { o.Verdict = v }

// pods judges what has pods, as far as these ask for devices and it is not part of another document.
func (o *Preview) pods(kind schema.GroupKind, w review.World) {
	o.Verdict.Errors = review.RefuseKind(o.Object, kind)
	if o.Concerned = len(o.Verdict.Errors) > 0; o.Concerned || !review.AsksForDevices(o.Object) || partOf(o.Object, w) {
		return
	}
	r := request(o.Object, w)
	o.Concerned = true
	o.decide(r.Judge(context.Background(), w))
	o.Verdict.Room = r.Room(w, o.Verdict.Demand)
}

// request is the one to create an object, with what the verdict on it depends on.
func request(object manifest.Object, w review.World) *review.Request {
	r := review.ForObject(object, namespaceOf(object))
	_ = r.Resolve(context.Background(), w) // documents can always be read
	return r
}

// stored are documents with the ResourceClaimTemplates that stand beside the policies.
func (in *Inputs) stored(docs []Document) []Document {
	for _, t := range in.Templates {
		docs = append(slices.Clip(docs), Document{Object: t})
	}
	return docs
}

// partOf tells whether an object belongs to another document, which is judged in its place.
func partOf(object manifest.Object, w review.World) bool {
	ref, ok := workload.Owner(object)
	if !ok || ref.GroupKind == workload.CronJobKind || ref.GroupKind == workload.DaemonSetKind {
		return false
	}
	owner, _ := w.Reader.Get(context.Background(), ref.GroupKind, namespaceOf(object), ref.Name)
	return owner != nil && workload.Belongs(object, owner)
}

// documentReader are the documents of one namespace, in place of what a cluster has stored.
type documentReader struct {
	namespace string
	docs      []Document
}

// Get is one object; nil if there is none of the name.
func (b documentReader) Get(_ context.Context, kind schema.GroupKind, _, name string) (manifest.Object, error) {
	var found manifest.Object
	for _, d := range b.docs {
		if groupKind(d.Object) == kind && namespaceOf(d.Object) == b.namespace && manifest.Text(d.Object, "metadata", "name") == name {
			found = d.Object // of several, the last
		}
	}
	return found, nil
}

// List are the objects of a kind whose labels a selector takes.
func (b documentReader) List(_ context.Context, kind schema.GroupKind, _ string, selector labels.Selector) ([]manifest.Object, error) {
	var found []manifest.Object
	for _, d := range b.docs {
		if groupKind(d.Object) == kind && namespaceOf(d.Object) == b.namespace &&
			selector.Matches(labels.Set(manifest.Texts(d.Object, "metadata", "labels"))) {
			found = append(found, d.Object)
		}
	}
	return found, nil
}

// around are the documents of the namespace of a Deployment that may point at it.
func around(docs []Document, deployment manifest.Object) (objects []manifest.Object) {
	if !isDeployment(deployment) {
		return nil
	}
	kinds := review.GivenKinds()
	for _, d := range docs {
		if slices.Contains(kinds, groupKind(d.Object)) && namespaceOf(d.Object) == namespaceOf(deployment) {
			objects = append(objects, d.Object)
		}
	}
	return objects
}

func groupKind(o manifest.Object) schema.GroupKind {
	gv, err := schema.ParseGroupVersion(manifest.Text(o, "apiVersion"))
	if err != nil {
		return schema.GroupKind{}
	}
	return schema.GroupKind{Group: gv.Group, Kind: manifest.Text(o, "kind")}
}

// revisions are those among the documents, by namespace.
func revisions(docs []Document) map[string]workload.Revisions {
	known := map[string]workload.Revisions{}
	for _, d := range docs {
		if groupKind(d.Object) != workload.RevisionKind {
			continue
		}
		namespace := namespaceOf(d.Object)
		if known[namespace] == nil {
			known[namespace] = workload.Revisions{}
		}
		known[namespace][manifest.Text(d.Object, "metadata", "name")] = d.Object
	}
	return known
}

// namespaces knows the labels of the namespaces among the documents, and of those of a cluster.
func namespaces(docs []Document, cluster *ClusterState) func(string) (map[string]string, bool) {
	known := labelsOf(docs)
	return func(name string) (map[string]string, bool) {
		set, ok := known[name]
		if !ok && cluster != nil {
			set, ok = cluster.Namespaces[name]
		}
		return set, ok
	}
}

// labelsOf are the labels of the namespaces among the documents, by name.
func labelsOf(docs []Document) map[string]map[string]string {
	known := map[string]map[string]string{}
	for _, d := range docs {
		if groupKind(d.Object) != (schema.GroupKind{Kind: "Namespace"}) {
			continue
		}
		name := manifest.Text(d.Object, "metadata", "name")
		set := manifest.Texts(d.Object, "metadata", "labels")
		if set == nil {
			set = map[string]string{}
		}
		set[corev1.LabelMetadataName] = name // the API server sets it
		known[name] = set
	}
	return known
}
