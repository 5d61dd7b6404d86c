// Pods are taken from a Deployment without being deleted, and it makes new ones in their place.

package app

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// orphaned is a simulated cluster whose budget a Deployment has used up, the ReplicaSet of which was deleted
// without its pods.
type orphaned struct{ *simulated }

const collectorAccount = "system:serviceaccount:kube-system:generic-garbage-collector"

func newOrphaned(t *testing.T) *orphaned {
	t.Helper()
	s := &orphaned{simulate(t, 1, 12, true)}
	s.make(manifest.Object{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": labelsOf("d", "x"),
		"spec": manifest.Object{"replicas": int64(2), "selector": manifest.Object{"matchLabels": manifest.Object{"app": "x"}},
			"strategy": manifest.Object{"type": "Recreate"}, "template": manifest.Object{"metadata": manifest.Object{"labels": manifest.Object{"app": "x"}}, "spec": sixGPUs()}}})
	s.work()
	require.EqualValues(t, 12, s.held(allTypes))
	set := s.any(workload.ReplicaSetKind)
	s.drop(workload.ReplicaSetKind, set)
	for _, pod := range s.podsOf([]manifest.Object{set}) {
		s.let(workload.PodKind, pod)
	}
	return s
}

func sixGPUs() manifest.Object {
	return manifest.Object{"nodeSelector": manifest.Object{"nvidia.com/gpu.product": otherProduct}, "containers": []any{manifest.Object{"name": "c", "image": "a", "resources": manifest.Object{"limits": manifest.Object{"nvidia.com/gpu": int64(6)}}}}}
}

func labelsOf(name, app string) manifest.Object {
	return manifest.Object{"name": name, "labels": manifest.Object{"app": app}}
}

// make has the tenant make an object, and needs that to be admitted.
func (s *orphaned) make(o manifest.Object) {
	s.t.Helper()
	require.True(s.t, s.create(tenant, workload.KindOf(o), o))
	s.flush()
}

// flush stores what is under way.
func (s *orphaned) flush() {
	for _, w := range s.waiting {
		w.store()
	}
	s.waiting = nil
}

// let has the garbage collector take the owner from an object; it tells whether that is admitted.
func (s *orphaned) let(kind schema.GroupKind, o manifest.Object) bool {
	return s.update(collectorAccount, kind, "", o, func(o manifest.Object) { delete(manifest.Map(o, "metadata"), "ownerReferences") })
}

// work has all controllers work, the adopters first, and holds the promise all the time.
func (s *orphaned) work() {
	for range 4 {
		for _, set := range s.all(workload.DaemonSetKind) {
			s.daemonSetController(set)
			s.check()
		}
		for _, set := range s.all(workload.ReplicaSetKind) {
			s.replicaSetController(workload.ReplicaSetKind, "replicaset-controller", set)
			s.check()
		}
		for _, d := range s.all(workload.DeploymentKind) {
			s.deploymentController(d)
			s.check()
		}
		s.flush()
	}
}

func TestOrphansThatAnotherAdopts(t *testing.T) {
	for name, test := range map[string]struct {
		kind    string
		counted bool
	}{
		"a ReplicaSet": {"ReplicaSet", false}, "a DaemonSet": {"DaemonSet", false},
		"a ReplicaSet, once they are counted": {"ReplicaSet", true}, "a DaemonSet, once they are counted": {"DaemonSet", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newOrphaned(t)
			if test.counted {
				s.countQuietly()
			}
			thief := manifest.Object{"apiVersion": "apps/v1", "kind": test.kind, "metadata": labelsOf("thief", "y"), "spec": manifest.Object{
				"replicas": int64(2), "selector": manifest.Object{"matchLabels": manifest.Object{"app": "x"}},
				"template": manifest.Object{"metadata": manifest.Object{"labels": manifest.Object{"app": "x"}}, "spec": manifest.Object{"containers": []any{manifest.Object{"name": "c", "image": "a"}}}}}}
			s.make(thief)
			s.work()
			assert.EqualValues(t, 12, s.held(allTypes))
			var own []manifest.Object
			for _, set := range s.all(workload.ReplicaSetKind) {
				if controllerUID(set) != "" {
					own = append(own, set)
				}
			}
			assert.Len(t, s.podsOf(own), 2, "the Deployment has them again")
		})
	}
}

