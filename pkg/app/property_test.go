package app

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// worlds is how many random worlds the property is tried in, and firstWorld the first of them.
var (
	worlds     = flag.Int("worlds", 40, "random worlds")
	firstWorld = flag.Uint64("first-world", 0, "the first of them")
)

const tenant = "tenant"

// What admission charges, the count counts; what the count frees, no pod holds: whatever a tenant writes
// and whenever the controllers and the count do their work, pods never hold more GPUs than the ledger, and
// never more than the budget, but for the overlap of rollouts where the budget allows that.
func TestPodsNeverHoldMoreThanTheLedger(t *testing.T) {
	for n := range *worlds {
		seed := *firstWorld + uint64(n)
		t.Run(fmt.Sprint("world ", seed), func(t *testing.T) {
			t.Parallel()
			s := simulate(t, seed, 12, seed%2 == 0)
			most := int64(0)
			for range 600 {
				if s.random.IntN(25) == 0 {
					s.count()
				} else {
					s.act()
				}
				most = max(most, s.held(allTypes))
			}
			assert.Positive(t, most, "there are pods at times")
			assert.Positive(t, s.counts)
			s.settle()
		})
	}
}

// settle lets everything come to rest, and compares the ledger with a count from nothing.
func (s *simulated) settle() {
	for _, kind := range workload.Kinds() {
		clear(s.stored[kind.GroupKind])
	}
	clear(s.stored[workload.HorizontalPodAutoscalerKind])
	clear(s.alive)
	s.waiting = nil
	for range 3 {
		s.now = s.now.Add(settleAfter)
		s.countQuietly()
	}
	for name, b := range s.budgets {
		status := b.Status
		assert.Equal(s.t, []int64{0, 0, 0}, []int64{status.Used, status.Reserved, status.Overlap}, "once everything is gone the ledger of %s is empty", name)
	}
}

// countQuietly counts while nothing happens.
func (s *simulated) countQuietly() {
	s.quiet = true
	defer func() { s.quiet = false }()
	s.count()
}

// act is one step of somebody.
func (s *simulated) act() {
	s.now = s.now.Add(time.Second)
	for i := 0; i < len(s.waiting); i++ {
		if w := s.waiting[i]; !w.until.After(s.now) {
			s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
			w.store()
			i--
		}
	}
	controllers := []func(){
		func() { s.with(workload.DeploymentKind, s.deploymentController) },
		func() {
			s.with(workload.ReplicaSetKind, func(o manifest.Object) { s.replicaSetController(workload.ReplicaSetKind, "replicaset-controller", o) })
		},
		func() {
			s.with(workload.ReplicationControllerKind, func(o manifest.Object) {
				s.replicaSetController(workload.ReplicationControllerKind, "replication-controller", o)
			})
		},
		func() { s.with(workload.StatefulSetKind, s.statefulSetController) },
		func() { s.with(workload.JobKind, s.jobController) },
		func() { s.with(workload.DaemonSetKind, s.daemonSetController) },
		func() { s.with(workload.CronJobKind, s.cronJobController) },
		func() { s.with(workload.HorizontalPodAutoscalerKind, s.autoscaler) },
		func() { s.with(workload.PodKind, s.kubelet) },
		s.collector,
	}
	if s.random.IntN(4) == 0 {
		s.write()
	} else {
		controllers[s.random.IntN(len(controllers))]()
	}
	s.check()
}

func (s *simulated) with(kind schema.GroupKind, do func(manifest.Object)) {
	if o := s.any(kind); o != nil {
		do(o)
	}
}

// write is something that a tenant writes.
func (s *simulated) write() {
	kinds := []schema.GroupKind{workload.DeploymentKind, workload.DeploymentKind, workload.DeploymentKind, workload.ReplicaSetKind, workload.ReplicaSetKind,
		workload.ReplicationControllerKind, workload.StatefulSetKind, workload.JobKind, workload.PodKind, workload.PodKind, workload.DaemonSetKind, workload.CronJobKind}
	kind := kinds[s.random.IntN(len(kinds))]
	o := s.any(kind)
	switch s.random.IntN(9) {
	case 0, 1:
		s.create(tenant, kind, s.newObject(kind))
	case 2, 3:
		if o != nil && kind != workload.PodKind {
			s.update(tenant, kind, "", o, func(o manifest.Object) { s.changeSpec(kind, o) })
		}
	case 4:
		if k, _ := workload.KindFor(kind); o != nil && k.Scale {
			s.scale(tenant, kind, o, s.random.Int64N(7))
		}
	case 5:
		if o != nil {
			s.update(tenant, kind, "", o, func(o manifest.Object) { s.forge(kind, manifest.Map(o, "metadata")) })
		}
	case 6:
		if o != nil {
			s.delete(kind, o)
		}
	case 7:
		s.writeAutoscaler()
	case 8:
		if o != nil && (kind == workload.PodKind || kind == workload.JobKind) {
			s.update(tenant, kind, "status", o, func(o manifest.Object) {
				o["status"] = manifest.Object{"phase": "Succeeded", "succeeded": int64(9), "conditions": []any{manifest.Object{"type": "Complete", "status": "True"}}}
			})
		}
	}
}

