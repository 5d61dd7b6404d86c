package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
)

// service is a request to create a Knative Service that sends traffic to the named
// revisions beside its own.
func service(t *testing.T, labels map[string]string, revisions ...string) *admissionv1.AdmissionRequest {
	t.Helper()
	traffic := []map[string]any{{"latestRevision": true, "percent": 100}}
	for _, name := range revisions {
		traffic = append(traffic, map[string]any{"revisionName": name, "tag": name})
	}
	object, err := json.Marshal(map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"metadata": map[string]any{"name": "hello", "namespace": "team", "labels": labels},
		"spec": map[string]any{"traffic": traffic, "template": map[string]any{"spec": map[string]any{
			"containers": []any{map[string]any{"image": "example.com/hello"}},
		}}},
	})
	require.NoError(t, err)
	r := &admissionv1.AdmissionRequest{
		UID: "u-1", Operation: admissionv1.Create, Namespace: "team", Name: "hello",
		Kind: metav1.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"},
	}
	r.Object.Raw = object
	return r
}

// labelled opts in.
var labelled = map[string]string{"kubetorch.com/autoscale": "true"}

// working is a handler that can read everything.
func working() *requestHandler {
	e := &requestHandler{
		namespaceLabels: func(_ context.Context, name string) (map[string]string, bool, error) {
			return map[string]string{"kubernetes.io/metadata.name": name}, true, nil
		},
		revisions: noRevisions,
	}
	selective := v1alpha1.ComputePolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	selective.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "ml"}}
	e.current.Store(&snapshot{policies: policy.Compile([]v1alpha1.ComputePolicy{selective}), knative: knative.Default()})
	return e
}

func TestEdgeDecidesWithWhatItReads(t *testing.T) {
	e := working()
	var asked []string
	e.revisions = func(_ context.Context, namespace string, names []string) (map[string]map[string]any, error) {
		asked = append(asked, namespace)
		asked = append(asked, names...)
		return nil, nil
	}
	assert.Contains(t, string(e.mutate(t.Context(), service(t, labelled)).Patch), "autoscaling.knative.dev/max-scale")
	assert.Empty(t, asked, "revisions are read only if traffic names some")
	assert.True(t, e.validate(t.Context(), service(t, nil, "hello-00001")).Allowed)
	assert.Equal(t, []string{"team", "hello-00001"}, asked)
}

func TestEdgeRefusesWhatItCannotReadAFoundationFor(t *testing.T) {
	broken := errors.New("the API server is away")
	tests := map[string]struct {
		change  func(*requestHandler)
		message string
	}{
		"nothing was read yet": {
			func(e *requestHandler) { e.current.Store(nil) },
			"starting: policies and configuration are not read yet",
		},
		"nothing was read yet, and there is a reason": {
			func(e *requestHandler) { e.current.Store(nil); e.missing = func() error { return broken } },
			"starting: the API server is away",
		},
		"the namespace": {
			func(e *requestHandler) {
				e.namespaceLabels = func(context.Context, string) (map[string]string, bool, error) { return nil, false, broken }
			},
			"the API server is away",
		},
		"a revision": {
			func(e *requestHandler) {
				e.revisions = func(context.Context, string, []string) (map[string]map[string]any, error) { return nil, broken }
			},
			"the API server is away",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := working()
			test.change(e)
			want := &admissionv1.AdmissionResponse{Result: &metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusServiceUnavailable, Reason: metav1.StatusReasonServiceUnavailable,
				Message: "kubetorch-webhook cannot decide now, please retry: " + test.message,
				Details: &metav1.StatusDetails{RetryAfterSeconds: 1},
			}}
			assert.Equal(t, want, e.mutate(t.Context(), service(t, labelled, "hello-00001")), "mutate")
			assert.Equal(t, want, e.validate(t.Context(), service(t, nil, "hello-00001")), "validate")
		})
	}
}

func TestEdgeAdmitsWhatDoesNotConcernItBeforeAnythingIsRead(t *testing.T) {
	r := service(t, nil)
	r.Kind = metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ControllerRevision"}
	e := working()
	e.current.Store(nil)
	assert.True(t, e.validate(t.Context(), r).Allowed)
}

func TestEdgeReadsNoNamespaceForAPolicy(t *testing.T) {
	e := working()
	e.reader = newMemory()
	e.charging = &charging{}
	e.namespaceLabels = func(context.Context, string) (map[string]string, bool, error) {
		return nil, false, errors.New("a policy has no namespace")
	}
	r := &admissionv1.AdmissionRequest{UID: "u-1", Operation: admissionv1.Create, Name: "p",
		Kind: metav1.GroupVersionKind{Group: "policy.kubetorch.com", Version: "v1alpha1", Kind: "ComputePolicy"}}
	r.Object.Raw = []byte(`{"apiVersion": "policy.kubetorch.com/v1alpha1", "kind": "ComputePolicy", "metadata": {"name": "p"}, "spec": {}}`)
	answer := e.validate(t.Context(), r)
	assert.True(t, answer.Allowed, "%+v", answer.Result)
}
