package workload

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// plainKnative fills nothing in: Knative has no part in pods that it does not make.
var plainKnative = knative.Default()

// fixedUsage measures pods that run all the time, so many at a time: bounds on how an autoscaler
// behaves do not apply. spec is where the pods are described, and at where their number stands.
func fixedUsage(o manifest.Object, spec []string, peak int64, at *field.Path, gpus GPUResources) Usage {
	podSpec, path := manifest.Map(o, spec...), field.NewPath(spec[0], spec[1:]...)
	gpus = gpus.in(o)
	d := Usage{
		Fixed: true, MinScale: peak, PeakPods: peak,
		GPUs:   CountGPUs(podSpec, path, gpus),
		CPUs:   podQuantity(podSpec, nil, "cpu", plainKnative),
		Memory: podQuantity(podSpec, nil, "memory", plainKnative),
		Paths:  map[string]*field.Path{PeakKey: at, knative.MaxScaleKey: at, knative.MinScaleKey: at},
		pod:    path,
	}
	d.Warnings = d.GPUs.Assumed
	d.pinnedBy(podSpec)
	d.claim(d.part(""))
	return d
}

// boundsOnly takes the parts from a usage: bounds hold for it, and budgets charge what is made of
// the object.
func (d Usage) boundsOnly() Usage {
	d.Parts = nil
	return d
}

// Replicas is the number of pods of an object with spec.replicas, 1 where it states none;
// Unbounded for what is no such number.
func Replicas(o manifest.Object) int64 { return count(o, 1, "spec", "replicas") }

// count is a number of pods, absent where there is none; Unbounded for what is no such number.
func count(o manifest.Object, absent int64, path ...string) int64 {
	v := manifest.At(o, path...)
	if v == nil {
		return absent
	}
	if n, ok := v.(int64); ok && n >= 0 {
		return n
	}
	return Unbounded
}

// deleting tells whether an object is being deleted. The controllers of all kinds here make no
// further pods for one that is.
func deleting(o manifest.Object) bool { return manifest.At(o, "metadata", "deletionTimestamp") != nil }
