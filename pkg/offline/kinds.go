package offline

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// Why kinds cannot be autoscaled.
const (
	distributed = "autoscaling and distributed computing are mutually exclusive; remove the label, or serve requests with a Deployment or a Knative Service"
	useAnother  = "autoscaling is for Deployments of apps/v1 and Services of serving.knative.dev/v1"
)

// unscalable are kinds that cannot be autoscaled. A kind "*" stands for all of a group.
var unscalable = map[schema.GroupKind]string{
	{Group: "batch", Kind: "*"}:                             distributed,
	{Group: "ray.io", Kind: "RayCluster"}:                   distributed,
	{Group: "ray.io", Kind: "RayJob"}:                       distributed,
	{Group: "ray.io", Kind: "RayCronJob"}:                   distributed,
	{Group: "ray.io", Kind: "RayService"}:                   "a RayService has an autoscaler of its own; remove the label, or run Ray Serve in a Deployment or a Knative Service",
	{Group: "jobset.x-k8s.io", Kind: "*"}:                   distributed,
	{Group: "leaderworkerset.x-k8s.io", Kind: "*"}:          distributed,
	{Group: "kubeflow.org", Kind: "*"}:                      distributed,
	{Group: "trainer.kubeflow.org", Kind: "*"}:              distributed,
	{Group: "apps", Kind: "StatefulSet"}:                    "the pods of a StatefulSet have names and volumes of their own, which an autoscaler that goes to zero does not keep; use a Deployment or a Knative Service",
	{Group: "apps", Kind: "DaemonSet"}:                      "a DaemonSet has a pod on each node, however many requests there are; use a Deployment or a Knative Service",
	{Group: "apps", Kind: "ReplicaSet"}:                     "label the Deployment that makes the ReplicaSet",
	{Group: "", Kind: "ReplicationController"}:              "use a Deployment or a Knative Service",
	{Group: "", Kind: "Pod"}:                                "a single pod cannot be scaled; use a Deployment or a Knative Service",
	{Group: "", Kind: "Service"}:                            "a core Service runs no pods; label the Deployment behind it, or use a Service of serving.knative.dev/v1",
	{Group: "serving.knative.dev", Kind: "Configuration"}:   "label the Service of serving.knative.dev/v1 that makes it",
	{Group: "serving.knative.dev", Kind: "Revision"}:        "label the Service of serving.knative.dev/v1 that makes it",
	{Group: "serving.kserve.io", Kind: "InferenceService"}:  "KServe has an autoscaler of its own",
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}: "label the Deployment that it scales, and remove the HorizontalPodAutoscaler: two autoscalers would work against each other",
	{Group: "keda.sh", Kind: "ScaledObject"}:                "label the Deployment that it scales, and remove the ScaledObject: two autoscalers would work against each other",
	{Group: "argoproj.io", Kind: "Rollout"}:                 "use a Deployment or a Knative Service, which shifts traffic by itself",
}

// refuseKind refuses the autoscale label on what cannot be autoscaled.
func refuseKind(o manifest.Object, kind schema.GroupKind) field.ErrorList {
	why, ok := unscalable[kind]
	if !ok {
		why, ok = unscalable[schema.GroupKind{Group: kind.Group, Kind: "*"}]
	}
	if !ok {
		why = useAnother
	}
	label := manifest.Texts(o, "metadata", "labels")[parameter.AutoscaleLabel]
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "labels").Key(parameter.AutoscaleLabel), label,
		"a "+kind.String()+" cannot be expanded: "+why)}
}
