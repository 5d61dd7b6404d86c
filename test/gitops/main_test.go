package gitops

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

const (
	timeout = 30 * time.Second
	tick    = 50 * time.Millisecond
	adopted = "kubetorch.com/adopted-by"
)

var (
	services    = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
)

// lab is a namespace of the cluster that $KUBECONFIG reaches.
type lab struct {
	*testing.T
	config    *rest.Config
	client    dynamic.Interface
	namespace string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	require.NoError(t, err, "test/e2e/deployments runs these tests")
	config.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"generateName": "gitops-"}}}
	namespaces := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	made, err := namespaces.Create(t.Context(), u, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = namespaces.Delete(context.Background(), made.GetName(), metav1.DeleteOptions{}) })
	return &lab{t, config, client, made.GetName()}
}

// manifests are what stands in Git, by what they are: a Knative Service, and Deployments.
func (l *lab) manifests() map[string]*unstructured.Unstructured {
	l.Helper()
	all := map[string]*unstructured.Unstructured{}
	for name, file := range map[string]string{
		"a Knative Service":          "../../examples/inference.yaml",
		"a Deployment":               "testdata/deployment.yaml",
		"a Deployment with replicas": "testdata/replicas.yaml",
	} {
		raw, err := os.ReadFile(filepath.FromSlash(file))
		require.NoError(l, err)
		u := &unstructured.Unstructured{}
		require.NoError(l, yaml.Unmarshal(raw, &u.Object))
		u.SetNamespace(l.namespace)
		all[name] = u
	}
	return all
}

func (l *lab) live(of *unstructured.Unstructured) *unstructured.Unstructured {
	l.Helper()
	resource := services
	if of.GetKind() == "Deployment" {
		resource = deployments
	}
	u, err := l.client.Resource(resource).Namespace(l.namespace).Get(l.Context(), of.GetName(), metav1.GetOptions{})
	require.NoError(l, err)
	return u
}

// settle waits until a Deployment's Knative Service has taken over.
func (l *lab) settle(of *unstructured.Unstructured) {
	l.Helper()
	if of.GetKind() != "Deployment" {
		return
	}
	require.Eventually(l, func() bool {
		_, err := l.client.Resource(services).Namespace(l.namespace).Get(l.Context(), of.GetName(), metav1.GetOptions{})
		return !apierrors.IsNotFound(err) && l.live(of).GetAnnotations()[adopted] != ""
	}, timeout, tick, "the Knative Service of %s", of.GetName())
}

// generation of the Knative Service, which rises with every change of its spec. That of a
// Deployment rises with its annotations too, where its state is kept.
func (l *lab) generation(of *unstructured.Unstructured) int64 {
	l.Helper()
	u, err := l.client.Resource(services).Namespace(l.namespace).Get(l.Context(), of.GetName(), metav1.GetOptions{})
	require.NoError(l, err)
	return u.GetGeneration()
}
