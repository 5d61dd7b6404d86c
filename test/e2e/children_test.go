package e2e

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
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