func TestOrphansWithOtherLabels(t *testing.T) {
	for name, counted := range map[string]bool{"at once": false, "once they are counted": true} {
		t.Run(name, func(t *testing.T) {
			s := newOrphaned(t)
			if counted {
				s.countQuietly()
			}
			for _, pod := range s.all(workload.PodKind) {
				assert.False(t, s.update(tenant, workload.PodKind, "", pod, func(o manifest.Object) { manifest.Map(o, "metadata")["labels"] = manifest.Object{"app": "mine"} }))
				assert.True(t, s.update(tenant, workload.PodKind, "", pod, func(o manifest.Object) { manifest.Map(o, "metadata")["annotations"] = manifest.Object{"a": "b"} }))
			}
			s.flush()
			s.work()
			assert.EqualValues(t, 12, s.held(allTypes))
		})
	}
}

// Without a Deployment that waits for it a Pod may have any labels, also in a budget that is used up.
func TestAPodThatNobodyWaitsForMayHaveOtherLabels(t *testing.T) {
	s := &orphaned{simulate(t, 1, 6, true)}
	s.make(manifest.Object{"apiVersion": "v1", "kind": "Pod", "metadata": labelsOf("p", "x"), "spec": sixGPUs()})
	relabel := func() bool {
		return s.update(tenant, workload.PodKind, "", s.any(workload.PodKind), func(o manifest.Object) { manifest.Map(o, "metadata")["labels"] = manifest.Object{"app": "y"} })
	}
	assert.True(t, relabel())
}

// withLater adds a ReplicaSet of the Deployment that has none of its pods yet. It returns the Deployment.
func (s *orphaned) withLater() manifest.Object {
	d := clonedObject(s.any(workload.DeploymentKind))
	s.put(workload.ReplicaSetKind, manifest.Object{"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": manifest.Object{"name": "d-later", "namespace": team, "uid": "later",
		"labels": manifest.Object{"app": "x", "hash": "later"}, "ownerReferences": reference(workload.DeploymentKind, d)}, "spec": manifest.Object{"replicas": int64(2),
		"selector": manifest.Object{"matchLabels": manifest.Object{"app": "x", "hash": "later"}},
		"template": manifest.Object{"metadata": manifest.Object{"labels": manifest.Object{"app": "x", "hash": "later"}}, "spec": sixGPUs()}}})
	return d
}

// A ReplicaSet that outlives its Deployment, as it has another owner, is counted by itself: its pods have to have
// room, and it stays whose it was until there is some.
func TestAReplicaSetThatOutlivesItsDeployment(t *testing.T) {
	s := newOrphaned(t)
	s.drop(workload.DeploymentKind, s.withLater())
	for range 3 {
		s.now = s.now.Add(settleAfter)
		s.countQuietly()
		s.work()
		assert.False(t, s.let(workload.ReplicaSetKind, s.stored[workload.ReplicaSetKind]["d-later"]))
	}
	assert.EqualValues(t, 12, s.held(allTypes))
	for _, pod := range s.all(workload.PodKind) {
		s.drop(workload.PodKind, pod)
		delete(s.alive, uidOf(pod))
	}
	for range 3 {
		s.now = s.now.Add(settleAfter)
		s.countQuietly()
	}
	assert.True(t, s.let(workload.ReplicaSetKind, s.stored[workload.ReplicaSetKind]["d-later"]))
	s.work()
	assert.EqualValues(t, 12, s.held(allTypes))
}

// A ReplicaSet that has none of its pods yet may not become its own root: it was charged with its Deployment.
func TestAReplicaSetThatIsOrphanedBeforeItsPods(t *testing.T) {
	s := newOrphaned(t)
	for _, pod := range s.all(workload.PodKind) { // of an earlier template
		pod = clonedObject(pod)
		manifest.Map(pod, "metadata")["labels"] = manifest.Object{"app": "x", "hash": "earlier"}
		s.put(workload.PodKind, pod)
	}
	d := s.withLater()
	manifest.Map(d, "metadata")["deletionTimestamp"] = "2026-01-01T00:00:00Z"
	s.put(workload.DeploymentKind, d)
	if s.let(workload.ReplicaSetKind, s.stored[workload.ReplicaSetKind]["d-later"]) {
		s.drop(workload.DeploymentKind, d)
	}
	for range 3 {
		s.now = s.now.Add(settleAfter)
		s.countQuietly()
		s.work()
	}
	assert.EqualValues(t, 12, s.held(allTypes))
}

