package exactness

import (
	"fmt"
	"math/rand/v2"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Names of GPUs. A slice counts the seventh part of one, by the policy below.
const (
	gpu   = "nvidia.com/gpu"
	slice = "nvidia.com/mig-1g.10gb"
	card  = "exactness.kubetorch.com/card"
)

// countedAs is a ComputePolicy that gives slices their weight.
const countedAs = `{apiVersion: policy.kubetorch.com/v1alpha1, kind: ComputePolicy, metadata: {name: exactness}, spec: {
	gpuResources: [nvidia.com/gpu, {name: ` + slice + `, gpus: "1/7"}]}}`

// sevenths of a GPU that one device of a name is.
var sevenths = map[string]int64{gpu: 7, slice: 1, card: 7}

// Types of GPUs, and labels of nodes that have them.
const (
	productLabel = "nvidia.com/gpu.product"
	cloudLabel   = "cloud.google.com/gke-accelerator"
	l4           = "NVIDIA-L4"
	h100         = "NVIDIA-H100-80GB-HBM3"
	h100InCloud  = "nvidia-h100-80gb"
)

// kind is a way to ask for GPUs.
type kind int

const (
	plainService kind = iota
	labelledService
	plainDeployment
	labelledDeployment
	expandedDeployment
	replicaSet
	replicationController
	statefulSet
	job
	cronJob
	daemonSet
	pod
	handMade // a ResourceClaim
)

// drawn are the kinds, each as often as it is drawn.
var drawn = []kind{
	plainService, plainService, labelledService, labelledService,
	plainDeployment, plainDeployment, plainDeployment, labelledDeployment, expandedDeployment,
	replicaSet, replicaSet, replicationController, statefulSet, statefulSet, job, job, job, cronJob, daemonSet, pod, pod, handMade,
}

// workload asks for some pods with some devices each.
type workload struct {
	kind          kind
	devices, pods int
	// device is the name of what is asked for, pin the label of nodes with its type; empty for any.
	device, pin string
	// templates are the ResourceClaimTemplates that its pods have devices by, in place of a resource or beside
	// it; shared is whether they name the ResourceClaim that is there for all.
	templates []string
	shared    bool
	// looks is whether a claim that is made by hand looks at devices in use too.
	looks bool
	// lingers is whether its pods take their time when they are deleted.
	lingers bool
	// ends is after how many seconds a Job fails; 0 for never.
	ends int
}

// randomWorkload is one in a namespace that allows claims that look at devices in use, or does not.
func randomWorkload(r *rand.Rand, admin bool) workload {
	w := workload{kind: drawn[r.IntN(len(drawn))], devices: 1 + r.IntN(8), pods: 1 + r.IntN(6), device: gpu}
	w.lingers = r.IntN(6) == 0
	switch r.IntN(6) {
	case 0:
		w.device = slice
	case 1:
		w.device = card
	}
	switch r.IntN(5) {
	case 0:
		w.pin = productLabel + "=" + l4
	case 1:
		w.pin = productLabel + "=" + h100
	case 2:
		w.pin = cloudLabel + "=" + h100InCloud
	}
	switch w.kind {
	case labelledService, labelledDeployment, expandedDeployment: // their parameters are of one name
		w.device, w.pin = gpu, ""
	case pod, handMade:
		w.pods = 1
	case daemonSet:
		w.pin = "kubernetes.io/hostname=gpu-0"
		w.pods = 1
	case job:
		w.ends = []int{0, 0, 5 + r.IntN(20)}[r.IntN(3)]
	}
	w.drawClaims(r, admin)
	return w
}

// each is what one of its pods asks for by the name of a resource, or a claim that is made by hand, in sevenths;
// by a template, what a claim of that asks for is its business.
func (w workload) each() int64 {
	if w.kind == handMade {
		r, spec := &record{}, w.object("", false).Object["spec"].(map[string]any)
		r.readClaimSpec(spec)
		return r.each
	}
	return int64(w.devices) * sevenths[w.device]
}

// whole is a number of sevenths, rounded up.
func whole(n int64) int64 { return (n + 6) / 7 }

// of tells whether it may get GPUs of a type.
func (w workload) of(product string) bool {
	label, value := splitPin(w.pin)
	return w.pin == "" || w.kind == daemonSet || w.device == card || isOf(label, value, product)
}

func (w workload) resource() schema.GroupVersionResource {
	switch w.kind {
	case plainService, labelledService:
		return services
	case replicaSet:
		return replicaSets
	case replicationController:
		return replicationControllers
	case statefulSet:
		return statefulSets
	case job:
		return jobs
	case cronJob:
		return cronJobs
	case daemonSet:
		return daemonSets
	case pod:
		return pods
	case handMade:
		return resourceClaims
	}
	return deployments
}

// apiKind is the version and kind of its objects.
func (w workload) apiKind() (apiVersion, kind string) {
	switch w.kind {
	case plainService, labelledService:
		return "serving.knative.dev/v1", "Service"
	case replicaSet:
		return "apps/v1", "ReplicaSet"
	case replicationController:
		return "v1", "ReplicationController"
	case statefulSet:
		return "apps/v1", "StatefulSet"
	case job:
		return "batch/v1", "Job"
	case cronJob:
		return "batch/v1", "CronJob"
	case daemonSet:
		return "apps/v1", "DaemonSet"
	case pod:
		return "v1", "Pod"
	case handMade:
		return "resource.k8s.io/v1", "ResourceClaim"
	}
	return "apps/v1", "Deployment"
}

// scales tells whether it has a subresource for its size, and may be an autoscaler's target.
func (w workload) scales() bool {
	switch w.kind {
	case plainDeployment, labelledDeployment, replicaSet, replicationController, statefulSet:
		return true
	}
	return false
}

// container asks for its devices, unless parameters do.
func (w workload) container() map[string]any {
	c := map[string]any{"name": "app", "image": "nginx:1"}
	switch w.kind {
	case labelledService, labelledDeployment, expandedDeployment:
	default:
		resources := map[string]any{}
		var named []any
		for _, claim := range w.podClaims() {
			named = append(named, map[string]any{"name": claim.(map[string]any)["name"]})
		}
		if named != nil {
			resources["claims"] = named
		}
		if w.device != "" {
			resources["limits"] = map[string]any{w.device: fmt.Sprint(w.devices)}
		}
		c["resources"] = resources
	}
	return c
}

// template of its pods, which have a label of this one workload.
func (w workload) template(app string) map[string]any {
	spec := map[string]any{"containers": []any{w.container()}}
	if claims := w.podClaims(); claims != nil {
		spec["resourceClaims"] = claims
	}
	if w.pin != "" {
		label, value := splitPin(w.pin)
		spec["nodeSelector"] = map[string]any{label: value}
	}
	if w.kind == job || w.kind == cronJob {
		spec["restartPolicy"] = "Never"
	}
	metadata := map[string]any{"labels": map[string]any{"app": app}}
	if w.lingers {
		metadata["annotations"] = map[string]any{"controlplane/lingers": "true"}
	}
	return map[string]any{"metadata": metadata, "spec": spec}
}

// object of the workload; with a generated name if generated is true.
func (w workload) object(name string, generated bool) *unstructured.Unstructured {
	apiVersion, kind := w.apiKind()
	template := w.template(name)
	selector := map[string]any{"matchLabels": map[string]any{"app": name}}
	spec := map[string]any{"template": template, "replicas": int64(w.pods), "selector": selector}
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind, "spec": spec}}
	parameters := map[string]string{"compute.kubetorch.com/gpus": fmt.Sprint(w.devices)}
	switch w.kind {
	case plainService, labelledService:
		u.Object["spec"] = map[string]any{"template": template}
		if w.kind == plainService {
			annotate(template, "autoscaling.knative.dev/max-scale", fmt.Sprint(w.pods))
			annotate(template, "autoscaling.knative.dev/min-scale", "0")
			break
		}
		fallthrough
	case expandedDeployment:
		u.SetLabels(map[string]string{"kubetorch.com/autoscale": "true"})
		parameters["autoscale.kubetorch.com/max-scale"] = fmt.Sprint(w.pods)
		u.SetAnnotations(parameters)
	case labelledDeployment:
		u.SetLabels(map[string]string{"kubetorch.com/compute": "true"})
		u.SetAnnotations(parameters)
	case replicationController:
		spec["selector"] = map[string]any{"app": name}
	case statefulSet:
		spec["serviceName"] = name
		if w.devices%2 == 0 {
			spec["podManagementPolicy"] = "Parallel"
		}
	case daemonSet:
		delete(spec, "replicas")
	case job:
		u.Object["spec"] = w.jobSpec(template)
	case cronJob:
		u.Object["spec"] = map[string]any{"schedule": "* * * * *", "concurrencyPolicy": "Forbid",
			"jobTemplate": map[string]any{"spec": w.jobSpec(template)}}
	case pod:
		u.Object["spec"] = template["spec"]
		u.Object["metadata"] = template["metadata"]
	case handMade:
		_, product := splitPin(w.pin)
		u = ask{w.devices, product, (w.devices + 3) % 3, w.looks}.claim(name)
	}
	if u.SetName(name); generated {
		u.SetName("")
		u.SetGenerateName(name + "-")
	}
	return u
}

func (w workload) jobSpec(template map[string]any) map[string]any {
	spec := map[string]any{"template": template, "parallelism": int64(w.pods), "completions": int64(w.pods + w.devices%3)}
	if w.devices%4 == 0 {
		delete(spec, "completions")
	}
	if w.devices%5 == 0 {
		spec["suspend"] = true
	}
	if w.ends > 0 {
		spec["activeDeadlineSeconds"] = int64(w.ends)
	}
	return spec
}

func annotate(template map[string]any, key, value string) {
	metadata := template["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	if annotations == nil {
		annotations = map[string]any{}
		metadata["annotations"] = annotations
	}
	annotations[key] = value
}
