package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
)

var (
	configurations = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "configurations"}
	routes         = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "routes"}
	pods           = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// knativeObject is an object of one of Knative's kinds that asks for up to maxScale pods
// of as many GPUs.
func knativeObject(t *testing.T, kind, name, maxScale string, gpus int) *unstructured.Unstructured {
	t.Helper()
	annotations := fmt.Sprintf(`{autoscaling.knative.dev/max-scale: %q}`, maxScale)
	pod := fmt.Sprintf(`{containers: [{name: user-container, image: "nginx:1", resources: {limits: {nvidia.com/gpu: "%d"}}}]}`, gpus)
	switch kind {
	case "Revision":
		return object(t, fmt.Sprintf(`{apiVersion: serving.knative.dev/v1, kind: Revision, metadata: {name: %s, annotations: %s}, spec: %s}`, name, annotations, pod))
	case "PodAutoscaler":
		return object(t, fmt.Sprintf(`{apiVersion: autoscaling.internal.knative.dev/v1alpha1, kind: PodAutoscaler, metadata: {name: %s, annotations: %s}, spec: {protocolType: http1, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: target}}}`, name, annotations))
	case "Deployment":
		return object(t, fmt.Sprintf(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: %s}, spec: {replicas: %s, selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %s}}, spec: %s}}}`, name, maxScale, name, name, pod))
	}
	return object(t, fmt.Sprintf(`{apiVersion: serving.knative.dev/v1, kind: %s, metadata: {name: %s}, spec: {template: {metadata: {annotations: %s}, spec: %s}}}`, kind, name, annotations, pod))
}

var resourceOf = map[string]schema.GroupVersionResource{"Service": services, "Configuration": configurations, "Revision": revisions, "PodAutoscaler": autoscalers, "Deployment": deployments}

func made(t *testing.T, namespace string, u *unstructured.Unstructured, options ...metav1.CreateOptions) error {
	t.Helper()
	gvr := resourceOf[u.GetKind()]
	gvr.Version = u.GroupVersionKind().Version
	_, err := client.Resource(gvr).Namespace(namespace).Create(t.Context(), u, append(options, metav1.CreateOptions{})[0])
	return err
}

func patched(t *testing.T, gvr schema.GroupVersionResource, namespace, name, patch string) error {
	t.Helper()
	_, err := client.Resource(gvr).Namespace(namespace).Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// owned adds the owner reference that Knative would write.
func owned(u *unstructured.Unstructured, kind, name string, uid types.UID) *unstructured.Unstructured {
	u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "serving.knative.dev/v1", Kind: kind, Name: name, UID: uid, Controller: new(true)}})
	return u
}

const eachBound = "  bounds: {maxScale: {max: 10}, gpusPerPod: {max: 2}, gpusPerWorkload: {max: 20}}\n"

func TestEveryServedVersionOfEveryKindIsBounded(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, eachBound)
	require.NoError(t, made(t, ns, knativeObject(t, "Deployment", "target", "1", 1)))
	d, err := discovery.NewDiscoveryClientForConfig(cluster.RESTConfig())
	require.NoError(t, err)
	_, lists, err := d.ServerGroupsAndResources()
	require.NoError(t, err)
	tried := map[string]int{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		require.NoError(t, err)
		for _, r := range list.APIResources {
			gvr, ok := resourceOf[r.Kind]
			if !ok || gvr.Group != gv.Group || gvr.Resource != r.Name || r.Kind == "Deployment" {
				continue
			}
			tried[r.Kind]++
			u := knativeObject(t, r.Kind, "greedy", "9999", 1)
			u.SetAPIVersion(list.GroupVersion)
			err := made(t, ns, u)
			assert.ErrorContains(t, err, "asks for up to 9999 pods; policy policy-"+ns+" allows at most 10 (bounds.maxScale.max)", "%s %s", list.GroupVersion, r.Kind)
			if apierrors.IsForbidden(err) {
				assert.Equal(t, r.Kind, status(t, err).Details.Kind)
			}
			u = knativeObject(t, r.Kind, "modest", "2", 1)
			u.SetAPIVersion(list.GroupVersion)
			assert.NoError(t, made(t, ns, u), "%s %s", list.GroupVersion, r.Kind)
		}
	}
	for kind := range resourceOf {
		if kind != "Deployment" {
			assert.NotZero(t, tried[kind], kind)
		}
	}
	// What is within bounds is Knative's to run.
	eventually(t, autoscalers, ns, "modest-00001")
}

func TestWhatIsStoredIsNotRaisedBehindTheService(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, eachBound)
	require.NoError(t, made(t, ns, knativeObject(t, "Service", "app", "2", 1)))
	require.NoError(t, cluster.MakeReady(t.Context(), ns, "app"))
	for name, gvr := range map[string]schema.GroupVersionResource{"Revision": revisions, "PodAutoscaler": autoscalers} {
		for _, annotations := range []string{
			`{"autoscaling.knative.dev/max-scale":"9999"}`, `{"autoscaling.knative.dev/max-scale":null}`, `{"autoscaling.knative.dev/max-scale":"0"}`,
			`{"autoscaling.knative.dev/max-scale":null,"autoscaling.knative.dev/maxScale":"11"}`, `{"autoscaling.knative.dev/initial-scale":"11"}`,
		} {
			assert.ErrorContains(t, patched(t, gvr, ns, "app-00001", `{"metadata":{"annotations":`+annotations+`}}`), "bounds.maxScale.max", "%s %s", name, annotations)
		}
		assert.NoError(t, patched(t, gvr, ns, "app-00001", `{"metadata":{"annotations":{"example.com/note":"x"},"labels":{"team":"nlp"}}}`), name)
	}
	assert.ErrorContains(t, patched(t, revisions, ns, "app-00001", `{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"-9"}}}`), "-9")
	assert.ErrorContains(t, patched(t, configurations, ns, "app", `{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"9999"}}}}}`), "bounds.maxScale.max")
	_, stderr, err := kubectl(t, "", "annotate", "revision", "app-00001", "-n", ns, "--overwrite", "autoscaling.knative.dev/max-scale=9999")
	assert.Error(t, err)
	assert.Contains(t, stderr, "asks for up to 9999 pods")
	assert.NoError(t, patched(t, revisions, ns, "app-00001", `{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"1"}}}`), "lower is always allowed")
}

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

	require.NoError(t, patched(t, policies, "", "policy-"+ns, `{"spec":{"bounds":{"maxScale":{"max":1},"gpusPerPod":{"max":1},"gpusPerWorkload":{"max":1},"gpuTypes":{"allowed":["L4"]}}}}`))
	require.Eventually(t, func() bool {
		return made(t, ns, knativeObject(t, "Service", "other", "9", 2), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}) != nil
	}, eventuallyTimeout, tick)

	require.NoError(t, patched(t, services, ns, "app", `{"spec":{"template":{"metadata":{"annotations":{"example.com/rollout":"2"}}}}}`), "an edit that asks for no more")
	require.NoError(t, cluster.MakeReady(t.Context(), ns, "app"), "its Configuration, Revision, PodAutoscaler and Deployment are made")
	assert.Equal(t, []string{"app-00001", "app-00002"}, revisionsOf(t, ns, "app"))
	require.Eventually(t, func() bool {
		return get(t, revisions, ns, "app-00001").GetLabels()["serving.knative.dev/routingState"] == "reserve" &&
			get(t, revisions, ns, "app-00002").GetLabels()["serving.knative.dev/routingState"] == "active"
	}, eventuallyTimeout, tick, "the labeler marks both")
	for gvr, name := range map[schema.GroupVersionResource]string{autoscalers: "app-00002", deployments: "app-00002-deployment", routes: "app"} {
		before := get(t, gvr, ns, name).GetUID()
		require.NoError(t, client.Resource(gvr).Namespace(ns).Delete(t.Context(), name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}))
		require.Eventually(t, func() bool {
			again, err := client.Resource(gvr).Namespace(ns).Get(t.Context(), name, metav1.GetOptions{})
			return err == nil && again.GetUID() != before
		}, eventuallyTimeout, tick, "Knative makes %s again", gvr.Resource)
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

func TestRoutesAndTrafficAreCounted(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, "  bounds: {gpusPerWorkload: {max: 32}}\n")
	require.NoError(t, made(t, ns, knativeObject(t, "Service", "app", "10", 2)))
	require.NoError(t, cluster.MakeReady(t.Context(), ns, "app"))
	require.NoError(t, patched(t, services, ns, "app", `{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"9"}}}}}`))
	require.NoError(t, cluster.MakeReady(t.Context(), ns, "app"))

	assert.ErrorContains(t, patched(t, services, ns, "app", `{"spec":{"traffic":[{"latestRevision":true,"percent":100},{"revisionName":"app-00001","tag":"old","percent":0}]}}`),
		"asks for 38 GPUs (2 x 9 pods, and 20 GPUs of other revisions in traffic); policy policy-"+ns+" allows at most 32")
	route := func(name, traffic string) *unstructured.Unstructured {
		return object(t, `{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: `+name+`}, spec: {traffic: [`+traffic+`]}}`)
	}
	create := func(u *unstructured.Unstructured) error {
		_, err := client.Resource(routes).Namespace(ns).Create(t.Context(), u, metav1.CreateOptions{})
		return err
	}
	assert.ErrorContains(t, create(route("both", `{revisionName: app-00001, percent: 50}, {revisionName: app-00002, percent: 50}`)), "asks for 38 GPUs over all that it names")
	require.NoError(t, create(route("old", `{revisionName: app-00001, percent: 100}`)))
	assert.ErrorContains(t, patched(t, services, ns, "app", `{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"10"}}}}}`),
		"and 20 GPUs of other revisions in traffic", "what a Route keeps alive counts")
	require.NoError(t, client.Resource(routes).Namespace(ns).Delete(t.Context(), "old", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool {
		_, err := client.Resource(routes).Namespace(ns).Get(t.Context(), "old", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, eventuallyTimeout, tick, "Knative's finalizer goes")
	assert.NoError(t, patched(t, services, ns, "app", `{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"10"}}}}}`))
}

func TestLabelsOpenNothing(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, eachBound)
	label := func(labels string) {
		_, err := client.Resource(namespaces).Patch(t.Context(), ns, types.MergePatchType, []byte(`{"metadata":{"labels":`+labels+`}}`), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	greedy := func(name string) error { return made(t, ns, knativeObject(t, "Configuration", name, "9999", 1)) }
	label(`{"webhooks.knative.dev/exclude":"true","kubetorch.com/exclude":"true","admission.gatekeeper.sh/ignore":"true"}`)
	assert.ErrorContains(t, greedy("a"), "bounds.maxScale.max", "a namespace that Knative's webhooks leave alone")
	assert.ErrorContains(t, made(t, ns, knativeObject(t, "Service", "a", "9999", 1)), "bounds.maxScale.max")
	label(`{"webhooks.knative.dev/exclude":null}`)

	require.NoError(t, made(t, ns, knativeObject(t, "Service", "app", "2", 1)))
	for _, labels := range []string{`{"kubetorch.com/autoscale":"false"}`, `{"kubetorch.com/autoscale":null}`, `{"kubetorch.com/compute":"true"}`, `{"kubetorch.com/autoscale":"true","kubetorch.com/compute":null}`} {
		assert.ErrorContains(t, patched(t, services, ns, "app", `{"metadata":{"labels":`+labels+`},"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"11"}}}}}`), "bounds.maxScale.max", labels)
	}
	assert.ErrorContains(t, greedy("b"), "bounds.maxScale.max")
}

