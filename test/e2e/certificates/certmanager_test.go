package certificates

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/retry"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

const certManagerCASecret = "kubetorch-webhook-cert-manager-ca"

var certificates = schema.GroupVersionResource{Group: "cert-manager.io", Version: "v1", Resource: "certificates"}

// renew does what cmctl renew does.
func renew(t *testing.T, certificate string) {
	t.Helper()
	require.NoError(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		u, err := client.Resource(certificates).Namespace(namespace).Get(t.Context(), certificate, metav1.GetOptions{})
		if err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(u.Object, "status", "conditions")
		if err != nil {
			return err
		}
		var others []any
		for _, c := range conditions {
			if c.(map[string]any)["type"] != "Issuing" {
				others = append(others, c)
			}
		}
		others = append(others, map[string]any{
			"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "asked for by hand",
			"lastTransitionTime": time.Now().UTC().Format(time.RFC3339), "observedGeneration": u.GetGeneration(),
		})
		if err := unstructured.SetNestedSlice(u.Object, others, "status", "conditions"); err != nil {
			return err
		}
		_, err = client.Resource(certificates).Namespace(namespace).UpdateStatus(t.Context(), u, metav1.UpdateOptions{})
		return err
	}))
}

func deleteSecret(t *testing.T, name string) {
	t.Helper()
	err := client.Resource(secrets).Namespace(namespace).Delete(context.Background(), name, metav1.DeleteOptions{})
	if !apierrors.IsNotFound(err) {
		assert.NoError(t, err)
	}
}

func TestCertificatesOfCertManagerAreFollowedWithoutARestart(t *testing.T) {
	require.NoError(t, cluster.StartCertManager(t.Context()))
	t.Cleanup(func() {
		// Other sources use the same Secret.
		for _, name := range []string{name, caSecret} {
			assert.NoError(t, client.Resource(certificates).Namespace(namespace).Delete(context.Background(), name, metav1.DeleteOptions{}))
		}
		deleteSecret(t, tlsSecret)
		deleteSecret(t, certManagerCASecret)
	})
	install(t, filepath.Join(root, "deploy", "overlays", "cert-manager"))
	for _, leaf := range leaves(t) {
		ca := parse(data(t, certManagerCASecret)["tls.crt"])
		require.NotNil(t, ca)
		require.NoError(t, leaf.CheckSignatureFrom(ca), "not a certificate of cert-manager's")
	}
	underLoad(t, func() {
		for range *renewals {
			before := leaves(t)
			renew(t, name)
			awaitNewLeaves(t, before)
		}

		before := leaves(t)
		deleteSecret(t, tlsSecret)
		awaitNewLeaves(t, before)

		// The CA's key stays, so no order of the two has to be kept.
		ca := data(t, certManagerCASecret)["tls.crt"]
		renew(t, caSecret)
		harness.Eventually(t, "cert-manager never renewed the CA", func() bool {
			now := data(t, certManagerCASecret)["tls.crt"]
			return len(now) > 0 && string(now) != string(ca)
		})
		before = leaves(t)
		renew(t, name)
		awaitNewLeaves(t, before)
		harness.Eventually(t, "cainjector never took the new CA", func() bool {
			bundle, err := readBundle(t.Context())
			return err == nil && string(bundle) == string(data(t, certManagerCASecret)["tls.crt"])
		})
	})
}