// A ReplicaSet with other pods than its Deployment selects is none of it, whatever it says: once it is gone, its pods
// hold what they hold, and nobody could tell that the Deployment was charged with them. It may not become its.
func TestAReplicaSetWithOtherPodsThanItsDeploymentSelects(t *testing.T) {
	s := &orphaned{simulate(t, 1, 12, true)}
	app := func(name string) manifest.Object { return manifest.Object{"app": name} }
	template := func(name string) manifest.Object {
		return manifest.Object{"metadata": manifest.Object{"labels": app(name)}, "spec": sixGPUs()}
	}
	deployment := func(name, label string) manifest.Object {
		return manifest.Object{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": labelsOf(name, label), "spec": manifest.Object{"replicas": int64(1),
			"selector": manifest.Object{"matchLabels": app(label)}, "strategy": manifest.Object{"type": "Recreate"}, "template": template(label)}}
	}
	s.make(deployment("d", "x"))
	stray := func(metadata manifest.Object) manifest.Object {
		return manifest.Object{"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": manifest.Object{"replicas": int64(1),
			"selector": manifest.Object{"matchLabels": app("y")}, "template": template("y")}}
	}
	assert.False(t, s.create(tenant, workload.ReplicaSetKind, stray(labelsOf("r", "x"))), "nor may it be made")
	s.make(stray(labelsOf("r", "y")))
	r := s.stored[workload.ReplicaSetKind]["r"]
	for name, change := range map[string]func(manifest.Object){
		"labels": func(o manifest.Object) { manifest.Map(o, "metadata")["labels"] = app("x") },
		"an owner": func(o manifest.Object) {
			manifest.Map(o, "metadata")["labels"], manifest.Map(o, "metadata")["ownerReferences"] = app("x"), reference(workload.DeploymentKind, s.any(workload.DeploymentKind))
		},
	} {
		assert.False(t, s.update(tenant, workload.ReplicaSetKind, "", r, change), name)
	}
	assert.False(t, s.create(tenant, workload.DeploymentKind, func() manifest.Object {
		d := deployment("later", "y")
		for _, at := range [][]string{{"spec", "selector", "matchLabels"}, {"spec", "template", "metadata", "labels"}} {
			manifest.Map(d, at...)["tier"] = "z"
		}
		labelled := clonedObject(r)
		manifest.Map(labelled, "metadata", "labels")["tier"] = "z"
		s.put(workload.ReplicaSetKind, labelled)
		return d
	}()), "a Deployment that would have to adopt it is not made")
	assert.Contains(t, s.log[len(s.log)-1], "selects ReplicaSet r by its labels, which has other pods")
	r = clonedObject(r) // while the webhook was away
	manifest.Map(r, "metadata")["labels"] = app("x")
	s.put(workload.ReplicaSetKind, r)
	assert.False(t, s.update("system:serviceaccount:kube-system:deployment-controller", workload.ReplicaSetKind, "", r, func(o manifest.Object) {
		manifest.Map(o, "metadata")["ownerReferences"] = reference(workload.DeploymentKind, s.any(workload.DeploymentKind))
	}), "nor adopted")
	manifest.Map(r, "metadata")["ownerReferences"] = reference(workload.DeploymentKind, s.any(workload.DeploymentKind))
	s.put(workload.ReplicaSetKind, r)
	s.work()
	for range 3 {
		s.now = s.now.Add(settleAfter)
		s.countQuietly()
	}
	assert.EqualValues(t, 12, s.budgets[allTypes].Status.Used, "it counts by itself, though the Deployment has adopted it")
	assert.False(t, s.create(tenant, workload.DeploymentKind, deployment("e", "z")))
	s.drop(workload.ReplicaSetKind, s.stored[workload.ReplicaSetKind]["r"])
	s.work()
	assert.LessOrEqual(t, s.held(allTypes), int64(12))
}

