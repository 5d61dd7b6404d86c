package pods

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/pods/observed"
)

var (
	podResource  = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	services     = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}
	revisions    = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "revisions"}
	deployments  = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	coreServices = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	budgets      = schema.GroupVersionResource{Group: "policy.kubetorch.com", Version: "v1alpha1", Resource: "gpubudgets"}
)

const patience = 5 * time.Minute

var namespaceNumber atomic.Int64

// newNamespace makes a namespace and deletes it after the test.
func newNamespace(t *testing.T, prefix string) string {
	t.Helper()
	name := fmt.Sprintf("%s-%d", prefix, namespaceNumber.Add(1))
	kubectl(t, "", "create", "namespace", name)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, _, _ = cluster.Kubectl(ctx, nil, "delete", "namespace", name, "--wait=false")
	})
	return name
}

// kubectl runs kubectl, which has to succeed, and returns what it prints.
func kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, _, err := cluster.Kubectl(t.Context(), strings.NewReader(stdin), args...)
	require.NoError(t, err)
	return out
}

// service is a labelled Knative Service with parameters, of the application under test.
func service(name string, parameters, env map[string]string) *unstructured.Unstructured {
	annotations := map[string]any{}
	for key, value := range parameters {
		annotations[key] = value
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"metadata": map[string]any{
			"name": name, "labels": map[string]any{"kubetorch.com/autoscale": "true"}, "annotations": annotations,
		},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"containers": []any{map[string]any{
				"image": appImage, "ports": []any{map[string]any{"containerPort": int64(8080)}}, "env": environment(env),
			}},
		}}},
	}}
}

func environment(env map[string]string) []any {
	list := []any{}
	for name, value := range env {
		list = append(list, map[string]any{"name": name, "value": value})
	}
	return list
}

// create makes an object, if not at once: a busy machine answers some calls too late, and
// Knative's own webhook has one pod.
func create(
	t *testing.T, resource schema.GroupVersionResource, namespace string, o *unstructured.Unstructured,
) *unstructured.Unstructured {
	t.Helper()
	var created *unstructured.Unstructured
	eventually(t, "the creation of "+o.GetName(), time.Minute, func() (err error) {
		objects := client.Resource(resource).Namespace(namespace)
		created, err = objects.Create(t.Context(), o, metav1.CreateOptions{})
		switch {
		case apierrors.IsAlreadyExists(err): // the answer to an earlier attempt was late
			created, err = objects.Get(t.Context(), o.GetName(), metav1.GetOptions{})
		case err != nil && !isLate(err):
			require.NoError(t, err)
		}
		return err
	})
	if resource == services {
		expanded, _, _ := unstructured.NestedString(created.Object, maxScale...)
		require.NotEmpty(t, expanded, "the webhook did not expand the Service")
	}
	return created
}

// isLate tells whether a call failed since something did not answer in time.
func isLate(err error) bool {
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || strings.Contains(err.Error(), "failed calling webhook")
}

// maxScale is where a Knative Service has the annotation of that name.
var maxScale = []string{"spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale"}

// eventually waits until a probe succeeds.
func eventually(t *testing.T, what string, limit time.Duration, probe func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := probe()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			require.NoErrorf(t, err, "waiting for %s, %s", what, limit)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// condition returns a condition of an object.
func condition(o *unstructured.Unstructured, kind string) (status, reason, message string) {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, entry := range list {
		c, _ := entry.(map[string]any)
		if c["type"] == kind {
			status, _ = c["status"].(string)
			reason, _ = c["reason"].(string)
			message, _ = c["message"].(string)
		}
	}
	return status, reason, message
}

// awaitReady waits until an object's condition is True for its generation.
func awaitReady(t *testing.T, resource dynamic.ResourceInterface, name, kind string) {
	t.Helper()
	eventually(t, name+" "+kind, patience, func() error {
		o, err := resource.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration"); seen != o.GetGeneration() {
			return fmt.Errorf("generation %d has not been seen", o.GetGeneration())
		}
		if status, reason, message := condition(o, kind); status != "True" {
			return fmt.Errorf("%s is %q: %s %s", kind, status, reason, message)
		}
		return nil
	})
}

// listPods are the pods of a namespace, as far as the API server has told.
func listPods(namespace string) (pods []*unstructured.Unstructured) {
	list, err := allPods.ByNamespace(namespace).List(labels.Everything())
	if err != nil {
		return nil
	}
	for _, object := range list {
		pods = append(pods, object.(*unstructured.Unstructured))
	}
	return pods
}

// countPods counts the pods of a namespace.
func countPods(namespace string) observed.PodCount { return count(listPods(namespace)) }

func count(pods []*unstructured.Unstructured) (n observed.PodCount) {
	for _, pod := range pods {
		if phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase"); phase == "Succeeded" || phase == "Failed" {
			continue
		}
		n.All++
		if pod.GetDeletionTimestamp() != nil {
			continue
		}
		n.Live++
		if isReady(pod) {
			n.Ready++
		}
	}
	return n
}

// countLabelled is the number of live pods of a namespace with a label.
func countLabelled(namespace, label, value string) (n int) {
	for _, pod := range listPods(namespace) {
		if pod.GetDeletionTimestamp() == nil && pod.GetLabels()[label] == value {
			n++
		}
	}
	return n
}
