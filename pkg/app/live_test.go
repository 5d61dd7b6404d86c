package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
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
		revisionResource: "RevisionList", routeResource: "RouteList", autoscalerResource: "PodAutoscalerList",
	}, objects...)
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
	got, err := reads{c}.named(t.Context(), revisionResource, "team", []string{"a", "gone", "b"})
	require.NoError(t, err)
	assert.Equal(t, map[string]map[string]any{"a": revision("a").Object, "b": revision("b").Object}, got)
	assert.Equal(t, map[string]int{"get revisions": 3}, verbs(c))
}

func TestManyNamesTakeOneList(t *testing.T) {
	c := fake(revision("a"), revision("b"), revision("other"))
	names := []string{"a", "b"}
	for i := range readsByName {
		names = append(names, fmt.Sprint("gone-", i))
	}
	got, err := reads{c}.named(t.Context(), revisionResource, "team", names)
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
	var names []string
	require.NoError(t, reads{c}.each(t.Context(), revisionResource, "team", func(name string, _ map[string]any) { names = append(names, name) }))
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
	got, err := reads{c}.named(t.Context(), revisionResource, "team", names)
	assert.ErrorContains(t, err, "reading revisions.serving.knative.dev team/b: ")
	assert.Nil(t, got)
	for i := range readsByName {
		names = append(names, fmt.Sprint("d", i))
	}
	got, err = reads{c}.named(t.Context(), revisionResource, "team", names)
	assert.ErrorContains(t, err, "listing revisions.serving.knative.dev of namespace team: ")
	assert.Nil(t, got)
}

func TestAKindThatIsNotServedHasNoObjects(t *testing.T) {
	c := fake()
	c.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, &apierrors.StatusError{ErrStatus: metav1.Status{Code: 404, Reason: metav1.StatusReasonNotFound}}
	})
	var failed error
	l := live{reads{c}, t.Context(), "team", &failed}
	assert.Empty(t, l.All(review.AutoscalerKind))
	assert.Empty(t, l.Named(review.RevisionKind, "a"))
	assert.NoError(t, failed)
}

// TestNoVerdictWithoutWhatItHangsOn: an owner that cannot be read is neither there nor not
// there.
func TestNoVerdictWithoutWhatItHangsOn(t *testing.T) {
	object, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"name": "svc", "ownerReferences": []any{map[string]any{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "svc", "uid": "s-1", "controller": true}}},
		"spec":     map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{"autoscaling.knative.dev/max-scale": "9999"}}}},
	})
	require.NoError(t, err)
	r := &admissionv1.AdmissionRequest{UID: "u-1", Operation: admissionv1.Create, Namespace: "team", Name: "svc",
		Kind: metav1.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Configuration"}}
	r.Object.Raw = object
	bound := v1alpha1.ComputePolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	bound.Spec.Bounds = &v1alpha1.Bounds{MaxScale: &v1alpha1.NumberBound{Max: new(int64(20))}}

	c := fake()
	e := working()
	e.neighbours = &neighbours{reads: reads{c}, served: func() bool { return true }}
	assert.True(t, e.validate(t.Context(), r).Allowed)
	assert.Empty(t, c.Actions(), "no bound, no read")

	e.current.Store(&snapshot{policies: policy.Compile([]v1alpha1.ComputePolicy{bound}), knative: knative.Default()})
	assert.Equal(t, int32(403), e.validate(t.Context(), r).Result.Code, "there is no such Service")
	assert.Equal(t, map[string]int{"get services": 1}, verbs(c))

	c.PrependReactor("get", "services", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("away") })
	answer := e.validate(t.Context(), r)
	assert.Equal(t, int32(503), answer.Result.Code)
	assert.Contains(t, answer.Result.Message, "reading services.serving.knative.dev team/svc: away")
}
