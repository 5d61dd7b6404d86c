package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cert-manager/cert-manager/pkg/util/pki"
)

// Names of the files that SelfSigned writes and Files reads.
const (
	CAFile          = "ca.crt"
	CertificateFile = "tls.crt"
	KeyFile         = "tls.key"
)

const (
	selfSignedValidity = 365 * 24 * time.Hour
	// selfSignedMargin is how much validity must be left for files to be used again.
	selfSignedMargin = 30 * 24 * time.Hour
)

// Static is a certificate that does not change while the process runs.
type Static struct{ certificate *tls.Certificate }

var _ Provider = (*Static)(nil)

// GetCertificate is part of Provider.
func (s *Static) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.certificate, nil
}

// Ready is part of Provider.
func (s *Static) Ready() error { return ready(s, time.Now()) }

// Peer is part of Provider.
func (s *Static) Peer(other *x509.Certificate) error { return same(s, other) }

// Kind is part of Provider.
func (*Static) Kind() string { return "self-signed" }

// SelfSigned is a certificate for the hosts (DNS names or IP addresses), and always
// for 127.0.0.1, ::1 and localhost. Its authority is in dir's ca.crt, for clients to
// trust, the certificate in tls.crt and its key in tls.key. Files that an earlier
// call left are used again if they fit and are valid for 30 more days; else all three
// are replaced, by ones valid for a year. The authority's own key is never stored.
func SelfSigned(dir string, hosts []string) (*Static, error) {
	hosts = append([]string{"127.0.0.1", "::1", "localhost"}, hosts...)
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)

	if pair, err := loadSelfSigned(dir, hosts, time.Now()); err == nil {
		// A copy of the directory may have lost the mode.
		if err := os.Chmod(filepath.Join(dir, KeyFile), 0o600); err != nil {
			return nil, fmt.Errorf("protecting the key: %w", err)
		}
		return &Static{pair}, nil
	}
	files, err := issue(hosts, time.Now())
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // ca.crt is for everybody, the key has a mode of its own
		return nil, fmt.Errorf("making the certificate directory: %w", err)
	}
	for _, file := range []struct {
		name string
		mode os.FileMode
		data []byte
	}{
		{KeyFile, 0o600, files.key},
		{CertificateFile, 0o644, files.certificate},
		{CAFile, 0o644, files.ca},
	} {
		if err := replaceFile(filepath.Join(dir, file.name), file.data, file.mode); err != nil {
			return nil, err
		}
	}
	pair, err := tls.X509KeyPair(files.certificate, files.key)
	if err != nil {
		return nil, fmt.Errorf("reading the new certificate: %w", err)
	}
	return &Static{&pair}, nil
}

// loadSelfSigned reads the three files and says why they cannot be used again.
func loadSelfSigned(dir string, hosts []string, now time.Time) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, CertificateFile), filepath.Join(dir, KeyFile))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(dir, CAFile))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("no certificate in " + CAFile)
	}
	leaf := pair.Leaf
	if names := namesOf(leaf); !slices.Equal(names, hosts) {
		return nil, fmt.Errorf("it is for %v", names)
	}
	// The moment in the future checks the end of the authority too.
	for _, moment := range []time.Time{now, now.Add(selfSignedMargin)} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: moment}); err != nil {
			return nil, err
		}
	}
	return &pair, nil
}

// namesOf lists the certificate's names in the order of SelfSigned's hosts.
func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	return names
}

// issued is a new certificate in PEM.
type issued struct{ ca, certificate, key []byte }

func issue(hosts []string, now time.Time) (*issued, error) {
	ca, err := newAuthority("kubetorch-webhook", now, selfSignedValidity)
	if err != nil {
		return nil, err
	}
	leaf, err := ca.sign(hosts, now, selfSignedValidity)
	if err != nil {
		return nil, err
	}
	made := &issued{ca: ca.crt}
	if made.certificate, err = pki.EncodeX509(leaf.certificate.Leaf); err != nil {
		return nil, err
	}
	made.key, err = pki.EncodePKCS8PrivateKey(leaf.certificate.PrivateKey)
	return made, err
}

// replaceFile writes a file whole or not at all, never readable by more than mode.
func replaceFile(path string, data []byte, mode os.FileMode) (err error) {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", path, errors.Join(err, os.Remove(temporary.Name())))
		}
	}()
	_, err = temporary.Write(data)
	if err = errors.Join(err, temporary.Chmod(mode), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}
