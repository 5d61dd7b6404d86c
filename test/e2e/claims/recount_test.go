package claims

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// change is one of a DeviceClass, by which the same object counts 5 GPUs, and counted none.
type change struct {
	class, patch string
	resource     schema.GroupVersionResource
	object       string
}

// Classes that change, and what they are before.
const (
	selecting, selectsH200 = "vfio.gpu.nvidia.com", `device.attributes["gpu.nvidia.com"].productName == "NVIDIA H200"`
	renamed, selectsAMD    = "gpu.amd.com", "device.driver == 'gpu.amd.com'"
	board                  = "e2e.kubetorch.com/board"
)

func TestNothingRisesUntilOtherSelectorsOfAClassAreCounted(t *testing.T) {
	change{
		class:    selecting,
		patch:    `{"spec":{"selectors":[{"cel":{"expression":"device.attributes[\"gpu.nvidia.com\"].productName == \"NVIDIA L4\""}}]}}`,
		resource: resourceClaims,
		object:   strings.Replace(claim("kept", "", 5), "gpu.nvidia.com", selecting, 1),
	}.test(t)
}

func TestNothingRisesUntilAnotherNameOfAClassIsCounted(t *testing.T) {
	change{
		class:    renamed,
		patch:    `{"spec":{"extendedResourceName":"` + board + `"}}`,
		resource: deployments,
		object: `{apiVersion: apps/v1, kind: Deployment, metadata: {name: kept}, spec: {replicas: 5, selector: {matchLabels: {app: kept}}, template: {metadata: {labels: {app: kept}},
  spec: {containers: [{name: c, image: "nginx:1", resources: {limits: {` + board + `: 1}}}]}}}}`,
	}.test(t)
}

// test changes the class under objects that count by it and under others. Until all are counted anew no claim
// rises, and the budget says why; what asks for less, and deletions, are admitted.
func (c change) test(t *testing.T) {
	begin := disturbances.Disturbing(t)
	namespace := harness.NewNamespace(t, client)
	name := "budget-" + namespace
	harness.NewBudget(t, client, name, harness.Named(namespace), "  max: 8\n  gpuTypes: [NVIDIA-L4]\n")
	made(t, c.resource, namespace, c.object)
	made(t, claimTemplates, namespace, template("gpus", 1))
	made(t, deployments, namespace, running("Deployment", "chat", 2, ofTemplate))
	made(t, resourceClaims, namespace, claim("gone", "", 1))
	harness.AwaitUsed(t, client, name, 3)
	end := begin()

	_, err := client.Resource(deviceClasses).Patch(t.Context(), c.class, types.MergePatchType, []byte(c.patch), metav1.PatchOptions{})
	require.NoError(t, err)
	harness.Await(t, "a condition that says what changed", func() (bool, string) {
		condition := meta.FindStatusCondition(harness.Budget(t, client, name).Status.Conditions, v1alpha1.ConditionCounted)
		return condition != nil && condition.Status == metav1.ConditionFalse && condition.Reason == "WaitingForRequests" &&
			strings.HasPrefix(condition.Message, "policies, DeviceClasses or Knative's scale defaults make the same objects ask for something else; ") &&
			strings.HasSuffix(condition.Message, "claims may not rise until then"), fmt.Sprint(condition)
	})
	more := job("more", 2, ofTemplate) // it fits by either count
	waits := func(code int, text string) {
		require.Equal(t, http.StatusTooManyRequests, code, text)
		require.Contains(t, text, name)
		require.Contains(t, text, "its claims are being counted")
		require.Contains(t, text, `"retryAfterSeconds":`)
	}
	waits(answer(t, namespace, more))
	require.NoError(t, harness.Answered(func() error {
		_, err := client.Resource(deployments).Namespace(namespace).Patch(t.Context(), "chat", types.MergePatchType, []byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{}, "scale")
		return err
	}), "asks for less")
	remove(t, resourceClaims, namespace, "gone", metav1.DeletePropagationBackground)
	waits(answer(t, namespace, more))

	harness.Await(t, "an admission", func() (bool, string) {
		code, text := answer(t, namespace, more)
		if code != http.StatusCreated {
			waits(code, text)
		}
		return code == http.StatusCreated, text
	})
	assert.True(t, harness.Counted(harness.Budget(t, client, name)), "before it was counted, a claim rose")
	harness.AwaitUsed(t, client, name, 8)
	refused(t, resourceClaims, namespace, claim("beyond", "", 1), "0 of 8 are free in budget "+name)
	end()
}
