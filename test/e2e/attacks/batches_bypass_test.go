// Pods are not what their owner's template says now, and the controller makes several at the same time, none of which is
// stored yet when the others are judged.

package attacks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestFurtherPodsBesideLargerOnesAreHeld(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]struct {
		version, kind string
		resource      schema.GroupVersionResource
	}{
		"of a ReplicaSet":            {"apps/v1", "ReplicaSet", replicaSets},
		"of a ReplicationController": {"v1", "ReplicationController", schema.GroupVersionResource{Version: "v1", Resource: "replicationcontrollers"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 24, strict)
			s.apply(s.tenant, workload(kind.version, kind.kind, "a", 8, 1, ""))
			s.awaitLive(8)
			smaller := func(replicas int) error {
				return s.patch(kind.resource, "a", fmt.Sprintf(`{spec: {replicas: %d, template: {spec: {containers: [%s]}}}}`, replicas, container(1)))
			}
			s.refused(smaller(24), "8 + 23 GPUs")
			s.maybeLive(24)
			require.NoError(t, smaller(10), "8 + 9 GPUs")
			s.awaitLive(17)
			s.holds(0)
		})
	}
}

func TestPodsOfAnEarlierTypeAreHeld(t *testing.T) {
	t.Parallel()
	statefulSets := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}
	s := newScene(t, 8, strict+"  gpuTypes: [NVIDIA-L4]\n")
	pinned := func(product string) string { return `nodeSelector: {nvidia.com/gpu.product: ` + product + `}, ` }
	s.apply(s.tenant, strings.Replace(strings.Replace(workload("apps/v1", "StatefulSet", "a", 1, 1, ""), "spec: {containers", "spec: {"+pinned("NVIDIA-L4")+"containers", 1),
		"replicas:", "updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1000}}, replicas:", 1))
	s.awaitLive(1)
	require.NoError(t, s.patch(statefulSets, "a", `{spec: {template: {spec: {`+pinned("NVIDIA-A100-SXM4-80GB")+`}}}}`))
	s.refused(s.patch(statefulSets, "a", scale(40), "scale"), "40 GPUs of the earlier type, by the partition")
	s.maybeLive(1)
	require.NoError(t, s.patch(statefulSets, "a", scale(6), "scale"))
	s.awaitLive(6)
	s.holds(0)
}
