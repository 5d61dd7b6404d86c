package budgets

import (
	"context"
	"fmt"
	"strconv"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// kind is a way to ask for GPUs.
type kind int

const (
	plainService kind = iota
	labelledService
	plainDeployment
	labelledDeployment
	expandedDeployment
)

// workload asks for some pods with some GPUs each.
type workload struct {
	kind       kind
	gpus, pods int
}

func (w workload) resource() schema.GroupVersionResource {
	if w.kind <= labelledService {
		return services
	}
	return deployments
}

// object of the workload; with the name empty it has a generated one.
func (w workload) object(name string) *unstructured.Unstructured {
	resources := map[string]any{"limits": map[string]any{"nvidia.com/gpu": fmt.Sprint(w.gpus)}}
	parameters := map[string]string{"compute.kubetorch.com/gpus": fmt.Sprint(w.gpus)}
	autoscaled := map[string]string{"compute.kubetorch.com/gpus": fmt.Sprint(w.gpus), "autoscale.kubetorch.com/max-scale": fmt.Sprint(w.pods)}
	var u *unstructured.Unstructured
	switch w.kind {
	case plainService, labelledService:
		u = service("", w.gpus, w.pods)
		if w.kind == labelledService {
			u = service("", w.gpus, w.pods)
			unstructured.RemoveNestedField(u.Object, "spec", "template", "metadata")
			_ = unstructured.SetNestedSlice(u.Object, []any{map[string]any{"image": "nginx:1"}}, "spec", "template", "spec", "containers")
			u.SetLabels(map[string]string{"kubetorch.com/autoscale": "true"})
			u.SetAnnotations(autoscaled)
		}
	default:
		container := map[string]any{"name": "app", "image": "nginx:1"}
		u = &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "spec": map[string]any{
			"replicas": int64(w.pods),
			"selector": map[string]any{"matchLabels": map[string]any{"app": "x"}},
			"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "x"}}, "spec": map[string]any{"containers": []any{container}}},
		}}}
		switch w.kind {
		case plainDeployment:
			container["resources"] = resources
		case labelledDeployment:
			u.SetLabels(map[string]string{"kubetorch.com/compute": "true"})
			u.SetAnnotations(parameters)
		case expandedDeployment:
			u.SetLabels(map[string]string{"kubetorch.com/autoscale": "true"})
			u.SetAnnotations(autoscaled)
		}
	}
	if u.SetName(name); name == "" {
		u.SetGenerateName("w-")
	}
	return u
}

// scaled is a merge patch that changes the number of pods.
func (w workload) scaled(pods int) []byte {
	switch w.kind {
	case plainService:
		return fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"%d"}}}}}`, pods)
	case plainDeployment, labelledDeployment:
		return fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, pods)
	default:
		return fmt.Appendf(nil, `{"metadata":{"annotations":{"autoscale.kubetorch.com/max-scale":"%d"}}}`, pods)
	}
}

// stored is what an object claims as it is stored, by this package's own arithmetic.
// Deployments that Knative made are left out: their Services claim for them.
func stored(t require.TestingT, o *unstructured.Unstructured) int64 {
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		require.NoError(t, err, o.GetName())
		return n
	}
	if controller := metav1.GetControllerOf(o); controller != nil && controller.Kind == "Revision" {
		return 0
	}
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	require.Len(t, containers, 1, o.GetName())
	limit, _, _ := unstructured.NestedFieldNoCopy(containers[0].(map[string]any), "resources", "limits", "nvidia.com/gpu")
	if limit == nil {
		return 0
	}
	gpus := number(fmt.Sprint(limit))
	if o.GetKind() == "Service" {
		text, found, _ := unstructured.NestedString(o.Object, "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale")
		require.True(t, found, o.GetName())
		return gpus * number(text)
	}
	replicas, found, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	require.True(t, found, o.GetName())
	return gpus * replicas
}

// listed is what all objects of a namespace claim now.
func listed(t require.TestingT, namespace string) (sum int64) {
	for _, resource := range claiming {
		list, err := harness.Read(func() (*unstructured.UnstructuredList, error) {
			return client.Resource(resource).Namespace(namespace).List(context.Background(), metav1.ListOptions{})
		})
		require.NoError(t, err)
		for i := range list.Items {
			sum += stored(t, &list.Items[i])
		}
	}
	return sum
}
