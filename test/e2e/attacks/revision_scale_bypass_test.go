// The scale of a Revision's Deployment is written, as Knative's autoscaler does it since 1.22.

package attacks

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// Up to its Service's max-scale it is part of what the Service was charged. Beyond it nobody scales it without
// room, the autoscaler included.
func TestTheScaleOfARevisionsDeploymentIsHeld(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	s.apply(s.tenant, knativeService("a", 4, 3, ""))
	s.awaitLive(12)
	s.awaitUsed(12)
	s.allow(knative) // its release here asks for no right to scales yet
	autoscaler := as(t, knative, "system:serviceaccounts", "system:serviceaccounts:knative-serving")
	harness.Eventually(t, "the right to scales", func() bool {
		return s.scaleAsKnative(autoscaler, "a-00001-deployment", 3) == nil
	})
	for _, pods := range []int{1, 3, 0, 2} {
		require.NoError(t, s.scaleAsKnative(autoscaler, "a-00001-deployment", pods))
		s.awaitLive(int64(4 * pods))
		assert.EqualValues(t, 12, s.status().Status.Used, "what the Service may come to use")
	}
	for _, c := range []func() error{
		func() error { return s.scaleAsKnative(autoscaler, "a-00001-deployment", 5) },
		func() error { return s.patchAs(autoscaler, deployments, "a-00001-deployment", scale(5), "scale") },
		func() error { return s.patch(deployments, "a-00001-deployment", scale(5), "scale") },
		func() error { return s.patch(deployments, "a-00001-deployment", scale(5)) },
	} {
		s.refused(c(), "20 GPUs")
	}
	s.maybeLive(8)
	s.rests()
}

// scaleAsKnative sends what Knative's autoscaler does: a JSON patch of the scale (applyScale of Knative Serving 1.22,
// pkg/reconciler/autoscaling/kpa/scaler.go).
func (s *scene) scaleAsKnative(c dynamic.Interface, name string, replicas int) error {
	s.Helper()
	patch := fmt.Sprintf(`[{"op":"add","path":"/spec/replicas","value":%d}]`, replicas)
	return write(func() error {
		_, err := c.Resource(deployments).Namespace(s.namespace).Patch(context.Background(), name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{}, "scale")
		return err
	})
}
