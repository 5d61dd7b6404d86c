package budgets

import (
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// review is what the API server asks about a Knative Service that is made.
func review(t testing.TB, namespace string, u *unstructured.Unstructured, uid types.UID) []byte {
	t.Helper()
	return harness.Review(t, namespace, nil, u, uid)
}

// updateReview is what it asks about one that is changed.
func updateReview(t testing.TB, namespace string, old, u *unstructured.Unstructured, uid types.UID) []byte {
	t.Helper()
	return harness.Review(t, namespace, old, u, uid)
}

// reviewed is what a replica answers to it.
func reviewed(t testing.TB, replica *controlplane.Replica, namespace string, u *unstructured.Unstructured, uid types.UID) *admissionv1.AdmissionResponse {
	t.Helper()
	return harness.Ask(t, replica, review(t, namespace, u, uid))
}