// podSpec is one with a few GPUs, of any type or of one.
func (s *simulated) podSpec() manifest.Object {
	spec := manifest.Object{"containers": []any{manifest.Object{"name": "c", "image": "a", "resources": manifest.Object{"limits": manifest.Object{"nvidia.com/gpu": s.random.Int64N(4)}}}}}
	if pin := []string{"", product, otherProduct}[s.random.IntN(3)]; pin != "" {
		spec["nodeSelector"] = manifest.Object{"nvidia.com/gpu.product": pin}
	}
	return spec
}

// newObject is an object of a kind; two labels are shared by all of them.
func (s *simulated) newObject(kind schema.GroupKind) manifest.Object {
	label := manifest.Object{"app": string(rune('a' + s.random.IntN(2)))}
	s.uids++
	k, _ := workload.KindFor(kind)
	o := manifest.Object{"apiVersion": schema.GroupVersion{Group: k.Group, Version: k.Version}.String(), "kind": kind.Kind,
		"metadata": manifest.Object{"name": fmt.Sprintf("%c%d", kind.Kind[0]+32, s.random.IntN(4)), "labels": copied(label)}}
	switch kind {
	case workload.PodKind:
		o["spec"] = s.podSpec()
		manifest.Map(o, "metadata")["labels"] = s.hashed(copied(label))
		if set := s.any(workload.StatefulSetKind); set != nil && s.random.IntN(4) == 0 {
			manifest.Map(o, "metadata")["name"] = fmt.Sprintf("%s-%d", nameIn(set), s.random.IntN(5))
		} else {
			manifest.Map(o, "metadata")["name"] = fmt.Sprint("p", s.uids)
		}
	case workload.ReplicationControllerKind:
		o["spec"] = manifest.Object{"selector": label, "template": manifest.Object{"metadata": manifest.Object{"labels": label}, "spec": s.podSpec()}}
	case workload.JobKind:
		label = manifest.Object{"job": fmt.Sprint("j", s.uids)}
		o["spec"] = manifest.Object{"selector": manifest.Object{"matchLabels": label}, "completions": 1 + s.random.Int64N(5),
			"podReplacementPolicy": []any{"Failed", "TerminatingOrFailed"}[s.random.IntN(2)],
			"template":             manifest.Object{"metadata": manifest.Object{"labels": label}, "spec": s.podSpec()}}
	case workload.CronJobKind:
		o["spec"] = manifest.Object{"jobTemplate": manifest.Object{"spec": manifest.Object{"completions": 1 + s.random.Int64N(5),
			"template": manifest.Object{"spec": s.podSpec()}}}}
	default:
		o["spec"] = manifest.Object{"selector": manifest.Object{"matchLabels": label}, "template": manifest.Object{"metadata": manifest.Object{"labels": label}, "spec": s.podSpec()}}
	}
	o = clonedObject(o)
	if kind != workload.PodKind {
		s.changeSpec(kind, o)
	}
	if s.random.IntN(2) == 0 {
		s.forge(kind, manifest.Map(o, "metadata"))
	}
	return o
}

// changeSpec changes something that decides how many GPUs there are to be.
func (s *simulated) changeSpec(kind schema.GroupKind, o manifest.Object) {
	spec := manifest.Map(o, "spec")
	if kind == workload.JobKind {
		spec["parallelism"], spec["suspend"] = 1+s.random.Int64N(4), s.random.IntN(3) == 0
		return
	}
	if kind == workload.CronJobKind {
		manifest.Map(spec, "jobTemplate", "spec")["parallelism"], spec["suspend"] = 1+s.random.Int64N(3), s.random.IntN(3) == 0
		return
	}
	spec["replicas"] = s.random.Int64N(5)
	if s.random.IntN(2) == 0 {
		manifest.Map(spec, "template")["spec"] = s.podSpec()
	}
	switch kind {
	case workload.DeploymentKind:
		spec["paused"] = s.random.IntN(3) == 0
		spec["strategy"] = manifest.Object{"type": "RollingUpdate", "rollingUpdate": manifest.Object{"maxSurge": s.random.Int64N(3), "maxUnavailable": s.random.Int64N(2)}}
		if s.random.IntN(4) == 0 {
			spec["strategy"] = manifest.Object{"type": "Recreate"}
		}
	case workload.ReplicationControllerKind:
		if s.random.IntN(3) == 0 { // the only one whose selector changes
			label := manifest.Object{"app": string(rune('a' + s.random.IntN(2)))}
			spec["selector"], manifest.Map(spec, "template")["metadata"] = label, manifest.Object{"labels": copied(label)}
		}
	case workload.DaemonSetKind:
		delete(spec, "replicas")
		spec["updateStrategy"] = manifest.Object{"rollingUpdate": manifest.Object{"maxSurge": s.random.Int64N(2)}}
	case workload.StatefulSetKind:
		spec["updateStrategy"] = manifest.Object{"rollingUpdate": manifest.Object{"partition": s.random.Int64N(4)}}
	}
}

