// A ReplicationController gets another selector, lets go of its pods, and makes others.

package app

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// controlled is a simulated cluster with a ReplicationController of one pod with six GPUs.
type controlled struct{ *orphaned }

func newControlled(t *testing.T, maximum int64) *controlled {
	t.Helper()
	s := &controlled{&orphaned{simulate(t, 1, maximum, true)}}
	s.make(manifest.Object{"apiVersion": "v1", "kind": "ReplicationController", "metadata": labelsOf("rc", "x"), "spec": manifest.Object{
		"replicas": int64(1), "selector": manifest.Object{"app": "x"}, "template": manifest.Object{"metadata": manifest.Object{"labels": manifest.Object{"app": "x"}}, "spec": sixGPUs()}}})
	return s
}

// control has the ReplicationController work.
func (s *controlled) control() {
	for range 3 {
		s.replicaSetController(workload.ReplicationControllerKind, "replication-controller", s.any(workload.ReplicationControllerKind))
		s.check()
		s.flush()
	}
}

// selects changes the selector, and what else change does; it tells whether that is admitted.
func (s *controlled) selects(app string, change func(spec manifest.Object)) bool {
	admitted := s.update(tenant, workload.ReplicationControllerKind, "", s.any(workload.ReplicationControllerKind), func(o manifest.Object) {
		spec, label := manifest.Map(o, "spec"), manifest.Object{"app": app}
		spec["selector"], manifest.Map(spec, "template")["metadata"] = label, manifest.Object{"labels": copied(label)}
		change(spec)
	})
	s.flush()
	return admitted
}

func nothing(manifest.Object) {}

func TestAReplicationControllerWithAnotherSelector(t *testing.T) {
	t.Run("has to have room for others beside its pods", func(t *testing.T) {
		s := newControlled(t, 6)
		s.control()
		require.EqualValues(t, 6, s.held(allTypes))
		assert.False(t, s.selects("y", nothing))
		assert.Contains(t, s.log[len(s.log)-1], "spec.selector: Forbidden: asks for 6 GPUs (6 x 1 pod); 0 of 6 are free in budget all")
		s.control()
		assert.EqualValues(t, 6, s.held(allTypes))
	})
	t.Run("gets others where there is room, once", func(t *testing.T) {
		s := newControlled(t, 12)
		s.control()
		assert.True(t, s.selects("y", nothing))
		s.control()
		assert.EqualValues(t, 12, s.held(allTypes))
		s.countQuietly()
		assert.EqualValues(t, 12, s.budgets[allTypes].Status.Used)
		assert.False(t, s.selects("z", nothing))
	})
	t.Run("keeps a pod that was under way", func(t *testing.T) {
		s := newControlled(t, 6)
		assert.True(t, s.selects("y", nothing), "it has no pod yet")
		late := s.any(workload.ReplicationControllerKind)
		manifest.Map(late, "spec")["selector"] = manifest.Object{"app": "x"} // as its controller saw it
		s.control()
		manifest.Map(late, "spec")["selector"] = manifest.Object{"app": "y"}
		require.EqualValues(t, 6, s.held(allTypes))
		s.control()
		assert.EqualValues(t, 6, s.held(allTypes))
	})
	t.Run("does not let go of a pod that it selects, as its controller saw it before", func(t *testing.T) {
		s := newControlled(t, 6)
		s.control()
		label := func(app, tier string) bool {
			defer s.flush()
			return s.update(tenant, workload.PodKind, "", s.any(workload.PodKind), func(o manifest.Object) {
				manifest.Map(o, "metadata")["labels"] = manifest.Object{"app": app, "tier": tier}
			})
		}
		require.True(t, label("x", "w"))
		require.True(t, s.selects("x", func(spec manifest.Object) {
			spec["selector"], manifest.Map(spec, "template", "metadata")["labels"] = manifest.Object{"tier": "w"}, manifest.Object{"app": "x", "tier": "w"}
		}))
		require.True(t, label("z", "w"))
		late := clonedObject(s.any(workload.ReplicationControllerKind))
		manifest.Map(late, "spec")["selector"] = manifest.Object{"app": "x"}
		s.claim("system:serviceaccount:kube-system:replication-controller", workload.ReplicationControllerKind, workload.PodKind, late, nil)
		assert.False(t, label("z", "v"), "then nobody would adopt it")
		s.control()
		assert.EqualValues(t, 6, s.held(allTypes))
	})
	t.Run("has other pods beside what its template had", func(t *testing.T) {
		s := newControlled(t, 6)
		s.control()
		plain := func(spec manifest.Object) {
			manifest.Map(spec, "template")["spec"] = manifest.Object{"containers": []any{manifest.Object{"name": "c", "image": "a"}}}
		}
		s.selects("x", plain)
		s.selects("y", plain)
		s.selects("y", func(spec manifest.Object) { manifest.Map(spec, "template")["spec"] = sixGPUs() })
		s.control()
		assert.EqualValues(t, 6, s.held(allTypes))
	})
	t.Run("may be told to have none", func(t *testing.T) {
		s := newControlled(t, 12)
		s.control()
		assert.True(t, s.selects("y", func(spec manifest.Object) { spec["replicas"] = int64(0) }))
		s.control()
		s.countQuietly()
		s.now = s.now.Add(settleAfter)
		s.countQuietly()
		assert.EqualValues(t, 6, s.budgets[allTypes].Status.Used, "its pod goes on by itself")
	})
}
