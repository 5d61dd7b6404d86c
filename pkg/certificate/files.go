package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// reread is how often the files are looked at. Watching the directory would tell no sooner
// than kubelets write, and misses some file systems' changes.
const reread = time.Second

// Files is a certificate that others keep in files, such as a mounted Secret: tls.crt and
// tls.key of a directory. It follows changes while the process runs. As long as what is in
// the files cannot be served, because the key belongs to another certificate, it has
// expired or it is not for the webhook's name, the last good one is served.
type Files struct {
	dir, name string
	log       logr.Logger
	now       func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
	problem error

	crt, key []byte // as last looked at
}

var _ Provider = (*Files)(nil)

// NewFiles reads certificates for a DNS name from a directory, the first time at once.
func NewFiles(dir, name string, log logr.Logger) *Files {
	f := &Files{dir: dir, name: name, log: log, now: time.Now}
	f.read()
	return f
}

// Start follows the files until the context ends.
func (f *Files) Start(ctx context.Context) error {
	ticker := time.NewTicker(reread)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			f.read()
		}
	}
}

// NeedLeaderElection tells the manager that every replica follows its files.
func (*Files) NeedLeaderElection() bool { return false }

// read takes the certificate in the files if it can be served.
func (f *Files) read() {
	crt, err := os.ReadFile(filepath.Join(f.dir, CertificateFile))
	if err != nil {
		f.fail(err)
		return
	}
	key, err := os.ReadFile(filepath.Join(f.dir, KeyFile))
	if err != nil {
		f.fail(err)
		return
	}
	f.mu.Lock()
	problem := f.problem
	f.mu.Unlock()
	if problem == nil && bytes.Equal(crt, f.crt) && bytes.Equal(key, f.key) {
		return
	}
	// The two may be of different certificates, for the moment between their writes.
	pair, err := tls.X509KeyPair(crt, key)
	if err != nil {
		f.fail(err)
		return
	}
	if err := f.check(&pair); err != nil {
		f.fail(err)
		return
	}
	f.mu.Lock()
	f.current, f.problem = &pair, nil
	f.mu.Unlock()
	f.crt, f.key = crt, key
	f.log.Info("serving a new certificate", "directory", f.dir, "issuer", pair.Leaf.Issuer.String(), "expires", pair.Leaf.NotAfter)
}

func (f *Files) check(pair *tls.Certificate) error {
	if !f.now().Before(pair.Leaf.NotAfter) {
		return fmt.Errorf("the certificate expired at %s", pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	// What the API server would say.
	return pair.Leaf.VerifyHostname(f.name)
}

// fail notes why what is in the files is not served.
func (f *Files) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.problem == nil || f.problem.Error() != err.Error() {
		f.log.Error(err, "cannot serve the certificate in the files", "directory", f.dir, "keepsTheLast", f.current != nil)
	}
	f.problem = err
}

// GetCertificate is part of Provider.
func (f *Files) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current == nil {
		return nil, errNone
	}
	return f.current, nil
}

// Ready is part of Provider.
func (f *Files) Ready() error {
	err := ready(f, f.now())
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(err, errNone) && f.problem != nil {
		return fmt.Errorf("%w: %w", err, f.problem)
	}
	return err
}

// Peer is part of Provider. Replicas mount the same certificate; while it is being replaced some have the earlier one.
func (f *Files) Peer(other *x509.Certificate) error { return same(f, other) }

// Kind is part of Provider.
func (*Files) Kind() string { return "files" }
