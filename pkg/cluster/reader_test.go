package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

var (
	revisionResource   = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "revisions"}
	autoscalerResource = schema.GroupVersionResource{Group: "autoscaling.internal.knative.dev", Version: "v1alpha1", Resource: "podautoscalers"}
)

func revision(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Revision",
		"metadata": map[string]any{"namespace": "team", "name": name},
	}}
}

// fake is an API server that has some objects.
func fake(objects ...runtime.Object) *dynamicfake.FakeDynamicClient {
	return dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		revisionResource: "RevisionList", autoscalerResource: "PodAutoscalerList",
	}, objects...)
}

// lists reads lists of a fake API server as its text.
type lists struct{ *dynamicfake.FakeDynamicClient }

func (l lists) ReadIn(ctx context.Context, kind cluster.Resource, namespace string, options metav1.ListOptions) (io.ReadCloser, error) {
	list, err := l.Resource(kind).Namespace(namespace).List(ctx, options)
	if err != nil {
		return nil, err
	}
	text, err := list.MarshalJSON()
	return io.NopCloser(bytes.NewReader(text)), err
}

func reader(c *dynamicfake.FakeDynamicClient) cluster.Reader {
	return cluster.NewReader(c, nil, lists{c})
}

// verbs are the requests that were made.
func verbs(c *dynamicfake.FakeDynamicClient) map[string]int {
	n := map[string]int{}
	for _, a := range c.Actions() {
		n[a.GetVerb()+" "+a.GetResource().Resource]++
	}
	return n
}

func TestObjectsThatDoNotExistAreLeftOut(t *testing.T) {
	c := fake(revision("a"), revision("b"))
	got, err := cluster.Named(t.Context(), reader(c), workload.RevisionKind, "team", []string{"a", "gone", "b"})
	require.NoError(t, err)
	assert.Equal(t, map[string]map[string]any{"a": revision("a").Object, "b": revision("b").Object}, got)
	assert.Equal(t, map[string]int{"get revisions": 3}, verbs(c))
}

func TestManyNamesTakeOneList(t *testing.T) {
	c := fake(revision("a"), revision("b"), revision("other"))
	names := []string{"a", "b"}
	for i := range 32 {
		names = append(names, fmt.Sprint("gone-", i))
	}
	got, err := cluster.Named(t.Context(), reader(c), workload.RevisionKind, "team", names)
	require.NoError(t, err)
	assert.Equal(t, map[string]map[string]any{"a": revision("a").Object, "b": revision("b").Object}, got)
	assert.Equal(t, map[string]int{"list revisions": 1}, verbs(c))
}

func TestListsAreReadToTheirEnd(t *testing.T) {
	c := fake()
	pages := map[string][]string{"": {"a", "b"}, "more": {"c"}}
	c.PrependReactor("list", "revisions", func(action clienttesting.Action) (bool, runtime.Object, error) {
		from := action.(clienttesting.ListActionImpl).ListOptions.Continue
		list := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "serving.knative.dev/v1", "kind": "RevisionList"}}
		for _, name := range pages[from] {
			list.Items = append(list.Items, *revision(name))
		}
		if from == "" {
			list.SetContinue("more")
		}
		return true, list, nil
	})
	found, err := reader(c).List(t.Context(), workload.RevisionKind, "team", labels.Everything())
	require.NoError(t, err)
	var names []string
	for _, o := range found {
		names = append(names, manifest.Text(o, "metadata", "name"))
	}
	assert.Equal(t, []string{"a", "b", "c"}, names)
}

func TestObjectsAreAllReadOrNone(t *testing.T) {
	c := fake(revision("a"))
	no := apierrors.NewForbidden(revisionResource.GroupResource(), "b", errors.New("no"))
	c.PrependReactor("get", "revisions", func(action clienttesting.Action) (bool, runtime.Object, error) {
		return action.(clienttesting.GetAction).GetName() == "b", nil, no
	})
	c.PrependReactor("list", "revisions", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, no })
	names := []string{"a", "b"}
	for i := range 20 { // more than are read at once
		names = append(names, fmt.Sprint("c", i))
	}
	got, err := cluster.Named(t.Context(), reader(c), workload.RevisionKind, "team", names)
	assert.ErrorContains(t, err, "reading revisions.serving.knative.dev team/b: ")
	assert.Nil(t, got)
	for i := range 32 {
		names = append(names, fmt.Sprint("d", i))
	}
	got, err = cluster.Named(t.Context(), reader(c), workload.RevisionKind, "team", names)
	assert.ErrorContains(t, err, "reading namespace team: ")
	assert.Nil(t, got)
}

func TestAKindThatIsNotServedHasNoObjects(t *testing.T) {
	c := fake()
	c.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, &apierrors.StatusError{ErrStatus: metav1.Status{Code: 404, Reason: metav1.StatusReasonNotFound}}
	})
	r := reader(c)
	found, err := r.List(t.Context(), workload.PodAutoscalerKind, "team", labels.Everything())
	require.NoError(t, err)
	assert.Empty(t, found)
	named, err := cluster.Named(t.Context(), r, workload.RevisionKind, "team", []string{"a"})
	require.NoError(t, err)
	assert.Empty(t, named)
}
