package app

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubetorch/webhook/pkg/knative"
)

// reader has namespaces, or an error for everything.
type reader struct {
	client.Reader
	labels map[string]map[string]string
	err    error
	asked  int
}

func (r *reader) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	r.asked++
	labels, ok := r.labels[key.Name]
	switch {
	case r.err != nil:
		return r.err
	case !ok:
		return apierrors.NewNotFound(corev1.Resource("namespaces"), key.Name)
	}
	o.SetName(key.Name)
	o.SetLabels(labels)
	return nil
}

func TestNamespaceLabels(t *testing.T) {
	team := map[string]map[string]string{"team": {"a": "b"}}
	away := errors.New("away")
	tests := map[string]struct {
		cached, live *reader
		labels       map[string]string
		known        bool
		err          string
		liveReads    int
	}{
		"from the cache": {
			cached: &reader{labels: team}, live: &reader{},
			labels: team["team"], known: true,
		},
		"made a moment ago": {
			cached: &reader{}, live: &reader{labels: team},
			labels: team["team"], known: true, liveReads: 1,
		},
		"there is no such namespace": {
			cached: &reader{}, live: &reader{},
			labels: map[string]string{"kubernetes.io/metadata.name": "team"}, liveReads: 1,
		},
		"the cache cannot be read": {
			cached: &reader{err: away}, live: &reader{labels: team},
			err: "reading namespace team: away",
		},
		"the API server cannot be read": {
			cached: &reader{}, live: &reader{err: away},
			err: "reading namespace team: away", liveReads: 1,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			labels, known, err := namespaces{test.cached, test.live}.labels(t.Context(), "team")
			if test.err != "" {
				assert.EqualError(t, err, test.err)
			} else {
				assert.NoError(t, err)
			}
			assert.Equal(t, test.labels, labels)
			assert.Equal(t, test.known, known)
			assert.Equal(t, test.liveReads, test.live.asked)
		})
	}

	labels, known, err := namespaces{&reader{}, &reader{err: away}}.labels(t.Context(), "")
	assert.NoError(t, err, "a policy is in no namespace, and nothing is read for it")
	assert.True(t, known)
	assert.Empty(t, labels)
}

func TestCachesKeepOnlyWhatIsUsed(t *testing.T) {
	full := metav1.ObjectMeta{
		Namespace: "n", Name: "x", ResourceVersion: "5", UID: "u",
		Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "1"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
	}
	lean := metav1.ObjectMeta{Namespace: "n", Name: "x", ResourceVersion: "5"}
	withLabels := lean
	withLabels.Labels = full.Labels
	tests := map[string]struct{ object, want any }{
		"a namespace": {&metav1.PartialObjectMetadata{ObjectMeta: full}, &metav1.PartialObjectMetadata{ObjectMeta: withLabels}},
		"a ConfigMap": {
			&corev1.ConfigMap{ObjectMeta: full, Data: map[string]string{"_example": "long", "k": "v"}},
			&corev1.ConfigMap{ObjectMeta: lean, Data: map[string]string{"k": "v"}},
		},
		"a Deployment": {
			&appsv1.Deployment{ObjectMeta: full, Spec: appsv1.DeploymentSpec{Paused: true}},
			&appsv1.Deployment{ObjectMeta: lean},
		},
		"the trace of a missed deletion": {toolscache.DeletedFinalStateUnknown{Key: "n/x"}, toolscache.DeletedFinalStateUnknown{Key: "n/x"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := essence(test.object)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
}

func TestOnlyChangesOfWhatIsUsedCount(t *testing.T) {
	configMap := func(version, value string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}, Data: map[string]string{"k": value}}
	}
	policy := func(uid, spec, labels, ready string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"uid": uid, "labels": map[string]any{"a": labels}},
			"spec":     map[string]any{"enforcement": spec}, "status": map[string]any{"enforcement": ready},
		}}
	}
	tests := map[string]struct {
		old, new any
		want     bool
	}{
		"a ConfigMap's data":             {configMap("1", "a"), configMap("2", "b"), true},
		"a ConfigMap's annotations":      {configMap("1", "a"), configMap("2", "a"), false},
		"a Deployment's status":          {&appsv1.Deployment{}, &appsv1.Deployment{}, false},
		"a policy's spec":                {policy("u", "Deny", "a", ""), policy("u", "Warn", "a", ""), true},
		"a policy's labels and status":   {policy("u", "Deny", "a", ""), policy("u", "Deny", "b", "Deny"), false},
		"a policy deleted and made anew": {policy("u", "Deny", "a", ""), policy("v", "Deny", "a", ""), true},
		"a kind that is not looked into": {&metav1.PartialObjectMetadata{}, &metav1.PartialObjectMetadata{}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			count := 0
			toEvents(func() { count++ }).OnUpdate(test.old, test.new)
			assert.Equal(t, test.want, count == 1)
		})
	}
}

func TestKnativeConfigurationIsReadFromWhatIsThere(t *testing.T) {
	informer := func(o runtime.Object) toolscache.SharedInformer {
		return toolscache.NewSharedInformer(&toolscache.ListWatch{}, o, 0)
	}
	w := &knativeWatch{hpa: informer(&appsv1.Deployment{}), configMaps: map[string]toolscache.SharedInformer{}}
	for _, name := range knative.ConfigMaps {
		w.configMaps[name] = informer(&corev1.ConfigMap{})
	}
	assert.Error(t, w.synced(), "nothing was listed")

	config, err := w.read()
	require.NoError(t, err, "no ConfigMap is Knative's defaults")
	assert.False(t, config.HPAInstalled())

	require.NoError(t, w.hpa.GetStore().Add(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "autoscaler-hpa"}}))
	require.NoError(t, w.configMaps[knative.AutoscalerConfig].GetStore().Add(&corev1.ConfigMap{Data: map[string]string{"max-scale": "7"}}))
	config, err = w.read()
	require.NoError(t, err)
	assert.True(t, config.HPAInstalled())
	value, stated := config.Explicit("max-scale")
	assert.True(t, stated)
	assert.Equal(t, "7", value.Text)
}
