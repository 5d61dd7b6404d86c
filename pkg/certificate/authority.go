package certificate

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/cert-manager/cert-manager/pkg/util/pki"
)

// skew is how far clocks may be apart: a certificate is valid that long before it was made.
const skew = 24 * time.Hour

// authority is a CA that can sign.
type authority struct {
	certificate *x509.Certificate
	crt, key    []byte // PEM
	signer      crypto.Signer
}

// newAuthority makes a CA that is valid for lifetime from now on.
func newAuthority(name string, now time.Time, lifetime time.Duration) (*authority, error) {
	key, err := pki.GenerateECPrivateKey(pki.ECCurve256)
	if err != nil {
		return nil, fmt.Errorf("making the key of a CA: %w", err)
	}
	// With a name of its own it is not taken for another one that has the same name.
	var id [4]byte
	_, _ = rand.Read(id[:])
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name + "-" + hex.EncodeToString(id[:])},
		NotBefore: now.Add(-skew), NotAfter: now.Add(lifetime),
		IsCA: true, MaxPathLenZero: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	crt, _, err := pki.SignCertificate(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a CA: %w", err)
	}
	keyPEM, err := pki.EncodePKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the key of a CA: %w", err)
	}
	return readAuthority(crt, keyPEM, now)
}

// readAuthority reads a CA in PEM and says why it cannot sign at that time.
func readAuthority(crt, key []byte, now time.Time) (*authority, error) {
	pair, err := tls.X509KeyPair(crt, key)
	if err != nil {
		return nil, err
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	switch c := pair.Leaf; {
	case !ok:
		return nil, errors.New("its key cannot sign")
	case !c.IsCA || c.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, errors.New("its certificate is not one of a CA")
	case !now.Before(c.NotAfter):
		return nil, fmt.Errorf("it expired at %s", c.NotAfter.Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return nil, fmt.Errorf("it is not valid before %s", c.NotBefore.Format(time.RFC3339))
	}
	// One certificate: more would be trusted without being looked at.
	one, err := pki.EncodeX509(pair.Leaf)
	if err != nil {
		return nil, err
	}
	return &authority{certificate: pair.Leaf, crt: one, key: key, signer: signer}, nil
}

// valid is whether what the CA signs can be verified at that time; of no CA nothing can.
func (a *authority) valid(now time.Time) bool {
	return a != nil && now.Before(a.certificate.NotAfter) && !now.Before(a.certificate.NotBefore)
}

// due is whether two thirds of the CA's life are over.
func (a *authority) due(now time.Time) bool {
	c := a.certificate
	made := c.NotBefore.Add(skew)
	if made.After(c.NotAfter) {
		made = c.NotBefore // somebody else's
	}
	return !now.Before(c.NotAfter.Add(-c.NotAfter.Sub(made) / 3))
}

// leaf is a serving certificate in use.
type leaf struct {
	certificate *tls.Certificate
	// renewAt is when two thirds of its life are over.
	renewAt time.Time
}

// sign makes a serving certificate for DNS names and IP addresses that is valid for lifetime, but no longer
// than the CA.
func (a *authority) sign(hosts []string, now time.Time, lifetime time.Duration) (*leaf, error) {
	key, err := pki.GenerateECPrivateKey(pki.ECCurve256)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	end := now.Add(lifetime)
	if end.After(a.certificate.NotAfter) {
		end = a.certificate.NotAfter
	}
	begin := now.Add(-skew)
	if begin.Before(a.certificate.NotBefore) {
		begin = a.certificate.NotBefore
	}
	template := &x509.Certificate{
		NotBefore: begin, NotAfter: end,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(hosts[0]) <= 64 { // the longest common name of a certificate
		template.Subject = pkix.Name{CommonName: hosts[0]}
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	_, signed, err := pki.SignCertificate(template, a.certificate, key.Public(), a.signer)
	if err != nil {
		return nil, fmt.Errorf("signing a certificate: %w", err)
	}
	return &leaf{
		certificate: &tls.Certificate{Certificate: [][]byte{signed.Raw}, PrivateKey: key, Leaf: signed},
		renewAt:     end.Add(-end.Sub(now) / 3),
	}, nil
}

// fingerprint tells CAs apart.
func fingerprint(crt []byte) string {
	sum := sha256.Sum256(crt)
	return hex.EncodeToString(sum[:])
}

// certificates splits a bundle in PEM, leaving out what is no certificate or has expired.
func certificates(bundle []byte, now time.Time) (all [][]byte) {
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			return all
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && now.Before(c.NotAfter) {
			all = append(all, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		}
	}
}

// holds is whether a CA is among those of a list.
func holds(list [][]byte, crt []byte) bool {
	for _, c := range list {
		if bytes.Equal(c, crt) {
			return true
		}
	}
	return false
}