// hashed adds to labels, now and then, that of a ReplicaSet that there is, or of none.
func (s *simulated) hashed(labels manifest.Object) manifest.Object {
	switch s.random.IntN(3) {
	case 0:
		labels[templateHash] = "none"
	case 1:
		if set := s.any(workload.ReplicaSetKind); set != nil {
			labels[templateHash] = manifest.Text(set, "metadata", "labels", templateHash)
		}
	}
	return labels
}

// forge has an object say something of itself: whose it is, or what it is labelled.
func (s *simulated) forge(kind schema.GroupKind, metadata manifest.Object) {
	owners := map[schema.GroupKind][]schema.GroupKind{
		workload.PodKind:        {workload.ReplicaSetKind, workload.StatefulSetKind, workload.JobKind, workload.ReplicationControllerKind, workload.DeploymentKind, workload.DaemonSetKind},
		workload.ReplicaSetKind: {workload.DeploymentKind, workload.ReplicaSetKind},
		workload.JobKind:        {workload.CronJobKind},
	}[kind]
	switch s.random.IntN(3) {
	case 0:
		metadata["labels"] = s.hashed(manifest.Object{"app": string(rune('a' + s.random.IntN(2)))})
	case 1:
		delete(metadata, "ownerReferences")
	case 2:
		if len(owners) == 0 {
			return
		}
		of := owners[s.random.IntN(len(owners))]
		if owner := s.any(of); owner != nil {
			metadata["ownerReferences"] = reference(of, owner)
			if labels := manifest.Map(owner, "spec", "selector", "matchLabels"); labels != nil {
				metadata["labels"] = copied(labels)
			}
			if s.random.IntN(3) == 0 {
				ref := metadata["ownerReferences"].([]any)[0].(manifest.Object)
				ref["name"], ref["apiVersion"] = "any", "apps/v9"
			}
		}
	}
}

// delete deletes an object: pods with a grace period, others with their children, without them, or so that these
// stay by themselves as they have another owner.
func (s *simulated) delete(kind schema.GroupKind, o manifest.Object) {
	s.note("tenant deletes %s/%s", kind.Kind, nameIn(o))
	switch orphans := s.random.IntN(4); {
	case kind == workload.PodKind:
		s.terminate(o)
	case orphans == 0:
		o = clonedObject(o)
		manifest.Map(o, "metadata")["deletionTimestamp"] = "2026-01-01T00:00:00Z"
		s.put(kind, o)
		s.orphan(kind, o)
	case orphans == 1:
		s.drop(kind, o)
		s.release(o)
	default:
		s.drop(kind, o) // the collector deletes its children
	}
}

// release has the collector take an owner from its children; it tells whether all of that was admitted.
func (s *simulated) release(owner manifest.Object) bool {
	all := true
	for _, k := range workload.Kinds() {
		for _, child := range s.all(k.GroupKind) {
			if controllerUID(child) == uidOf(owner) {
				all = s.update("system:serviceaccount:kube-system:generic-garbage-collector", k.GroupKind, "", child,
					func(o manifest.Object) { delete(manifest.Map(o, "metadata"), "ownerReferences") }) && all
			}
		}
	}
	return all
}

// orphan deletes an object once its children are without it.
func (s *simulated) orphan(kind schema.GroupKind, o manifest.Object) {
	if s.release(o) {
		s.drop(kind, o)
	}
}

func (s *simulated) writeAutoscaler() {
	kind := []schema.GroupKind{workload.DeploymentKind, workload.StatefulSetKind, workload.ReplicaSetKind}[s.random.IntN(3)]
	name := fmt.Sprintf("%c%d", kind.Kind[0]+32, s.random.IntN(4))
	hpa := manifest.Object{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": manifest.Object{"name": "h" + name},
		"spec": manifest.Object{"scaleTargetRef": manifest.Object{"apiVersion": "apps/v1", "kind": kind.Kind, "name": name}, "maxReplicas": 1 + s.random.Int64N(4)}}
	switch old := s.stored[workload.HorizontalPodAutoscalerKind]["h"+name]; {
	case old == nil:
		s.create(tenant, workload.HorizontalPodAutoscalerKind, hpa)
	case s.random.IntN(2) == 0:
		s.drop(workload.HorizontalPodAutoscalerKind, old)
	default:
		s.update(tenant, workload.HorizontalPodAutoscalerKind, "", old, func(o manifest.Object) { o["spec"] = hpa["spec"] })
	}
}

func clonedObject(o manifest.Object) manifest.Object {
	if o == nil {
		return nil
	}
	return runtime.DeepCopyJSON(o)
}
