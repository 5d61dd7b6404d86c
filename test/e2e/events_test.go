package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// TestWarningsStandInEvents: kubetorch's client shows none of those that its requests are answered with. Both steps of
// an admission say some of them, and the controller of Deployments too: each is one event.
func TestWarningsStandInEvents(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	deployments := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	const service = `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: %s}, spec: {template: {metadata: {%s}, spec: {containers: [{image: "nginx:1"}]}}}}`
	const deployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: %s}, spec: {replicas: 0, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}, %s}, spec: {containers: [{name: a, image: "nginx:1", ports: [{containerPort: 80}, {name: metrics, containerPort: 9090}]}]}}}}`
	const stray = `annotations: {autoscale.kubetorch.com/max-scale: "4"}`
	const noEffect = "Service %s: autoscale.kubetorch.com/max-scale: no effect without the label"
	create := func(resource schema.GroupVersionResource, text, metadata string) {
		t.Helper()
		u := harness.Object(t, text)
		u.SetLabels(map[string]string{})
		for key, value := range harness.Object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {`+metadata+`}}`).GetLabels() {
			u.SetLabels(map[string]string{key: value})
		}
		u.SetAnnotations(harness.Object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {`+metadata+`}}`).GetAnnotations())
		require.NoError(t, harness.Answered(func() error {
			_, err := client.Resource(resource).Namespace(ns).Create(t.Context(), u, metav1.CreateOptions{})
			return err
		}))
	}
	create(services, fmt.Sprintf(service, "told", stray), `labels: {kubetorch.com/autoscale: "true"}`)
	create(services, fmt.Sprintf(service, "forgotten", ""), stray)
	create(deployments, fmt.Sprintf(deployment, "fixed", stray), `labels: {kubetorch.com/compute: "true"}`)
	create(deployments, fmt.Sprintf(deployment, "adopted", stray), `labels: {kubetorch.com/autoscale: "true"}, annotations: {autoscale.kubetorch.com/port: "80"}`)
	for _, want := range []string{
		"Service told: spec.template.metadata.annotations[autoscale.kubetorch.com/max-scale] has no effect there",
		fmt.Sprintf(noEffect, "forgotten"),
		"Deployment fixed: spec.template.metadata.annotations[autoscale.kubetorch.com/max-scale] has no effect there",
		"Deployment adopted: spec.template.spec.containers[0].ports",
	} {
		harness.Await(t, "one event: "+want, func() (bool, string) {
			seen, found := conversions(t, ns), 0
			for _, text := range seen {
				if strings.HasPrefix(text, want) {
					found++
				}
			}
			return found == 1, strings.Join(seen, "\n")
		})
	}
	seen := conversions(t, ns)
	slices.Sort(seen)
	require.Equal(t, slices.Compact(slices.Clone(seen)), seen, "each is told once")
}

// conversions are the events about warnings in a namespace.
func conversions(t *testing.T, ns string) (seen []string) {
	t.Helper()
	list, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "events"}).Namespace(ns).List(t.Context(), metav1.ListOptions{FieldSelector: "reason=Conversion"})
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range list.Items {
		about, _, _ := unstructured.NestedString(e.Object, "involvedObject", "kind")
		name, _, _ := unstructured.NestedString(e.Object, "involvedObject", "name")
		message, _, _ := unstructured.NestedString(e.Object, "message")
		seen = append(seen, fmt.Sprintf("%s %s: %s", about, name, message))
	}
	return seen
}
