// A pod gets other labels without an update of the pod, so that its controller lets go of it and makes another: with its
// binding, which the API server gives the zone of the node, or with its status.

package attacks

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// elsewhere is the label of a zone that no node is in.
const elsewhere = "topology.kubernetes.io/zone: elsewhere"

// leavesNone lets controllers go on for a while, and asserts that none got pods beyond the budget.
func (s *scene) leavesNone() {
	s.Helper()
	harness.Eventually(s, "the first pod", func() bool { return s.live() > 0 })
	for range 4 {
		s.maybeLive(16)
	}
	s.rests()
}

// TestThePlaceOfANodeTakesNoPods: the API server labels pods with the zone of their node when they are bound, so that what
// selects them by another zone loses each of them. Nobody needs a right for that which the role edit has not.
func TestThePlaceOfANodeTakesNoPods(t *testing.T) {
	t.Parallel()
	another := strings.NewReplacer("app: x", elsewhere)
	none := strings.NewReplacer("matchLabels: {app: x}", "matchLabels: {app: x}, matchExpressions: [{key: topology.kubernetes.io/zone, operator: DoesNotExist}]")
	job := strings.NewReplacer("spec: {parallelism", "spec: {manualSelector: true, selector: {matchLabels: {"+elsewhere+"}}, parallelism",
		"template: {metadata: {", "template: {metadata: {labels: {"+elsewhere+"}, ")
	for name, text := range map[string]string{
		"a Deployment":               another.Replace(deployment("a", 8, 1)),
		"a Deployment of no zone":    none.Replace(deployment("a", 8, 1)),
		"a ReplicaSet on a node":     strings.Replace(another.Replace(workload("apps/v1", "ReplicaSet", "a", 8, 1, "")), "spec: {containers", "spec: {nodeName: gpu-0, containers", 1),
		"a ReplicaSet":               another.Replace(workload("apps/v1", "ReplicaSet", "a", 8, 1, "")),
		"a ReplicaSet of no zone":    none.Replace(workload("apps/v1", "ReplicaSet", "a", 8, 1, "")),
		"a ReplicationController":    another.Replace(workload("v1", "ReplicationController", "a", 8, 1, "")),
		"a StatefulSet":              another.Replace(workload("apps/v1", "StatefulSet", "a", 8, 1, "")),
		"a DaemonSet":                another.Replace(workload("apps/v1", "DaemonSet", "a", 8, 1, "")),
		"a Job with such a selector": job.Replace(workload("batch/v1", "Job", "a", 8, 1, "")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 17, strict)
			s.apply(s.tenant, text)
			s.leavesNone()
		})
	}
}

// TestLabelsOfABindingTakeNoPods needs the right to bind pods, which schedulers have.
func TestLabelsOfABindingTakeNoPods(t *testing.T) {
	t.Parallel()
	s := newScene(t, 17, strict)
	s.apply(s.tenant, strings.Replace(workload("apps/v1", "ReplicaSet", "a", 8, 1, ""), "spec: {containers", "spec: {schedulerName: none, containers", 1))
	s.awaitLive(8)
	for i := range 4 {
		for _, pod := range s.list(podResource) {
			if node, _, _ := unstructured.NestedString(pod.Object, "spec", "nodeName"); node != "" {
				continue
			}
			binding := harness.Object(t, fmt.Sprintf(`{apiVersion: v1, kind: Binding, metadata: {name: %s, labels: {app: gone-%d}}, target: {kind: Node, apiVersion: v1, name: gpu-0}}`, pod.GetName(), i))
			_, err := s.tenant.Resource(podResource).Namespace(s.namespace).Create(context.Background(), binding, metav1.CreateOptions{}, "binding")
			assert.NoError(t, err)
		}
		s.maybeLive(16)
	}
	s.leavesNone()
}

// TestAStatusTakesNothingFromItsOwner: who writes the status of an object may write its labels with it, and, but for a pod's,
// its owners. That needs the right to write the status of pods, or of ReplicaSets, which the role edit has not.
func TestAStatusTakesNothingFromItsOwner(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		of    schema.GroupVersionResource
		merge string
	}{
		"a Pod, by its labels":        {podResource, `{metadata: {labels: {app: gone}}}`},
		"a ReplicaSet, by its labels": {replicaSets, `{metadata: {labels: {app: gone}}}`},
		"a ReplicaSet, by its owner":  {replicaSets, `{metadata: {ownerReferences: null}}`},
		"a ReplicaSet, by both":       {replicaSets, `{metadata: {labels: {app: gone}, ownerReferences: null}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 17, strict)
			s.apply(s.tenant, deployment("a", 8, 1))
			s.awaitLive(8)
			changed := 0
			for range 4 {
				for _, o := range s.list(test.of) {
					if o.GetLabels()["app"] == "gone" {
						continue
					}
					if err := s.patch(test.of, o.GetName(), test.merge, "status"); err == nil {
						changed++
					} else {
						s.refused(err, "no room for another")
					}
				}
				s.maybeLive(16)
			}
			assert.Positive(t, changed, "as long as there is room, the API server stores it")
			s.leavesNone()
		})
	}
}
