// Package certificate provides the certificate that the webhook serves with.
//
// A [Provider] hands it out. There is one per way of getting it: [SelfSigned] for a
// process without a cluster, [Managed] for a webhook that is its own authority in a
// cluster and tells the API server whom to trust, [Files] for certificates of others.
package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Provider hands out the serving certificate.
type Provider interface {
	// GetCertificate fits tls.Config. It is called for every handshake and gives
	// the certificate of that moment, so a source may renew it at any time.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Ready is nil once there is a certificate to serve with, else it says why
	// there is none.
	Ready() error
	// Peer is nil for a certificate that another replica of the same webhook serves with now, or may
	// just have begun to. A handshake has to have proved that the other end holds its key.
	Peer(*x509.Certificate) error
	// Kind names the way, for people: self-managed, files or self-signed.
	Kind() string
}

var errNone = errors.New("there is no certificate yet")

// Expiry is when the certificate that the source hands out now ends.
func Expiry(s Provider) (time.Time, error) {
	certificate, err := s.GetCertificate(&tls.ClientHelloInfo{})
	if errors.Is(err, errNone) {
		return time.Time{}, err
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("getting the certificate: %w", err)
	}
	if certificate == nil || certificate.Leaf == nil {
		return time.Time{}, errNone
	}
	return certificate.Leaf.NotAfter, nil
}

// ready is the part of Ready that every source shares.
func ready(s Provider, now time.Time) error {
	expiry, err := Expiry(s)
	if err != nil {
		return err
	}
	if !now.Before(expiry) {
		return fmt.Errorf("the certificate expired at %s", expiry.Format(time.RFC3339))
	}
	return nil
}

var errNoPeer = errors.New("the certificate is not one of this webhook's replicas")

// same is nil for the certificate that a source hands out itself: one that all replicas share.
func same(s Provider, other *x509.Certificate) error {
	own, err := s.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		return err
	}
	if own == nil || own.Leaf == nil || !own.Leaf.Equal(other) {
		return errNoPeer
	}
	return nil
}
