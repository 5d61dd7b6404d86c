package harness

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// RejectedByAnother is what the other webhook says.
const RejectedByAnother = "rejected by another webhook"

// Rejecter is a validating webhook of somebody else. It answers a little later than ours, so
// that what it rejects is charged already.
type Rejecter struct {
	// Percent of what it is asked is rejected; Rejected counts it.
	Percent, Rejected atomic.Int64
}

// StartRejecter installs it for some resources in the namespaces with labels.
func StartRejecter(
	t *testing.T, client dynamic.Interface, name string, labels map[string]string, resources ...schema.GroupVersionResource,
) *Rejecter {
	t.Helper()
	r := &Rejecter{}
	certificate, ca := selfSigned(t)
	server := httptest.NewUnstartedServer(r)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	selector := map[string]any{}
	for key, value := range labels {
		selector[key] = value
	}
	var rules []any
	for _, r := range resources {
		rules = append(rules, map[string]any{
			"apiGroups": []any{r.Group}, "apiVersions": []any{r.Version}, "resources": []any{r.Resource},
			"operations": []any{"CREATE", "UPDATE"},
		})
	}
	configuration := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": map[string]any{"name": name},
		"webhooks": []any{map[string]any{
			"name": "later.example.com", "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": []any{"v1"}, "timeoutSeconds": int64(3),
			"clientConfig":      map[string]any{"url": server.URL, "caBundle": ca},
			"rules":             rules,
			"namespaceSelector": map[string]any{"matchLabels": selector},
		}},
	}}
	_, err := client.Resource(ValidatingHooks).Create(t.Context(), configuration, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = client.Resource(ValidatingHooks).Delete(context.Background(), name, metav1.DeleteOptions{})
		server.Close()
	})
	return r
}

func (r *Rejecter) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(request.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(w, "no review", http.StatusBadRequest)
		return
	}
	response := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: mathrand.Int64N(100) >= r.Percent.Load()}
	if !response.Allowed {
		time.Sleep(mathrand.N(30 * time.Millisecond))
		r.Rejected.Add(1)
		response.Result = &metav1.Status{Code: http.StatusForbidden, Message: RejectedByAnother}
	}
	review.Request, review.Response = nil, response
	var body bytes.Buffer
	_ = json.NewEncoder(&body).Encode(review)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body.Bytes())
}

// selfSigned is a certificate for 127.0.0.1, and as base64 what verifies it.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "rejecter"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	bundle, err := json.Marshal(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) // base64, as JSON has bytes
	require.NoError(t, err)
	var text string
	require.NoError(t, json.Unmarshal(bundle, &text))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, text
}
