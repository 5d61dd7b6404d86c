package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// newPair makes a certificate for the webhook that a CA signs; without one, a CA.
func newPair(t *testing.T, ca *tls.Certificate) (crt, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "somebody's CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	parent, signer := template, any(private)
	if ca != nil {
		template.Subject, template.IsCA, template.KeyUsage = pkix.Name{CommonName: name}, false, x509.KeyUsageDigitalSignature
		template.DNSNames, template.ExtKeyUsage = []string{serverName}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, private.Public(), signer)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// withFiles writes what a user of certs/files writes: a kustomization that states the CA.
func withFiles(t *testing.T, bundle []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	real, err := filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	up, err := filepath.Rel(real, root)
	require.NoError(t, err)
	text := fmt.Sprintf("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [%[1]s/deploy/crd, %[1]s/deploy/base]\ncomponents: [%[1]s/certs/files]\npatches:\n", up)
	for _, resource := range hooks {
		u, err := client.Resource(resource).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		entries, _, err := unstructured.NestedSlice(u.Object, "webhooks")
		require.NoError(t, err)
		text += fmt.Sprintf("- target: {kind: %s, name: %s}\n  patch: |-\n", u.GetKind(), name)
		for i := range entries {
			text += fmt.Sprintf("    - {op: add, path: /webhooks/%d/clientConfig/caBundle, value: %s}\n", i, encode(bundle))
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600))
	return dir
}

// complaints counts how often a replica said that it cannot serve what is in the files.
func complaints(t *testing.T, r *controlplane.Replica) int {
	t.Helper()
	log, err := os.ReadFile(r.Process().LogFile())
	require.NoError(t, err)
	return strings.Count(string(log), "cannot serve the certificate in the files")
}

func TestCertificatesInFilesAreFollowedWithoutARestart(t *testing.T) {
	installManaged(t) // makes the namespace, and shows that one can change from one source to another
	caCrt, caKey := newPair(t, nil)
	ca, err := tls.X509KeyPair(caCrt, caKey)
	require.NoError(t, err)
	crt, key := newPair(t, &ca)
	_, err = client.Resource(secrets).Namespace(namespace).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
		"metadata": map[string]any{"name": tlsSecret},
		"data":     map[string]any{"tls.crt": encode(crt), "tls.key": encode(key)},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { deleteSecret(t, tlsSecret) })

	install(t, withFiles(t, caCrt))
	first := parse(crt)
	for _, leaf := range leaves(t) {
		require.True(t, first.Equal(leaf), "not the certificate in the files")
	}
	replace := func(crt, key []byte) {
		change(t, secrets, namespace, tlsSecret, func(u *unstructured.Unstructured) {
			setData(t, u, "tls.crt", crt)
			setData(t, u, "tls.key", key)
		})
	}
	underLoad(t, func() {
		for range *renewals {
			before := leaves(t)
			crt, key = newPair(t, &ca)
			replace(crt, key)
			awaitNewLeaves(t, before)
		}

		other, _ := newPair(t, &ca)
		var said []int
		for _, r := range hook.Replicas {
			said = append(said, complaints(t, r))
		}
		replace(other, key)
		for i, r := range hook.Replicas {
			harness.Eventually(t, "the mismatch was never seen", func() bool { return complaints(t, r) > said[i] })
			assert.NoError(t, r.Ready(t.Context()))
		}
		for _, leaf := range leaves(t) {
			assert.True(t, parse(crt).Equal(leaf), "the last good certificate goes on")
		}

		before := leaves(t)
		replace(newPair(t, &ca))
		awaitNewLeaves(t, before)
	})
}
