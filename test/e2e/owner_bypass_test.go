// Owners and labels of Knative on what somebody writes by hand: only a live owner that asks for
// as much answers for it, and for what Knative makes it always does.

package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestAnOwnerIsLookedUp(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	require.NoError(t, made(t, ns, knativeObject(t, "Service", "app", "9", 2)))
	require.Equal(t, []string{"app-00001"}, revisionsOf(t, ns, "app"))
	eventually(t, autoscalers, ns, "app-00001")
	require.NoError(t, made(t, ns, knativeObject(t, "Deployment", "large", "1", 4)))
	newPolicy(t, ns, "  bounds: {maxScale: {max: 1}, gpusPerPod: {max: 1}, gpusPerWorkload: {max: 1}}\n")
	uid := func(gvr schema.GroupVersionResource, name string) types.UID { return get(t, gvr, ns, name).GetUID() }
	const forged = types.UID("00000000-0000-0000-0000-000000000000")
	labelled := func(u *unstructured.Unstructured) *unstructured.Unstructured {
		u.SetLabels(map[string]string{"serving.knative.dev/service": "app", "serving.knative.dev/serviceUID": string(uid(services, "app")),
			"serving.knative.dev/configuration": "app", "serving.knative.dev/configurationUID": string(uid(configurations, "app")),
			"serving.knative.dev/revision": "app-00001", "serving.knative.dev/revisionUID": string(uid(revisions, "app-00001"))})
		return u
	}
	for name, u := range map[string]*unstructured.Unstructured{
		"a Configuration of a forged UID":                owned(labelled(knativeObject(t, "Configuration", "mine", "9", 2)), "Service", "app", forged),
		"a second Configuration of a Service":            owned(labelled(knativeObject(t, "Configuration", "mine", "9", 2)), "Service", "app", uid(services, "app")),
		"a Revision of a forged UID":                     owned(labelled(knativeObject(t, "Revision", "app-00002", "9", 2)), "Configuration", "app", forged),
		"a Revision that the Configuration did not make": owned(labelled(knativeObject(t, "Revision", "app-00002", "9", 2)), "Configuration", "app", uid(configurations, "app")),
		"a PodAutoscaler of a forged UID":                owned(knativeObject(t, "PodAutoscaler", "app-00001x", "9", 2), "Revision", "app-00001", forged),
		"a PodAutoscaler of another Deployment":          owned(knativeObject(t, "PodAutoscaler", "app-00001x", "9", 2), "Revision", "app-00001", uid(revisions, "app-00001")),
		"a Deployment with Knative's labels":             labelled(knativeObject(t, "Deployment", "mine", "9", 2)),
		"a Deployment of a forged UID":                   owned(labelled(knativeObject(t, "Deployment", "app-00001-deployment2", "9", 2)), "Revision", "app-00001", forged),
		"a second Deployment of a Revision":              owned(labelled(knativeObject(t, "Deployment", "app-00001-deployment2", "9", 2)), "Revision", "app-00001", uid(revisions, "app-00001")),
	} {
		assert.ErrorContains(t, made(t, ns, u), "is forbidden: ", name)
	}
	for target, want := range map[string]string{"large": "gpusPerPod", "nowhere": "names no Deployment that there is", "app-00001-deployment": "gpusPerPod"} {
		u := knativeObject(t, "PodAutoscaler", "bare", "1", 0)
		require.NoError(t, unstructured.SetNestedField(u.Object, target, "spec", "scaleTargetRef", "name"))
		assert.ErrorContains(t, made(t, ns, u), want)
	}
}

// TestKnativeGoesOnAfterAPolicyBecameStricter: its controllers write every kind that is
// judged, and none of it is in the way of what runs.
func TestKnativeGoesOnAfterAPolicyBecameStricter(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, eachBound)
	require.NoError(t, made(t, ns, knativeObject(t, "Service", "app", "9", 2)))
	require.NoError(t, cluster.MakeReady(t.Context(), ns, "app"), "a Service within bounds becomes Ready")

	require.NoError(t, patched(t, policies, "", "policy-"+ns, `{"spec":{"bounds":{"maxScale":{"max":1},"gpusPerPod":{"max":1},"gpusPerWorkload":{"max":1},"gpuTypes":{"allowed":["NVIDIA-L4"]}}}}`))
	harness.Eventually(t, "the stricter policy", func() bool {
		return made(t, ns, knativeObject(t, "Service", "other", "9", 2), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}) != nil
	})

	require.NoError(t, patched(t, services, ns, "app", `{"spec":{"template":{"metadata":{"annotations":{"example.com/rollout":"2"}}}}}`), "an edit that asks for no more")
	require.NoError(t, cluster.MakeReady(t.Context(), ns, "app"), "its Configuration, Revision, PodAutoscaler and Deployment are made")
	assert.Equal(t, []string{"app-00001", "app-00002"}, revisionsOf(t, ns, "app"))
	harness.Eventually(t, "the labeler marks both", func() bool {
		return get(t, revisions, ns, "app-00001").GetLabels()["serving.knative.dev/routingState"] == "reserve" &&
			get(t, revisions, ns, "app-00002").GetLabels()["serving.knative.dev/routingState"] == "active"
	})
	for gvr, name := range map[schema.GroupVersionResource]string{autoscalers: "app-00002", deployments: "app-00002-deployment", routes: "app"} {
		before := get(t, gvr, ns, name).GetUID()
		require.NoError(t, client.Resource(gvr).Namespace(ns).Delete(t.Context(), name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}))
		harness.Eventually(t, fmt.Sprintf("Knative makes %s again", gvr.Resource), func() bool {
			again, err := client.Resource(gvr).Namespace(ns).Get(t.Context(), name, metav1.GetOptions{})
			return err == nil && again.GetUID() != before
		})
	}
	for _, gvr := range []schema.GroupVersionResource{services, configurations, revisions, routes, autoscalers} {
		list, err := client.Resource(gvr).Namespace(ns).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		require.NotEmpty(t, list.Items)
		for _, o := range list.Items {
			assert.NoError(t, patched(t, gvr, ns, o.GetName(), `{}`), "a storage migration of %s %s", gvr.Resource, o.GetName())
		}
	}
	require.NoError(t, cluster.MakeReady(t.Context(), ns, "app"))
}
