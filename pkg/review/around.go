package review

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// CoreServiceKind is the Service of Kubernetes itself.
var CoreServiceKind = workload.CoreServiceKind

// AroundKinds are the kinds of objects that World.Around holds.
func AroundKinds() []schema.GroupKind {
	return slices.Concat([]schema.GroupKind{CoreServiceKind}, convert.PointingKinds())
}

// GivenKinds are those that it may hold besides, where somebody gives them.
func GivenKinds() []schema.GroupKind {
	return slices.Concat([]schema.GroupKind{CoreServiceKind}, convert.GivenKinds())
}

// GroupKindOf is the kind of a decoded object; empty where its version cannot be read.
func GroupKindOf(o manifest.Object) schema.GroupKind {
	gv, err := schema.ParseGroupVersion(manifest.Text(o, "apiVersion"))
	if err != nil {
		return schema.GroupKind{}
	}
	return schema.GroupKind{Group: gv.Group, Kind: manifest.Text(o, "kind")}
}

// coreServices are the core Services of the namespace.
func (w World) coreServices() []manifest.Object {
	return slices.DeleteFunc(slices.Clone(w.Around), func(o manifest.Object) bool { return GroupKindOf(o) != CoreServiceKind })
}

// leftBehind warns of what points at the request's Deployment or at its pods and would not
// reach them once they are those of its Knative Service.
func (r *Request) leftBehind(w World, ksvc manifest.Object, settings []expand.Setting) []string {
	minScale := ""
	for _, s := range settings {
		if s.Name == parameter.MinScale.Name {
			minScale = s.Value
		}
	}
	return convert.LeftBehind(convert.Pods{
		Namespace:  r.Namespace(),
		Deployment: manifest.Text(r.object, "metadata", "name"),
		Service:    manifest.Text(ksvc, "metadata", "name"),
		Labels:     manifest.Texts(ksvc, "spec", "template", "metadata", "labels"),
		MinScale:   minScale,
	}, w.Around)
}

// AsksServices tells whether the conversion of a Deployment may depend on core Services: which
// of its ports serves requests is not clear from itself.
func AsksServices(deployment manifest.Object) bool {
	ports := 0
	for _, c := range manifest.Objects(deployment, "spec", "template", "spec", "containers") {
		ports += len(manifest.List(c, "ports"))
	}
	return ports != 1
}
