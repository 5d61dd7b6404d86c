// Pods are deleted again and again, and take their time: their controllers make new ones beside
// them.

package attacks

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTerminatingPodsCount(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"of a Deployment":            workload("apps/v1", "Deployment", "a", 8, 1, lingers),
		"of a ReplicaSet":            workload("apps/v1", "ReplicaSet", "a", 8, 1, lingers),
		"of a ReplicationController": workload("v1", "ReplicationController", "a", 8, 1, lingers),
		"of a Job":                   workload("batch/v1", "Job", "a", 8, 1, lingers),
		"of a Knative Service":       knativeService("a", 8, 1, `, controlplane/lingers: "true"`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 16, strict)
			s.apply(s.tenant, text)
			s.awaitLive(8)
			for range 4 {
				before := s.live()
				s.deletePods()
				s.maybeLive(before)
			}
			s.rests()

			s.forceAway()
			s.awaitLive(8)
			s.awaitUsed(8)
			assert.NoError(t, s.try(deployment("b", 8, 1)), "what is gone is free")
		})
	}
}

// deletePods has the tenant delete all pods, with all the time that they may take.
func (s *scene) deletePods() {
	s.Helper()
	hour := int64(3600)
	list, err := s.tenant.Resource(podResource).Namespace(s.namespace).List(context.Background(), metav1.ListOptions{})
	require.NoError(s, err)
	for _, u := range list.Items {
		if u.GetDeletionTimestamp() == nil {
			require.NoError(s, write(func() error {
				return s.tenant.Resource(podResource).Namespace(s.namespace).Delete(context.Background(), u.GetName(), metav1.DeleteOptions{GracePeriodSeconds: &hour})
			}))
		}
	}
}

// A Deployment that is scaled down and up again, or rolled out, has its terminating pods beside
// the new ones.
func TestTerminatingPodsOfAnotherSizeCount(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(s *scene) error{
		"scaled down and up": func(s *scene) error {
			require.NoError(s, s.patch(deployments, "a", scale(0), "scale"))
			return s.patch(deployments, "a", scale(1), "scale")
		},
		"deleted and made anew": func(s *scene) error {
			if s.exists(deployments, "a") {
				s.remove(deployments, "a")
			}
			return s.try(workload("apps/v1", "Deployment", "a", 8, 1, lingers))
		},
		"recreated by a new template": func(s *scene) error {
			return s.patch(deployments, "a", `{spec: {strategy: {type: Recreate, rollingUpdate: null}, template: {metadata: {annotations: {e2e.kubetorch.com/version: "`+s.newName()+`"}}}}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 16, strict)
			s.apply(s.tenant, workload("apps/v1", "Deployment", "a", 8, 1, lingers))
			s.awaitLive(8)
			for range 4 {
				before := s.live()
				if again(s) == nil {
					s.maybeLive(before)
				}
			}
			s.rests()
		})
	}
}
