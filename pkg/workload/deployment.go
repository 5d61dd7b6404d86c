package workload

import (
	"strconv"
	"strings"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// Controlled is what belongs to a Deployment.
type Controlled struct {
	ReplicaSets []manifest.Object
	// Pods are what the pods of the ReplicaSets hold together.
	Pods Held
	// Autoscaled is the most pods that autoscalers may have the Deployment ask for (AutoscalerPeak).
	Autoscaled int64
}

// DeploymentUsage measures a Deployment with what it controls: the most GPUs per pod of its template
// and of the ReplicaSets that its controller may scale, times its pods. A paused Deployment whose
// template has no ReplicaSet has its newest earlier one scaled, even from 0; otherwise only those with
// replicas are. What its ReplicaSets and pods hold beyond that is the overlap of its rollout, as far
// as a rollout can have that much, and a claim beyond that. Of pods with resource claims only those beyond the
// peak are of a rollout.
func DeploymentUsage(deployment manifest.Object, c Controlled, gpus GPUResources) Usage {
	d := fixedUsage(deployment, templateSpec, liveReplicas(deployment), replicasPath, gpus)
	if !deleting(deployment) {
		d.PeakPods = max(d.PeakPods, c.Autoscaled)
	}
	paused, _ := manifest.At(deployment, "spec", "paused").(bool)
	largest := d.perPod()
	replaced := largest // the most that a pod of a rollout holds
	var asked Part      // by the ReplicaSets together
	var single Part     // by one of them: no rollout, but a scale that it has not followed yet
	var sets int64      // the pods that they ask for together
	for _, rs := range c.ReplicaSets {
		u := ReplicaSetUsage(rs, gpus)
		own := u.part("")
		sets = SaturatingAdd(sets, u.PeakPods)
		asked, single = asked.plus(own), single.or(own)
		replaced = replaced.or(u.perPod())
		if paused || u.PeakPods > 0 {
			largest = largest.or(u.perPod())
		}
	}
	claim := largest.times(d.PeakPods).or(single)
	held := asked.or(c.Pods.Active.plus(c.Pods.Terminating))
	rollout := RolloutPods(deployment, d.PeakPods)
	if namesClaims(manifest.Map(deployment, templateSpec...)) {
		// A pod may hold more than its template says now, by a claim that was made of an earlier one.
		rollout = min(rollout, max(0, max(sets, c.Pods.Pods)-d.PeakPods))
	}
	claim, overlap := claim.withHeld(held, replaced.times(rollout))
	d.Parts, d.Claim = nil, 0
	d.claim(claim)
	if overlap.GPUs > 0 {
		d.Overlap = []Part{overlap}
	}
	return d
}

// RolloutPods is the number of pods beside its peak that a Deployment has while its template is
// rolled out: maxSurge, rounded up, and for its terminating pods maxUnavailable, rounded down; one if
// both are 0. With the strategy Recreate it has none. Neither is more than the peak, since one earlier
// version at a time is beside a budget, whatever surge is allowed.
func RolloutPods(deployment manifest.Object, peak int64) int64 {
	if peak == 0 || manifest.Text(deployment, "spec", "strategy", "type") == "Recreate" {
		return 0
	}
	rolling := manifest.Map(deployment, "spec", "strategy", "rollingUpdate")
	surge, unavailable := share(rolling["maxSurge"], peak, true), share(rolling["maxUnavailable"], peak, false)
	return max(1, SaturatingAdd(min(surge, peak), min(unavailable, peak)))
}

// share is a number of pods, or a percentage of a number of them: 25% where none is stated, and all
// for what can be read as neither.
func share(v any, of int64, up bool) int64 {
	percent := int64(25)
	switch v := v.(type) {
	case nil:
	case int64:
		return max(0, v)
	default:
		text, _ := v.(string)
		n, err := strconv.ParseInt(strings.TrimSuffix(text, "%"), 10, 32)
		if err != nil || n < 0 || !strings.HasSuffix(text, "%") {
			return of
		}
		percent = n
	}
	product := SaturatingMul(of, percent)
	if up {
		product = SaturatingAdd(product, 99)
	}
	return product / 100
}
