package review

import (
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Why a kind cannot be autoscaled.
const (
	distributed = "autoscaling and distributed computing are mutually exclusive; remove the label, or serve requests with a Deployment or a Knative Service"
	stateful    = "the pods of a StatefulSet have names and volumes of their own, which an autoscaler that goes to zero does not keep; use a Deployment or a Knative Service"
	daemon      = "a DaemonSet has a pod on each node, however many requests there are; use a Deployment or a Knative Service"
	operated    = "its operator makes its pods; remove the label, or serve requests with a Deployment or a Knative Service"
	outdated    = "no API server has this version any more; write it for apps/v1"
)

// Unscalable are the kinds that run pods and cannot be autoscaled, by resource. On any
// other kind the label means nothing: overlays put labels on everything.
var Unscalable = map[schema.GroupResource]UnscalableKind{
	workload.MustResource(workload.StatefulSetKind).GroupResource(): {workload.StatefulSetKind.Kind, stateful},
	workload.MustResource(workload.DaemonSetKind).GroupResource():   {workload.DaemonSetKind.Kind, daemon},
	workload.MustResource(workload.JobKind).GroupResource():         {workload.JobKind.Kind, distributed},
	workload.MustResource(workload.CronJobKind).GroupResource():     {workload.CronJobKind.Kind, distributed},
	{Group: "ray.io", Resource: "rayclusters"}:                      {"RayCluster", distributed},
	{Group: "ray.io", Resource: "rayjobs"}:                          {"RayJob", distributed},
	{Group: "jobset.x-k8s.io", Resource: "jobsets"}:                 {"JobSet", distributed},
	{Group: "kubeflow.org", Resource: "jaxjobs"}:                    {"JAXJob", distributed},
	{Group: "kubeflow.org", Resource: "mpijobs"}:                    {"MPIJob", distributed},
	{Group: "kubeflow.org", Resource: "mxjobs"}:                     {"MXJob", distributed},
	{Group: "kubeflow.org", Resource: "paddlejobs"}:                 {"PaddleJob", distributed},
	{Group: "kubeflow.org", Resource: "pytorchjobs"}:                {"PyTorchJob", distributed},
	{Group: "kubeflow.org", Resource: "tfjobs"}:                     {"TFJob", distributed},
	{Group: "kubeflow.org", Resource: "xgboostjobs"}:                {"XGBoostJob", distributed},
	{Group: "trainer.kubeflow.org", Resource: "trainjobs"}:          {"TrainJob", distributed},
}

func init() {
	for _, k := range workload.BuiltInOperators().Kinds {
		resource := schema.GroupResource{Group: k.Group, Resource: k.Resource}
		if _, ok := Unscalable[resource]; !ok {
			Unscalable[resource] = UnscalableKind{k.Kind, operated}
		}
		unscalable[k.GroupKind()] = Unscalable[resource].Why
	}
}

// UnscalableKind is one that cannot be autoscaled, and why.
type UnscalableKind struct{ Name, Why string }

var unscalable = func() map[schema.GroupKind]string {
	kinds := make(map[schema.GroupKind]string, len(Unscalable))
	for resource, kind := range Unscalable {
		kinds[schema.GroupKind{Group: resource.Group, Kind: kind.Name}] = kind.Why
	}
	return kinds
}()

// RefuseKind refuses the autoscale label on what cannot be autoscaled; nil for a kind on
// which it means nothing, and for what another object's controller made, whose labels are
// copies.
func RefuseKind(o manifest.Object, kind schema.GroupKind) field.ErrorList {
	why, ok := unscalable[kind]
	return refuseLabel(o, kind, why, ok)
}

func refuseLabel(o manifest.Object, kind schema.GroupKind, why string, ok bool) field.ErrorList {
	if kind == DeploymentKind { // not of apps/v1, which is converted
		why, ok = outdated, true
	}
	if !ok || !expand.ReadIntent(o).Expands() || manifest.ControllerOf(o) != (manifest.Owner{}) {
		return nil
	}
	label := manifest.Texts(o, "metadata", "labels")[parameter.AutoscaleLabel]
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "labels").Key(parameter.AutoscaleLabel), label,
		"a "+kind.String()+" cannot be expanded: "+why)}
}

// refuseKind answers a request about a kind that cannot be autoscaled. An update that does
// not change the label is nobody's business here.
func (r *Request) refuseKind() *admissionv1.AdmissionResponse {
	label := func(o manifest.Object) string {
		return manifest.Text(o, "metadata", "labels", parameter.AutoscaleLabel)
	}
	if r.old != nil && label(r.old) == label(r.object) {
		return Allow(r.raw.UID)
	}
	why, ok := unscalable[r.of]
	if !ok && r.isOperated() {
		why, ok = operated, true
	}
	return r.answer(Verdict{Errors: refuseLabel(r.object, r.of, why, ok)})
}

func groupKind(kind metav1.GroupVersionKind) schema.GroupKind {
	return schema.GroupKind{Group: kind.Group, Kind: kind.Kind}
}
