package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

var (
	services    = harness.Services
	revisions   = harness.Revisions
	autoscalers = schema.GroupVersionResource{Group: "autoscaling.internal.knative.dev", Version: "v1alpha1", Resource: "podautoscalers"}
	hpas        = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	deployments = harness.Deployments
	policies    = harness.Policies
	namespaces  = harness.Namespaces
)

const (
	eventuallyTimeout = 90 * time.Second
	tick              = 100 * time.Millisecond
)

// newNamespace makes a namespace for one test.
func newNamespace(t *testing.T) string {
	t.Helper()
	return harness.NewNamespace(t, client)
}

// newPolicy applies a policy for the namespace of one test, and waits until the webhook
// has it: a policy takes effect when its informer has seen it.
func newPolicy(t *testing.T, namespace, spec string) {
	t.Helper()
	name := "policy-" + namespace
	text := fmt.Sprintf("apiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {name: %s}\nspec:\n  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}\n  profiles: {autoscale: [{name: seen-%s}]}\n%s",
		name, namespace, namespace, spec)
	_, err := client.Resource(policies).Apply(t.Context(), name, object(t, text), metav1.ApplyOptions{FieldManager: "e2e"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Resource(policies).Delete(context.Background(), name, metav1.DeleteOptions{}) })
	harness.Eventually(t, fmt.Sprintf("the webhook never saw policy %s", name), func() bool {
		probe := service("probe", map[string]string{"kubetorch.com/autoscale": "seen-" + namespace}, nil)
		_, err := client.Resource(services).Namespace(namespace).Create(t.Context(), probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil || !strings.Contains(err.Error(), "unknown autoscale profile") && !strings.Contains(err.Error(), "failed calling webhook")
	})
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	return harness.Object(t, text)
}

// service is a small Knative Service with labels and annotations.
func service(name string, labels, annotations map[string]string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"image": "nginx:1"}}}}},
	}}
	u.SetName(name)
	u.SetLabels(labels)
	u.SetAnnotations(annotations)
	return u
}

func autoscaled(name string, annotations map[string]string) *unstructured.Unstructured {
	return service(name, map[string]string{"kubetorch.com/autoscale": "true"}, annotations)
}

func create(t *testing.T, namespace string, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	t.Helper()
	var made *unstructured.Unstructured
	err := harness.Answered(func() (err error) {
		made, err = client.Resource(services).Namespace(namespace).Create(t.Context(), u, metav1.CreateOptions{})
		return err
	})
	return made, err
}

// templateAnnotations are the annotations of a Service's template.
func templateAnnotations(t *testing.T, u *unstructured.Unstructured) map[string]string {
	t.Helper()
	m, _, err := unstructured.NestedStringMap(u.Object, "spec", "template", "metadata", "annotations")
	require.NoError(t, err)
	return m
}

func get(t *testing.T, gvr schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	u, err := client.Resource(gvr).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return u
}

// eventually waits for an object that a controller makes.
func eventually(t *testing.T, gvr schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	var found *unstructured.Unstructured
	harness.Eventually(t, fmt.Sprintf("no %s %s/%s", gvr.Resource, namespace, name), func() bool {
		u, err := client.Resource(gvr).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
		found = u
		return err == nil
	})
	return found
}

// revisionsOf lists the names of a Service's revisions, once Knative has looked at its
// present generation.
func revisionsOf(t *testing.T, namespace, name string) []string {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("Knative never looked at %s/%s", namespace, name), func() bool {
		u := get(t, services, namespace, name)
		observed, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
		created, _, _ := unstructured.NestedString(u.Object, "status", "latestCreatedRevisionName")
		return observed == u.GetGeneration() && created != ""
	})
	list, err := client.Resource(revisions).Namespace(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "serving.knative.dev/service=" + name})
	require.NoError(t, err)
	var names []string
	for _, r := range list.Items {
		names = append(names, r.GetName())
	}
	return names
}

// kubectl runs kubectl with a manifest on standard input, if there is one.
func kubectl(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	err = harness.Answered(func() (err error) {
		var in io.Reader
		if stdin != "" {
			in = strings.NewReader(stdin)
		}
		stdout, stderr, err = cluster.Kubectl(t.Context(), in, args...)
		return err
	})
	return stdout, stderr, err
}

func text(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	raw, err := json.Marshal(u)
	require.NoError(t, err)
	return string(raw)
}
