package budgets

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/controlplane"
)

// insecure is for one process: the API server verifies its certificate.
var insecure = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 100}}

// review is what the API server asks about a Knative Service that is made.
func review(t testing.TB, namespace string, u *unstructured.Unstructured, uid types.UID) []byte {
	t.Helper()
	u.SetNamespace(namespace)
	u.SetUID(uid)
	object, err := u.MarshalJSON()
	require.NoError(t, err)
	kind, resource := metav1.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}, metav1.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}
	body, err := json.Marshal(&admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{UID: uid, Kind: kind, Resource: resource, RequestKind: &kind, RequestResource: &resource, Namespace: namespace, Name: u.GetName(),
			Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: object}, DryRun: new(false)},
	})
	require.NoError(t, err)
	return body
}

// updateReview is what it asks about one that is changed.
func updateReview(t testing.TB, namespace string, old, u *unstructured.Unstructured, uid types.UID) []byte {
	t.Helper()
	var asked admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(review(t, namespace, u, uid), &asked))
	old.SetNamespace(namespace)
	old.SetUID(uid)
	raw, err := old.MarshalJSON()
	require.NoError(t, err)
	asked.Request.Operation, asked.Request.OldObject = admissionv1.Update, runtime.RawExtension{Raw: raw}
	body, err := json.Marshal(&asked)
	require.NoError(t, err)
	return body
}

// reviewed is what a replica answers to it.
func reviewed(t testing.TB, replica *controlplane.Replica, namespace string, u *unstructured.Unstructured, uid types.UID) *admissionv1.AdmissionResponse {
	t.Helper()
	return ask(t, replica, review(t, namespace, u, uid))
}

func ask(t testing.TB, replica *controlplane.Replica, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	response, err := insecure.Post("https://"+replica.Address+"/validate", "application/json", bytes.NewReader(body))
	require.NoError(t, err)
	defer response.Body.Close()
	var answer admissionv1.AdmissionReview
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	require.NotNil(t, answer.Response)
	return answer.Response
}
