// Nobody answers in time while pods are added through a scale.

package attacks

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestWhileNobodyAnswersOnlyAutoscalersRaiseAScale(t *testing.T) {
	disturb := disturbances.Disturbing(t)
	s := newNamespaces(t)
	s.limit(64, strict)
	kinds := map[string]schema.GroupVersionResource{
		"Deployment":            deployments,
		"ReplicaSet":            replicaSets,
		"StatefulSet":           {Group: "apps", Version: "v1", Resource: "statefulsets"},
		"ReplicationController": {Version: "v1", Resource: "replicationcontrollers"},
	}
	for kind, resource := range kinds {
		version := "v1"
		if resource.Group != "" {
			version = resource.Group + "/v1"
		}
		// Each with a selector of its own, or the Deployment adopts the ReplicaSet.
		s.apply(s.tenant, strings.ReplaceAll(workload(version, kind, "a", 4, 2, ""), "app: x", "app: "+kind))
	}
	s.apply(s.tenant, strings.Replace(knativeService("b", 2, 4, ""), `initial-scale: "4"`, `initial-scale: "1"`, 1))
	s.awaitLive(34)
	s.awaitUsed(40)

	ignore := func(policy string) {
		require.NoError(t, harness.ChangeEntries(context.Background(), client, func(name string, entry map[string]any) {
			if name == "validate-knatives-deployments.kubetorch.com" {
				entry["failurePolicy"] = policy
			}
		}))
	}
	end := disturb()
	ignore("Ignore") // as it is shipped
	for _, replica := range hook.Replicas {
		require.NoError(t, replica.Process().Signal(syscall.SIGSTOP))
	}
	// One that stood still for longer than its Lease may end by itself; a kubelet starts it again.
	goOn := sync.OnceFunc(func() {
		for _, replica := range hook.Replicas {
			_ = replica.Process().Signal(syscall.SIGCONT)
			assert.NoError(t, replica.Restart(context.Background()))
		}
	})
	t.Cleanup(goOn)
	for kind, resource := range kinds {
		assert.Error(t, s.once(s.tenant, resource, "a", scale(20), "scale"), "%s: 80 GPUs", kind)
		assert.NoError(t, s.once(s.tenant, resource, "a", scale(1), "scale"), "%s: fewer", kind)
	}
	autoscaler := as(t, knative, "system:serviceaccounts", "system:serviceaccounts:knative-serving", "system:authenticated")
	assert.NoError(t, s.once(autoscaler, deployments, "b-00001-deployment", scale(3)), "autoscaling goes on")
	ignore("Fail")
	goOn()
	end()
	s.maybeLive(s.max)
	s.holds(0)
}

// once patches without trying again.
func (s *scene) once(c dynamic.Interface, resource schema.GroupVersionResource, name, merge string, subresources ...string) error {
	s.Helper()
	_, err := c.Resource(resource).Namespace(s.namespace).Patch(context.Background(), name, types.MergePatchType, []byte(merge), metav1.PatchOptions{}, subresources...)
	return err
}