// A ReplicaSet that is given to another Deployment takes its pods along, also those that terminate: the first one makes
// others in their place.
func TestAReplicaSetThatIsGivenToAnotherDeployment(t *testing.T) {
	for name, replicas := range map[string]int64{"that asks for pods": 2, "that is scaled to 0": 0} {
		t.Run(name, func(t *testing.T) {
			s := &orphaned{simulate(t, 1, 12, true)}
			deployment := func(name string, spec manifest.Object) manifest.Object {
				return manifest.Object{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": manifest.Object{"name": name, "namespace": team, "uid": name, "labels": manifest.Object{"app": "x"}},
					"spec": manifest.Object{"replicas": int64(2), "selector": manifest.Object{"matchLabels": manifest.Object{"app": "x"}},
						"strategy": manifest.Object{"type": "Recreate"}, "template": manifest.Object{"metadata": manifest.Object{"labels": manifest.Object{"app": "x"}}, "spec": spec}}}
			}
			s.make(deployment("d", sixGPUs()))
			s.work()
			require.EqualValues(t, 12, s.held(allTypes))
			without := sixGPUs()
			without["containers"] = []any{manifest.Object{"name": "c", "image": "a"}}
			other := deployment("other", without)
			s.put(workload.DeploymentKind, other) // nobody asks about it
			set := clonedObject(s.any(workload.ReplicaSetKind))
			manifest.Map(set, "spec")["replicas"] = replicas
			s.put(workload.ReplicaSetKind, set)
			assert.False(t, s.update(tenant, workload.ReplicaSetKind, "", set, func(o manifest.Object) {
				manifest.Map(o, "metadata")["ownerReferences"] = reference(workload.DeploymentKind, other)
			}))
		})
	}
}

// A Deployment that is deleted without its ReplicaSets in the middle of a rollout leaves both only if there is room,
// whatever it asks for meanwhile.
func TestReplicaSetsOfARolloutThatOutliveTheirDeployment(t *testing.T) {
	for name, replicas := range map[string]int64{"as it was": 2, "scaled up": 9} {
		t.Run(name, func(t *testing.T) {
			s := newOrphaned(t)
			d := s.withLater()
			earlier := clonedObject(s.stored[workload.ReplicaSetKind]["d-later"])
			manifest.Map(earlier, "metadata")["name"], manifest.Map(earlier, "metadata")["uid"] = "d-earlier", "earlier"
			for _, at := range [][]string{{"metadata", "labels"}, {"spec", "selector", "matchLabels"}} {
				manifest.Map(earlier, at...)["hash"] = "earlier"
			}
			manifest.Map(earlier, "spec")["replicas"] = int64(0)
			s.put(workload.ReplicaSetKind, earlier)
			for _, pod := range s.all(workload.PodKind) {
				pod = clonedObject(pod)
				manifest.Map(pod, "metadata")["labels"] = manifest.Object{"app": "x", "hash": "earlier"}
				manifest.Map(pod, "metadata")["ownerReferences"] = reference(workload.ReplicaSetKind, earlier)
				s.put(workload.PodKind, pod)
			}
			manifest.Map(d, "metadata")["deletionTimestamp"] = "2026-01-01T00:00:00Z"
			manifest.Map(d, "spec")["replicas"] = replicas
			s.put(workload.DeploymentKind, d)
			assert.False(t, s.let(workload.ReplicaSetKind, s.stored[workload.ReplicaSetKind]["d-earlier"]))
			assert.False(t, s.let(workload.ReplicaSetKind, s.stored[workload.ReplicaSetKind]["d-later"]))
			s.work()
			assert.EqualValues(t, 12, s.held(allTypes))
		})
	}
}

// The deployment controller goes by the UID of an owner reference: a ReplicaSet that states another name beside it is
// as much its own.
func TestAReplicaSetThatStatesAnotherName(t *testing.T) {
	s := &orphaned{simulate(t, 1, 12, true)}
	s.make(manifest.Object{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": labelsOf("d", "x"),
		"spec": manifest.Object{"replicas": int64(2), "selector": manifest.Object{"matchLabels": manifest.Object{"app": "x"}},
			"template": manifest.Object{"metadata": manifest.Object{"labels": manifest.Object{"app": "x"}}, "spec": sixGPUs()}}})
	s.work()
	require.EqualValues(t, 12, s.held(allTypes))
	named := func(name string) func(manifest.Object) {
		return func(o manifest.Object) {
			manifest.Map(o, "metadata")["ownerReferences"].([]any)[0].(manifest.Object)["name"] = name
		}
	}
	set := s.any(workload.ReplicaSetKind)
	require.True(t, s.update(tenant, workload.ReplicaSetKind, "", set, named("any")), "it stays whose it is")
	s.flush()
	set = s.any(workload.ReplicaSetKind)
	assert.False(t, s.update(tenant, workload.ReplicaSetKind, "", set, func(o manifest.Object) { manifest.Map(o, "metadata")["labels"] = manifest.Object{"app": "other"} }))
	assert.False(t, s.let(workload.ReplicaSetKind, set))
	s.flush()
	s.work()
	assert.EqualValues(t, 12, s.held(allTypes))
}
