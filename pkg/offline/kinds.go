package offline

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// distributed is why a kind whose pods work together cannot be autoscaled.
const distributed = "autoscaling and distributed computing are mutually exclusive; remove the label, or serve requests with a Deployment or a Knative Service"

// unscalable are the kinds that run pods and cannot be autoscaled. A kind "*" stands for
// all of a group. On any other kind the label means nothing: overlays put labels on
// everything.
var unscalable = map[schema.GroupKind]string{
	{Group: "batch", Kind: "*"}:                distributed,
	{Group: "ray.io", Kind: "RayCluster"}:      distributed,
	{Group: "ray.io", Kind: "RayJob"}:          distributed,
	{Group: "jobset.x-k8s.io", Kind: "*"}:      distributed,
	{Group: "kubeflow.org", Kind: "*"}:         distributed,
	{Group: "trainer.kubeflow.org", Kind: "*"}: distributed,
	{Group: "apps", Kind: "StatefulSet"}:       "the pods of a StatefulSet have names and volumes of their own, which an autoscaler that goes to zero does not keep; use a Deployment or a Knative Service",
	{Group: "apps", Kind: "Deployment"}:        "no API server has this version any more; write it for apps/v1",
	{Group: "apps", Kind: "DaemonSet"}:         "a DaemonSet has a pod on each node, however many requests there are; use a Deployment or a Knative Service",
}

// refuseKind refuses the autoscale label on what cannot be autoscaled; nil for a kind on
// which it means nothing.
func refuseKind(o manifest.Object, kind schema.GroupKind) field.ErrorList {
	why, ok := unscalable[kind]
	if !ok {
		why, ok = unscalable[schema.GroupKind{Group: kind.Group, Kind: "*"}]
	}
	if !ok {
		return nil
	}
	label := manifest.Texts(o, "metadata", "labels")[parameter.AutoscaleLabel]
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "labels").Key(parameter.AutoscaleLabel), label,
		"a "+kind.String()+" cannot be expanded: "+why)}
}