func TestGeneratedNamesAreBounded(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, eachBound)
	for _, kind := range []string{"Service", "Configuration", "Revision", "Deployment"} {
		for gpus, want := range map[int]string{3: "bounds.gpusPerPod.max", 1: ""} {
			u := knativeObject(t, kind, "x", "2", gpus)
			unstructured.RemoveNestedField(u.Object, "metadata", "name")
			u.SetGenerateName("app-")
			err := made(t, ns, u)
			if want == "" {
				assert.NoError(t, err, kind)
				continue
			}
			assert.ErrorContains(t, err, want, kind)
			assert.Contains(t, err.Error(), "app-")
		}
	}
}

// TestEphemeralContainersCarryNoGPUs: the API server itself takes no resources for them, so
// nothing is lost by not looking.
func TestEphemeralContainersCarryNoGPUs(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, eachBound)
	pod := object(t, `{apiVersion: v1, kind: Pod, metadata: {name: plain}, spec: {containers: [{name: a, image: "nginx:1"}]}}`)
	require.Eventually(t, func() bool { // its service account is made by a controller
		_, err := client.Resource(pods).Namespace(ns).Create(t.Context(), pod, metav1.CreateOptions{})
		return err == nil
	}, eventuallyTimeout, tick)
	_, err := client.Resource(pods).Namespace(ns).Patch(t.Context(), "plain", types.StrategicMergePatchType,
		[]byte(`{"spec":{"ephemeralContainers":[{"name":"d","image":"nginx:1","resources":{"limits":{"nvidia.com/gpu":"8"}}}]}}`), metav1.PatchOptions{}, "ephemeralcontainers")
	assert.ErrorContains(t, err, "spec.ephemeralContainers[0].resources: Forbidden")

	u := knativeObject(t, "Deployment", "web", "1", 1)
	require.NoError(t, unstructured.SetNestedSlice(u.Object, []any{map[string]any{"name": "d", "image": "nginx:1", "resources": map[string]any{"limits": map[string]any{"nvidia.com/gpu": "8"}}}},
		"spec", "template", "spec", "ephemeralContainers"))
	assert.ErrorContains(t, made(t, ns, u), "ephemeralContainers", "nor in a template")
}
