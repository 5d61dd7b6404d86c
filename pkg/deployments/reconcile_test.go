package deployments

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/manifest"
)

var key = types.NamespacedName{Namespace: "team", Name: "app"}

func deployment(labels, annotations manifest.Object, replicas int64) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: manifest.Object{"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": manifest.Object{"name": "app", "namespace": "team", "uid": "d-1", "labels": labels, "annotations": annotations},
		"spec":     manifest.Object{"replicas": replicas, "template": manifest.Object{}}}}
}

var autoscaled = manifest.Object{"kubetorch.com/autoscale": "true"}

// lab is a reconciler on a cluster in memory.
type lab struct {
	*reconciler
	cluster *fake.FakeDynamicClient
	events  *record.FakeRecorder
}

func newLab(objects ...*unstructured.Unstructured) *lab {
	kinds := map[schema.GroupVersionResource]string{deployments: "DeploymentList", knativeServices: "ServiceList", coreServices: "ServiceList"}
	cluster := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds)
	for _, o := range objects {
		resource := deployments
		if o.GetKind() == "Service" {
			resource = knativeServices
		}
		if err := cluster.Tracker().Create(resource, o, o.GetNamespace()); err != nil {
			panic(err)
		}
	}
	l := &lab{cluster: cluster, events: record.NewFakeRecorder(10)}
	l.reconciler = &reconciler{client: cluster, events: l.events, served: func() bool { return true },
		owned: func(string, string) []string { return nil },
		expand: func(context.Context, manifest.Object, manifest.Object) (Expansion, error) {
			return Expansion{Fixed: 1, Service: manifest.Object{"apiVersion": "serving.knative.dev/v1", "kind": "Service",
				"metadata": manifest.Object{"name": "app"}, "spec": manifest.Object{"x": "y"}}}, nil
		}}
	return l
}

func (l *lab) state(t *testing.T) handover.State {
	o, err := l.cluster.Resource(deployments).Namespace("team").Get(t.Context(), "app", metav1.GetOptions{})
	require.NoError(t, err)
	return handover.ReadState(o.GetAnnotations()[handover.StatusAnnotation])
}

// refuse answers writes of a resource with an error.
func (l *lab) refuse(verb string, resource schema.GroupVersionResource, err error) {
	l.cluster.PrependReactor(verb, resource.Resource, func(a clienttesting.Action) (bool, runtime.Object, error) {
		return a.GetResource() == resource, nil, err
	})
}

func TestAStepThatIsRefusedIsReportedAndTriedAgain(t *testing.T) {
	l := newLab(deployment(autoscaled, manifest.Object{}, 3))
	l.refuse("create", knativeServices, apierrors.NewForbidden(knativeServices.GroupResource(), "app", errors.New("policy platform")))
	for range 2 {
		_, err := l.reconcile(t.Context(), key)
		require.ErrorContains(t, err, "policy platform")
	}
	state := l.state(t)
	assert.Equal(t, "ApplyFailed", state.Reason)
	assert.True(t, state.Problem())
	assert.Contains(t, state.Message, "policy platform")
	assert.Contains(t, <-l.events.Events, "Warning ApplyFailed")
	assert.Empty(t, l.events.Events, "told once")
}

func TestAConflictIsNoState(t *testing.T) {
	l := newLab(deployment(autoscaled, manifest.Object{}, 3))
	l.refuse("create", knativeServices, apierrors.NewAlreadyExists(knativeServices.GroupResource(), "app"))
	_, err := l.reconcile(t.Context(), key)
	assert.True(t, apierrors.IsAlreadyExists(err))
	assert.Empty(t, l.state(t))
	assert.Empty(t, l.events.Events)
}

func TestWhatCannotBeReadDecidesNothing(t *testing.T) {
	l := newLab(deployment(autoscaled, manifest.Object{}, 3))
	l.refuse("get", knativeServices, apierrors.NewInternalError(errors.New("etcd")))
	_, err := l.reconcile(t.Context(), key)
	assert.ErrorContains(t, err, "reading services team/app")
	assert.Empty(t, l.state(t))
}

func TestOthersAreNotLookedAt(t *testing.T) {
	for name, o := range map[string]*unstructured.Unstructured{
		"plain":   deployment(manifest.Object{"app": "x"}, manifest.Object{}, 3),
		"off":     deployment(manifest.Object{"kubetorch.com/autoscale": "false"}, manifest.Object{}, 3),
		"compute": deployment(manifest.Object{"kubetorch.com/compute": "true"}, manifest.Object{}, 3),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(o)
			_, err := l.reconcile(t.Context(), key)
			require.NoError(t, err)
			for _, a := range l.cluster.Actions() {
				assert.Equal(t, "get", a.GetVerb())
			}
		})
	}
	_, err := newLab().reconcile(t.Context(), key)
	assert.NoError(t, err, "gone")
}

func TestRestoreIsOneWrite(t *testing.T) {
	l := newLab(deployment(manifest.Object{}, manifest.Object{handover.AdoptedAnnotation: "s-1", handover.ReplicasAnnotation: "4"}, 0))
	_, err := l.reconcile(t.Context(), key)
	require.NoError(t, err)
	o, err := l.cluster.Resource(deployments).Namespace("team").Get(t.Context(), "app", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, int64(4), handover.Replicas(o.Object))
	assert.NotContains(t, o.GetAnnotations(), handover.AdoptedAnnotation)
	assert.NotContains(t, o.GetAnnotations(), handover.ReplicasAnnotation, "the count and the record go together: a restart in between would give it back twice")
	assert.Equal(t, handover.Returning, l.state(t).Reason)
}

func TestSomebodyHasToActSoItLooksAgain(t *testing.T) {
	foreign := &unstructured.Unstructured{Object: manifest.Object{"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"metadata": manifest.Object{"name": "app", "namespace": "team", "uid": "s-9"}}}
	l := newLab(deployment(autoscaled, manifest.Object{}, 3), foreign)
	again, err := l.reconcile(t.Context(), key)
	require.NoError(t, err)
	assert.Equal(t, lookAgain, again)
	assert.Equal(t, handover.Foreign, l.state(t).Reason)
	assert.Contains(t, <-l.events.Events, "Warning ForeignService")
}
