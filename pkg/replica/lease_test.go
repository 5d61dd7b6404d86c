package replica

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSilences(t *testing.T) {
	lease := func(name, version string) coordinationv1.Lease {
		return coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: version}}
	}
	var s Silences
	for _, step := range []struct {
		now    time.Duration
		leases []coordinationv1.Lease
		want   []time.Duration
	}{
		{5 * time.Second, []coordinationv1.Lease{lease("a", "1"), lease("b", "2")}, []time.Duration{0, 0}},
		{9 * time.Second, []coordinationv1.Lease{lease("b", "2"), lease("a", "3")}, []time.Duration{4 * time.Second, 0}},
		{10 * time.Second, []coordinationv1.Lease{lease("a", "3")}, []time.Duration{time.Second}},
		{20 * time.Second, []coordinationv1.Lease{lease("a", "3"), lease("b", "2")}, []time.Duration{11 * time.Second, 0}},
		{21 * time.Second, nil, []time.Duration{}},
	} {
		assert.Equal(t, step.want, s.Of(step.leases, step.now), "after %s", step.now)
	}
}

func TestALeaseSaysWhatItsReplicaGoesBy(t *testing.T) {
	l := Lease{Name: "replica-a", Namespace: "ns", Identity: "a", Label: "example.com/replica", Service: "webhook",
		Annotations: map[string]string{"example.com/seen": "x"}, Renewed: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Duration: 15 * time.Second}
	text, err := json.Marshal(l.Configuration())
	require.NoError(t, err)
	assert.JSONEq(t, `{"kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
		"metadata": {"name": "replica-a", "namespace": "ns", "labels": {"example.com/replica": "webhook"}, "annotations": {"example.com/seen": "x"}},
		"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-02T03:04:05.000000Z"}}`, string(text))
	l.Duration = time.Millisecond
	assert.Equal(t, int32(1), *l.Configuration().Spec.LeaseDurationSeconds, "the API server takes no less")
}
