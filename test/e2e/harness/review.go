package harness

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/controlplane"
)

// Insecure is for one process of the webhook: the API server verifies its certificate.
var Insecure = &http.Client{Transport: &http.Transport{
	TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 100,
}}

// Review is what the API server asks about an object that is made, or changed if there is an old
// one.
func Review(t testing.TB, namespace string, old, object *unstructured.Unstructured, uid types.UID) []byte {
	t.Helper()
	gvk := object.GroupVersionKind()
	gvr, _ := meta.UnsafeGuessKindToResource(gvk)
	kind := metav1.GroupVersionKind(gvk)
	resource := metav1.GroupVersionResource(gvr)
	request := &admissionv1.AdmissionRequest{
		UID: uid, Kind: kind, Resource: resource, RequestKind: &kind, RequestResource: &resource,
		Namespace: namespace, Name: object.GetName(), Operation: admissionv1.Create, DryRun: new(false),
		Object: runtime.RawExtension{Raw: stored(t, namespace, object, uid)},
	}
	if old != nil {
		request.Operation, request.OldObject = admissionv1.Update, runtime.RawExtension{Raw: stored(t, namespace, old, uid)}
	}
	body, err := json.Marshal(&admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: request,
	})
	require.NoError(t, err)
	return body
}

func stored(t testing.TB, namespace string, u *unstructured.Unstructured, uid types.UID) []byte {
	t.Helper()
	u.SetNamespace(namespace)
	u.SetUID(uid)
	raw, err := u.MarshalJSON()
	require.NoError(t, err)
	return raw
}

// Ask is what a replica answers to a review in the validating step.
func Ask(t testing.TB, replica *controlplane.Replica, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+replica.Address+"/validate", bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	// Asked again on a new connection if the one that was kept is closed meanwhile; not sent.
	request.Header["Idempotency-Key"] = nil
	response, err := Insecure.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	var answer admissionv1.AdmissionReview
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	require.NotNil(t, answer.Response)
	return answer.Response
}
