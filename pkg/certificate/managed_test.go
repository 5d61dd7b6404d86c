package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// secretAPI is as much of an API server as one Secret needs: create, list and watch.
type secretAPI struct {
	mu      sync.Mutex
	secret  *corev1.Secret
	created chan struct{}
}

func (s *secretAPI) stored() *corev1.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secret
}

func (s *secretAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	query := r.URL.Query()
	switch {
	case query.Get("sendInitialEvents") != "": // an older API server: list first
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
	case query.Get("watch") != "":
		w.(http.Flusher).Flush()
		select {
		case <-s.created:
			object, _ := json.Marshal(s.stored())
			fmt.Fprintf(w, `{"type":"ADDED","object":%s}`, object)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case <-r.Context().Done():
		}
	case r.Method == http.MethodGet:
		fmt.Fprint(w, `{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}`)
	case r.Method == http.MethodPost:
		created := &corev1.Secret{}
		_ = json.NewDecoder(r.Body).Decode(created)
		created.Kind, created.APIVersion, created.ResourceVersion = "Secret", "v1", "2"
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.secret != nil {
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"AlreadyExists","code":409}`)
			return
		}
		s.secret = created
		close(s.created)
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(created)
	}
}

func TestManagedServesWhatItsSecretVouchesFor(t *testing.T) {
	api := &secretAPI{created: make(chan struct{})}
	server := httptest.NewServer(api)
	defer server.CloseClientConnections()

	names := ServiceNames(types.NamespacedName{Namespace: "kubetorch-system", Name: "kubetorch-webhook"})
	assert.Equal(t, "kubetorch-webhook.kubetorch-system.svc", names[0])
	m := NewManaged(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, caSecret, names)
	assert.False(t, m.NeedLeaderElection())
	require.Error(t, m.Ready(), "nothing is there before it starts")
	go func() { _ = m.Start(t.Context()) }()
	require.Eventually(t, func() bool { return m.Ready() == nil }, 20*time.Second, 20*time.Millisecond)

	secret := api.stored()
	assert.Equal(t, caSecret, types.NamespacedName{Namespace: secret.Namespace, Name: secret.Name})
	require.NoError(t, checkCA(secret.Data["ca.crt"]))
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(secret.Data["ca.crt"]))
	certificate, err := m.GetCertificate(&tls.ClientHelloInfo{})
	require.NoError(t, err)
	for _, name := range names {
		_, err := certificate.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		assert.NoError(t, err, name)
	}
	expiry, err := Expiry(m)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(7*24*time.Hour), expiry, time.Hour)
}
