package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/cert"

	"github.com/kubetorch/webhook/pkg/metric"
)

// rereadClientCA is how often the file of client CAs is looked at by default.
const rereadClientCA = 5 * time.Second

// ClientCerts say who may ask for admissions. The zero value is anybody.
type ClientCerts struct {
	// CAFile has the certificates of the authorities, in PEM. It is read again when it
	// changes; a file that cannot be used leaves the last good ones in force.
	CAFile string
	// Names are the common or DNS names of which a certificate must have one; none is any.
	Names []string
	// Every is how often the file is looked at; 0 is every 5 s.
	Every time.Duration
}

// clientCertificates checks the client certificates of admission requests. It does so behind the
// handshake: probes and scrapers on the same listener have none.
type clientCertificates struct {
	ClientCerts
	log     logr.Logger
	invalid prometheus.Gauge
	trusted atomic.Pointer[clientAuthorities]
	// raw is what trusted was made from.
	raw []byte
}

// clientAuthorities are replaced as a whole.
type clientAuthorities struct{ pool *x509.CertPool }

// caller is what is known of a connection's other end. A connection serves one request at
// a time, but one may be read while the one before is still counted.
type caller struct {
	accepted atomic.Pointer[clientAuthorities]
}

type callerKey struct{}

// newClientCertificates reads the authorities; nil ones take anybody.
func newClientCertificates(o ClientCerts, registry prometheus.Registerer, log logr.Logger) (*clientCertificates, error) {
	if o.CAFile == "" {
		return nil, nil
	}
	c := &clientCertificates{ClientCerts: o, log: log, invalid: metric.ClientCAInvalid.Gauge()}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, metric.Register(registry, c.invalid)
}

func (c *clientCertificates) read() error {
	raw, err := os.ReadFile(c.CAFile)
	if err != nil {
		return fmt.Errorf("reading the client CAs: %w", err)
	}
	if c.trusted.Load() != nil && bytes.Equal(raw, c.raw) {
		return nil
	}
	certificates, err := cert.ParseCertsPEM(raw)
	if err != nil {
		return fmt.Errorf("reading the client CAs from %s: %w", c.CAFile, err)
	}
	pool := x509.NewCertPool()
	for _, authority := range certificates {
		pool.AddCert(authority)
	}
	c.raw = raw
	c.trusted.Store(&clientAuthorities{pool})
	c.log.Info("using client CAs", "file", c.CAFile, "count", len(certificates), "names", c.Names)
	return nil
}

// follow reads the file again from time to time until ctx ends.
func (c *clientCertificates) follow(ctx context.Context) {
	ticker := time.NewTicker(cmp.Or(c.Every, rereadClientCA))
	defer ticker.Stop()
	for said := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := c.read()
		if err == nil {
			c.invalid.Set(0)
			said = ""
			continue
		}
		c.invalid.Set(1)
		if err.Error() != said {
			c.log.Error(err, "keeping the last good client CAs")
			said = err.Error()
		}
	}
}

// connected remembers what is found out about a connection.
func (*clientCertificates) connected(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, callerKey{}, &caller{})
}

var errNoCertificate = errors.New("a client certificate is required")

// check is nil for a request that comes with an accepted certificate. Connections that
// stay open are checked again when the authorities change or the certificate expires.
func (c *clientCertificates) check(r *http.Request) error {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return errNoCertificate
	}
	known, _ := r.Context().Value(callerKey{}).(*caller)
	trusted := c.trusted.Load()
	leaf := r.TLS.PeerCertificates[0]
	if known != nil && known.accepted.Load() == trusted && time.Now().Before(leaf.NotAfter) {
		return nil
	}
	intermediates := x509.NewCertPool()
	for _, between := range r.TLS.PeerCertificates[1:] {
		intermediates.AddCert(between)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: trusted.pool, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		return fmt.Errorf("the client certificate is not accepted: %w", err)
	}
	if len(c.Names) > 0 && !slices.Contains(c.Names, leaf.Subject.CommonName) &&
		!slices.ContainsFunc(leaf.DNSNames, func(name string) bool { return slices.Contains(c.Names, name) }) {
		return fmt.Errorf("the client certificate is not accepted: its name %q is not one of those that may call", leaf.Subject.CommonName)
	}
	if known != nil {
		known.accepted.Store(trusted)
	}
	return nil
}
