package cmd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/app"
)

// A call verifies what an API server would: that somebody answers, is ready, and has a certificate
// of the CA that a configuration names.
func TestDialCallsTheWebhookAsAnAPIServerDoes(t *testing.T) {
	answer := func(path string, code int, text string) *httptest.Server {
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				http.Error(w, text, code)
				return
			}
			http.NotFound(w, r)
		}))
		t.Cleanup(s.Close)
		return s
	}
	ready, unready, gone := answer(app.ReadyPath, http.StatusOK, "ok"), answer(app.ReadyPath, http.StatusServiceUnavailable, "policies are not read"), answer("/", http.StatusOK, "ok")
	gone.Close()
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ready.Certificate().Raw})
	for name, c := range map[string]struct {
		server *httptest.Server
		name   string
		bundle []byte
		want   string
	}{
		"ready":                          {ready, "", own, ""},
		"not ready":                      {unready, "", own, "answers 503 Service Unavailable: policies are not read"},
		"nobody":                         {gone, "", own, "connection refused"},
		"another name":                   {ready, "localhost", own, "not localhost"},
		"a bundle of another CA":         {ready, "", certificateOfAnother(t), "certificate signed by unknown authority"},
		"a bundle that is none":          {ready, "", []byte("-----BEGIN"), "it holds no certificate"},
		"an address that takes no calls": {ready, "127.0.0.1:1", own, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			address := strings.TrimPrefix(c.server.URL, "https://")
			if _, port, _ := strings.Cut(address, ":"); c.name != "" && !strings.Contains(c.name, ":") {
				address = c.name + ":" + port
			} else if c.name != "" {
				address = c.name
			}
			err := dial(t.Context(), address, c.bundle)
			if c.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// certificateOfAnother is that of a CA which signed nothing here.
func certificateOfAnother(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, &ca, &ca, &key.PublicKey, key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
