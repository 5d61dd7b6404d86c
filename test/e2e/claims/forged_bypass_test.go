// A claim that is forged, released or left behind is counted by itself: devices are not free because somebody
// says whose they are.

package claims

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestAClaimThatIsForgedCountsByItself(t *testing.T) {
	t.Parallel()
	namespace, name := budget(t, 10)
	made(t, claimTemplates, namespace, template("gpus", 4))
	made(t, podResource, namespace, pod("one", ofTemplate))
	own := awaitClaims(t, namespace, 1)[0]
	harness.AwaitUsed(t, client, name, 4)
	stored, err := client.Resource(podResource).Namespace(namespace).Get(t.Context(), "one", metav1.GetOptions{})
	require.NoError(t, err)
	ofPod := func(annotation, value string) string {
		return fmt.Sprintf(`, annotations: {resource.kubernetes.io/%s: "%s"}, ownerReferences: [{apiVersion: v1, kind: Pod, name: one, uid: %s, controller: true}]`, annotation, value, stored.GetUID())
	}
	refused(t, resourceClaims, namespace, claim("two-forged", ofPod("pod-claim-name", "gpu"), 7), "asks for 7 GPUs (devices of one ResourceClaim); 6 of 10 are free")
	refused(t, resourceClaims, namespace, claim("two-forged", ofPod("extended-resource-claim", "true"), 7), "asks for 7 GPUs (devices of one ResourceClaim); 6 of 10 are free")
	made(t, resourceClaims, namespace, claim("two-forged", ofPod("pod-claim-name", "gpu"), 3))
	harness.AwaitUsed(t, client, name, 7)
	made(t, podResource, namespace, `{apiVersion: v1, kind: Pod, metadata: {name: waits}, spec: {nodeSelector: {no: where}, containers: [{name: c, image: "nginx:1", resources: {limits: {`+card+`: 1}}}]}}`)
	_, err = client.Resource(podResource).Namespace(namespace).Patch(t.Context(), "waits", types.MergePatchType,
		[]byte(`{"status":{"extendedResourceClaimStatus":{"resourceClaimName":"two-forged","requestMappings":[{"containerName":"c","resourceName":"`+card+`","requestName":"r"}]}}}`), metav1.PatchOptions{}, "status")
	require.ErrorContains(t, err, "status.extendedResourceClaimStatus: Forbidden: only the scheduler may say")

	// The pod's own claim is taken from it: the pod could get another.
	_, err = client.Resource(resourceClaims).Namespace(namespace).Patch(t.Context(), own.GetName(), types.MergePatchType, []byte(`{"metadata":{"ownerReferences":null}}`), metav1.PatchOptions{})
	require.ErrorContains(t, err, "asks for 4 GPUs (devices of one ResourceClaim); 2 of 10 are free")
}

func TestAClaimThatItsPodLeavesBehindCountsByItself(t *testing.T) {
	t.Parallel()
	namespace, name := budget(t, 10)
	made(t, claimTemplates, namespace, template("gpus", 4))
	made(t, podResource, namespace, pod("one", ofTemplate))
	own := awaitClaims(t, namespace, 1)[0]
	harness.AwaitUsed(t, client, name, 4)
	remove(t, podResource, namespace, "one", metav1.DeletePropagationOrphan)
	harness.Eventually(t, "the claim without its pod", func() bool {
		left, err := client.Resource(resourceClaims).Namespace(namespace).Get(context.Background(), own.GetName(), metav1.GetOptions{})
		return err == nil && len(left.GetOwnerReferences()) == 0
	})
	harness.AwaitUsed(t, client, name, 4)
	made(t, podResource, namespace, pod("two", ofTemplate))
	harness.AwaitUsed(t, client, name, 8)
}

// answer is what the API server answers to the creation of a Job at once, without the waiting and trying
// again that clients do.
func answer(t *testing.T, namespace, text string) (code int, message string) {
	t.Helper()
	config := cluster.RESTConfig()
	api, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	body, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	response, err := api.Post(config.Host+"/apis/batch/v1/namespaces/"+namespace+"/jobs", "application/json", strings.NewReader(string(body)))
	require.NoError(t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	if response.StatusCode == http.StatusCreated {
		return response.StatusCode, ""
	}
	return response.StatusCode, strings.ReplaceAll(string(raw), `\"`, `"`)
}

// TestAClaimThatAnotherPodUsesIsNoRoomForItsOwnersNextPod: a claim that was made for a pod goes on while another
// pod, which asks for no device by itself, uses it.
func TestAClaimThatAnotherPodUsesIsNoRoomForItsOwnersNextPod(t *testing.T) {
	t.Parallel()
	namespace, name := budget(t, 4)
	made(t, claimTemplates, namespace, template("gpus", 4))
	made(t, statefulSets, namespace, running("StatefulSet", "store", 1, ofTemplate))
	own := awaitClaims(t, namespace, 1)[0].GetName()
	harness.AwaitUsed(t, client, name, 4)
	made(t, podResource, namespace, pod("user", "{name: gpu, resourceClaimName: "+own+"}"))
	harness.Eventually(t, "the claim in use by both", func() bool {
		stored, err := client.Resource(resourceClaims).Namespace(namespace).Get(context.Background(), own, metav1.GetOptions{})
		if err != nil {
			return false
		}
		users, _, _ := unstructured.NestedSlice(stored.Object, "status", "reservedFor")
		return len(users) == 2
	})
	remove(t, podResource, namespace, "store-0", metav1.DeletePropagationBackground)
	harness.Await(t, "the next pod, refused", func() (bool, string) {
		list, err := client.Resource(events).Namespace(namespace).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		var said []string
		for _, e := range list.Items {
			text, _, _ := unstructured.NestedString(e.Object, "message")
			said = append(said, text)
		}
		refused := func(text string) bool { return strings.Contains(text, "0 of 4 are free in budget "+name) }
		return slices.ContainsFunc(said, refused), strings.Join(said, "; ")
	})
	assert.Equal(t, own, awaitClaims(t, namespace, 1)[0].GetName())
	remove(t, podResource, namespace, "user", metav1.DeletePropagationBackground)
	harness.Eventually(t, "the next pod, with a claim of its own", func() bool {
		list, err := client.Resource(resourceClaims).Namespace(namespace).List(context.Background(), metav1.ListOptions{})
		return err == nil && len(list.Items) == 1 && list.Items[0].GetName() != own
	})
	harness.AwaitUsed(t, client, name, 4)
}
