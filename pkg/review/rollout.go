package review

import (
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// concernsNobody tells whether a Deployment has no label of ours, and neither it nor a ReplicaSet of it
// asks for devices: it comes only because it gets more pods.
func (r *Request) concernsNobody(d workload.Usage) bool {
	if d.Claim > 0 || r.old == nil || asksForDevices(r.object) || asksForDevices(r.old) {
		return false
	}
	ours := func(o manifest.Object) bool {
		intent := expand.ReadIntent(o)
		return intent.FillsResources() || intent.Autoscale.Off || intent.Compute.Off || len(intent.Stated) > 0
	}
	return !ours(r.object) && !ours(r.old)
}

// rollout is what a Deployment's pods hold beside its claim until a change of its template is rolled out:
// that of the update, or of an earlier one that is not finished.
func (r *Request) rollout(w World, d workload.Usage) []workload.Part {
	if r.old == nil || total(d.Parts) == 0 {
		return d.Overlap
	}
	gpus := r.selection(w).GPUResources()
	was := workload.DeploymentUsage(r.old, workload.Controlled{}, gpus)
	earlier := workload.Part{}
	changed := !manifest.Equal(manifest.At(r.old, "spec", "template"), manifest.At(r.object, "spec", "template"))
	if changed && was.PeakPods > 0 {
		earlier = workload.Part{GPUs: was.GPUs.PerPod}
	}
	for _, set := range r.related.own.replicaSets {
		u := workload.ReplicaSetUsage(set, gpus)
		if u.PeakPods > 0 && (changed || u.GPUs.PerPod != d.GPUs.PerPod || len(d.Overlap) > 0) {
			earlier.GPUs = max(earlier.GPUs, u.GPUs.PerPod)
		}
	}
	if earlier.GPUs == 0 {
		return d.Overlap
	}
	part := workload.Part{Type: d.Parts[0].Type,
		GPUs: workload.SaturatingMul(workload.RolloutPods(r.object, d.PeakPods), max(earlier.GPUs, d.GPUs.PerPod))}
	if part.GPUs == 0 || part.GPUs < total(d.Overlap) {
		return d.Overlap
	}
	return []workload.Part{part}
}
