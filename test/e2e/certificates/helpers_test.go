package certificates

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

const (
	patience   = 30 * time.Second
	tick       = 50 * time.Millisecond
	namespace  = "kubetorch-system"
	name       = "kubetorch-webhook"
	serverName = name + "." + namespace + ".svc"
	tlsSecret  = "kubetorch-webhook-tls"
)

var (
	deployments     = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	secrets         = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	mutatingHooks   = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	validatingHooks = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
	hooks           = []schema.GroupVersionResource{mutatingHooks, validatingHooks}
)

// served is the certificate that a replica serves to a new connection.
func served(ctx context.Context, address string) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// The caller verifies.
	dialer := tls.Dialer{NetDialer: &net.Dialer{}, Config: &tls.Config{InsecureSkipVerify: true, ServerName: serverName}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// leaves are what the replicas serve.
func leaves(t *testing.T) (list []*x509.Certificate) {
	t.Helper()
	for _, r := range hook.Replicas {
		leaf, err := served(t.Context(), r.Address)
		require.NoError(t, err)
		list = append(list, leaf)
	}
	return list
}

// awaitNewLeaves waits until every replica serves another certificate than before.
func awaitNewLeaves(t *testing.T, before []*x509.Certificate) {
	t.Helper()
	harness.Eventually(t, "a replica goes on with its certificate", func() bool {
		for i, leaf := range leaves(t) {
			if leaf.Equal(before[i]) {
				return false
			}
		}
		return true
	})
}

// readBundle is the caBundle of the first entry.
func readBundle(ctx context.Context) ([]byte, error) {
	u, err := client.Resource(mutatingHooks).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	entries, _, _ := unstructured.NestedSlice(u.Object, "webhooks")
	text, _, _ := unstructured.NestedString(entries[0].(map[string]any), "clientConfig", "caBundle")
	if text == "" {
		return nil, errors.New("there is no caBundle")
	}
	return base64.StdEncoding.DecodeString(text)
}

// change reads, changes and writes an object, again if somebody else wrote it meanwhile.
func change(t *testing.T, resource schema.GroupVersionResource, namespace, name string, f func(*unstructured.Unstructured)) *unstructured.Unstructured {
	t.Helper()
	written, err := harness.Change(t.Context(), client.Resource(resource).Namespace(namespace), name, func(u *unstructured.Unstructured) error {
		f(u)
		return nil
	})
	require.NoError(t, err)
	return written
}

// data is a decoded Secret, nil if there is none.
func data(t *testing.T, name string) map[string][]byte {
	t.Helper()
	u, err := client.Resource(secrets).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	encoded, _, _ := unstructured.NestedStringMap(u.Object, "data")
	decoded := map[string][]byte{}
	for key, value := range encoded {
		decoded[key], err = base64.StdEncoding.DecodeString(value)
		require.NoError(t, err)
	}
	return decoded
}

// setData writes one key of a Secret.
func setData(t *testing.T, u *unstructured.Unstructured, key string, value []byte) {
	t.Helper()
	require.NoError(t, unstructured.SetNestedField(u.Object, encode(value), "data", key))
}

func encode(text []byte) string { return base64.StdEncoding.EncodeToString(text) }

// parse reads the one certificate of a text in PEM, nil if it holds none or several.
func parse(text []byte) *x509.Certificate {
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 {
		return nil
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return c
}
