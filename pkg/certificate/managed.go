package certificate

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	servertls "github.com/cert-manager/cert-manager/pkg/server/tls"
	"github.com/cert-manager/cert-manager/pkg/server/tls/authority"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// Managed is the certificate of a webhook that is its own authority. The authority
// is in a Secret that all replicas share, is valid for a year and replaced after two
// thirds of it. Each replica signs a certificate for itself, valid for a week, keeps
// it in memory and renews it in time, or at once when the authority changes. A Secret
// that was deleted or damaged is made anew.
type Managed struct{ source *servertls.DynamicSource }

var _ Source = (*Managed)(nil)

// NewManaged keeps the authority in the Secret named ca. dnsNames are what the API
// server calls the webhook by, see [ServiceNames]. Nothing happens before Start.
func NewManaged(config *rest.Config, ca types.NamespacedName, dnsNames []string) *Managed {
	return &Managed{&servertls.DynamicSource{
		DNSNames:      dnsNames,
		RetryInterval: 200 * time.Millisecond, // the first replica waits for its own Secret to come back in a watch
		Authority: &authority.DynamicAuthority{
			RESTConfig:      config,
			SecretNamespace: ca.Namespace,
			SecretName:      ca.Name,
			CommonName:      ca.Name,
		},
	}}
}

// ServiceNames are the DNS names of a Service; the API server uses the first.
func ServiceNames(service types.NamespacedName) []string {
	short := service.Name + "." + service.Namespace
	return []string{short + ".svc", short, service.Name, short + ".svc.cluster.local"}
}

// Start keeps the certificate fresh until the context ends.
func (m *Managed) Start(ctx context.Context) error {
	if err := m.source.Start(ctx); err != nil {
		return fmt.Errorf("managing the serving certificate: %w", err)
	}
	return nil
}

// NeedLeaderElection tells the manager that every replica has a certificate.
func (*Managed) NeedLeaderElection() bool { return false }

// GetCertificate is part of Source.
func (m *Managed) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return m.source.GetCertificate(hello)
}

// Ready is part of Source.
func (m *Managed) Ready() error { return ready(m) }
