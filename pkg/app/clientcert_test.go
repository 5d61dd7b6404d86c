package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
)

var discard = logr.Discard()

// authority issues client certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "clients"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	return authority{parsed, key}
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

func (a authority) file(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(file, a.pem(), 0o600))
	return file
}

// client issues a certificate that ends some time from now.
func (a authority) client(t *testing.T, name string, ends time.Duration, usage x509.ExtKeyUsage, dns ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: dns,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(ends), ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}, a.certificate, key.Public(), a.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// as is the running webhook called with a certificate; the zero value is none.
func (r *running) as(t *testing.T, certificate tls.Certificate) *running {
	t.Helper()
	other := *r
	other.config = r.config.Clone()
	if certificate.PrivateKey != nil {
		other.config.Certificates = []tls.Certificate{certificate}
	}
	other.client = &http.Client{Transport: &http.Transport{TLSClientConfig: other.config}, Timeout: 5 * time.Second}
	t.Cleanup(other.client.CloseIdleConnections)
	return &other
}

func (r *running) review(t *testing.T) (int, string) {
	t.Helper()
	var review admissionv1.AdmissionReview
	review.APIVersion, review.Kind, review.Request = "admission.k8s.io/v1", "AdmissionReview", service(t, nil)
	return r.do(t, http.MethodPost, ValidatePath, review)
}

func TestOnlyAcceptedClientCertificatesMayAskForAdmissions(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	r := startWith(t, 0, HTTPOptions{ClientCerts: ClientCerts{CAFile: ours.file(t), Names: []string{"kube-apiserver", "api.example.com"}}})
	defer r.await(t, 2*time.Second)
	defer r.stop()
	const client, server = x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	for name, test := range map[string]struct {
		certificate tls.Certificate
		code        int
		says        string
	}{
		"the API server's":        {ours.client(t, "kube-apiserver", time.Hour, client), 200, `"allowed":true`},
		"one with a DNS name":     {ours.client(t, "x", time.Hour, client, "api.example.com"), 200, `"allowed":true`},
		"none":                    {tls.Certificate{}, 403, "a client certificate is required\n"},
		"another name":            {ours.client(t, "somebody", time.Hour, client), 403, `its name "somebody" is not one of those that may call`},
		"another authority's":     {others.client(t, "kube-apiserver", time.Hour, client), 403, "the client certificate is not accepted: x509: certificate signed by unknown authority"},
		"one that expired":        {ours.client(t, "kube-apiserver", -time.Minute, client), 403, "expired"},
		"one that is for servers": {ours.client(t, "kube-apiserver", time.Hour, server), 403, "incompatible key usage"},
	} {
		t.Run(name, func(t *testing.T) {
			caller := r.as(t, test.certificate)
			for range 2 { // the second time over the same connection
				code, body := caller.review(t)
				assert.Equal(t, test.code, code)
				assert.Contains(t, body, test.says)
			}
		})
	}
	for _, path := range []string{HealthPath, ReadyPath, MetricsPath} {
		code, _ := r.do(t, http.MethodGet, path, nil)
		assert.Equal(t, 200, code, "%s is for probes and scrapers, which have no certificate", path)
	}
}

func TestClientCAsAreFollowed(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	file := first.file(t)
	r := startWith(t, 0, HTTPOptions{ClientCerts: ClientCerts{CAFile: file, Every: 5 * time.Millisecond}})
	defer r.await(t, 2*time.Second)
	defer r.stop()
	before := r.as(t, first.client(t, "a", time.Hour, x509.ExtKeyUsageClientAuth))
	after := r.as(t, second.client(t, "b", time.Hour, x509.ExtKeyUsageClientAuth))
	becomes := func(caller *running, want int) {
		t.Helper()
		assert.Eventually(t, func() bool { code, _ := caller.review(t); return code == want }, 3*time.Second, 10*time.Millisecond)
	}
	becomes(before, 200)
	becomes(after, 403)
	require.NoError(t, os.WriteFile(file, bytes.Join([][]byte{first.pem(), second.pem()}, nil), 0o600))
	becomes(after, 200)
	becomes(before, 200)
	require.NoError(t, os.WriteFile(file, second.pem(), 0o600))
	becomes(before, 403) // over the connection that was accepted
	becomes(after, 200)

	require.NoError(t, os.WriteFile(file, []byte("nonsense"), 0o600))
	invalid := func(want string) {
		t.Helper()
		assert.Eventually(t, func() bool {
			_, metrics := r.do(t, http.MethodGet, MetricsPath, nil)
			return bytes.Contains([]byte(metrics), []byte("kubetorch_webhook_client_ca_invalid "+want+"\n"))
		}, 3*time.Second, 10*time.Millisecond)
	}
	invalid("1")
	becomes(after, 200) // the last good ones hold
	require.NoError(t, os.WriteFile(file, second.pem(), 0o600))
	invalid("0")
}

func TestAClientCAThatCannotBeReadIsSaidAtTheStart(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for _, file := range []string{empty, empty + ".absent"} {
		_, err := newClientCertificates(ClientCerts{CAFile: file}, nil, discard)
		assert.ErrorContains(t, err, "reading the client CAs")
	}
}
