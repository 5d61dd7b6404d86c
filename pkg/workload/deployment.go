package workload

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// plainKnative fills nothing in: Knative has no part in a Deployment of fixed size.
var plainKnative = knative.Default()

// DeploymentUsage measures a Deployment of fixed size: all its pods run all the time, and
// bounds on how an autoscaler behaves do not apply.
func DeploymentUsage(deployment manifest.Object, gpus GPUResources) Usage {
	replicas := field.NewPath("spec", "replicas")
	podSpec := manifest.Map(deployment, "spec", "template", "spec")
	d := Usage{
		Fixed:  true,
		GPUs:   CountGPUs(podSpec, field.NewPath("spec", "template", "spec"), gpus),
		CPUs:   podQuantity(podSpec, nil, "cpu", plainKnative),
		Memory: podQuantity(podSpec, nil, "memory", plainKnative),
		Paths:  map[string]*field.Path{PeakKey: replicas, knative.MaxScaleKey: replicas, knative.MinScaleKey: replicas},
	}
	d.MinScale = Replicas(deployment)
	d.PeakPods = d.MinScale
	d.GPUType, _ = GPUType(podSpec)
	d.product = GPUProduct(podSpec)
	d.claim(d.part(""))
	return d
}

// Replicas is the number of pods of a Deployment, 1 where it states none; Unbounded for
// what is no such number.
func Replicas(deployment manifest.Object) int64 {
	v := manifest.At(deployment, "spec", "replicas")
	if v == nil {
		return 1
	}
	if n, ok := v.(int64); ok && n >= 0 {
		return n
	}
	return Unbounded
}
