package certificates

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

// The webhook decides for the API server, which shows its client certificate, and for nobody
// else.
func TestOnlyTheAPIServerIsAnswered(t *testing.T) {
	installManaged(t)
	for i := range 20 {
		assert.Empty(t, admit(i), "the API server shows its certificate")
	}

	roots := x509.NewCertPool()
	bundle, err := readBundle(t.Context())
	require.NoError(t, err)
	require.True(t, roots.AppendCertsFromPEM(bundle))
	// The administrator's certificate is from the same CA as the API server's.
	admin, err := rest.TLSConfigFor(cluster.RESTConfig())
	require.NoError(t, err)
	held, err := admin.GetClientCertificate(nil)
	require.NoError(t, err)
	require.NotEmpty(t, held.Certificate)
	for name, test := range map[string]struct {
		certificates []tls.Certificate
		says         string
	}{
		"without a certificate":                           {nil, "a client certificate is required\n"},
		"with the certificate of a cluster administrator": {[]tls.Certificate{*held}, `its name "admin" is not one of those that may call`},
	} {
		t.Run(name, func(t *testing.T) {
			caller := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
				DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: serverName, Certificates: test.certificates},
			}}
			for _, r := range hook.Replicas {
				for _, path := range []string{"/mutate", "/validate"} {
					answer, err := caller.Post("https://"+r.Address+path, "application/json", strings.NewReader("{}"))
					require.NoError(t, err)
					defer answer.Body.Close()
					text, err := io.ReadAll(answer.Body)
					require.NoError(t, err)
					assert.Equal(t, http.StatusForbidden, answer.StatusCode)
					assert.Contains(t, string(text), test.says)
				}
				answer, err := caller.Get("https://" + r.Address + "/readyz")
				require.NoError(t, err)
				assert.NoError(t, answer.Body.Close())
				assert.Equal(t, http.StatusOK, answer.StatusCode, "probes need none")
			}
		})
	}
}
