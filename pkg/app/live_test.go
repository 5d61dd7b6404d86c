package app

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
)

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

	c := dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())
	e := working()
	e.related = newRelatedReader(cluster.NewReader(c, nil, nil), func() bool { return true })
	assert.True(t, e.validate(t.Context(), r).Allowed)
	assert.Empty(t, c.Actions(), "no bound, no read")

	e.current.Store(&snapshot{policies: policy.Compile([]v1alpha1.ComputePolicy{bound}), knative: knative.Default()})
	assert.Equal(t, int32(403), e.validate(t.Context(), r).Result.Code, "there is no such Service")
	require.Len(t, c.Actions(), 1)
	assert.Equal(t, "get services", c.Actions()[0].GetVerb()+" "+c.Actions()[0].GetResource().Resource)

	c.PrependReactor("get", "services", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("away") })
	answer := e.validate(t.Context(), r)
	assert.Equal(t, int32(503), answer.Result.Code)
	assert.Contains(t, answer.Result.Message, "reading services.serving.knative.dev team/svc: away")
}
