package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// handshake dials a listener that serves with the source, trusting only the ca.crt
// of the directory, and gives the error that the client sees.
func handshake(t *testing.T, s Provider, dir, name string) error {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(dir, CAFile))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: s.GetCertificate})
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		if connection, err := listener.Accept(); err == nil {
			_ = connection.(*tls.Conn).Handshake()
			_ = connection.Close()
		}
	}()
	connection, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", listener.Addr().String(),
		&tls.Config{RootCAs: roots, ServerName: name})
	if err == nil {
		_ = connection.Close()
	}
	return err
}

func TestSelfSignedIsTrustedThroughItsCA(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "it")
	s, err := SelfSigned(dir, []string{"webhook.local", "10.1.2.3"})
	require.NoError(t, err)
	require.NoError(t, s.Ready())
	for _, name := range []string{"127.0.0.1", "::1", "localhost", "webhook.local", "10.1.2.3"} {
		assert.NoError(t, handshake(t, s, dir, name), name)
	}
	assert.Error(t, handshake(t, s, dir, "example.com"))

	for file, mode := range map[string]os.FileMode{CAFile: 0o644, CertificateFile: 0o644, KeyFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, file))
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm(), file)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, CertificateFile), filepath.Join(dir, KeyFile))
	require.NoError(t, err)
	assert.Equal(t, s.certificate.Certificate, pair.Certificate, "the files are what is served")
	assert.Equal(t, x509.ECDSA, pair.Leaf.PublicKeyAlgorithm)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 3, "no temporary file stays")
}

func TestSelfSignedUsesFilesAgainOnlyIfTheyFit(t *testing.T) {
	hosts := []string{"webhook.local"}
	tests := map[string]struct {
		change func(t *testing.T, dir string)
		hosts  []string
		reused bool
	}{
		"nothing changed":                    {func(*testing.T, string) {}, hosts, true},
		"the hosts come twice":               {func(*testing.T, string) {}, []string{"webhook.local", "localhost", "webhook.local"}, true},
		"another host":                       {func(*testing.T, string) {}, []string{"other.local"}, false},
		"one host less":                      {func(*testing.T, string) {}, nil, false},
		"the key is lost":                    {remove(KeyFile), hosts, false},
		"the certificate is lost":            {remove(CertificateFile), hosts, false},
		"the CA is lost":                     {remove(CAFile), hosts, false},
		"the CA is empty":                    {write(CAFile, nil), hosts, false},
		"the CA is another one":              {swapCA, hosts, false},
		"the key is damaged":                 {write(KeyFile, []byte("-----BEGIN")), hosts, false},
		"the certificate ends in a few days": {age(selfSignedValidity - 20*24*time.Hour), hosts, false},
		"the certificate has ended":          {age(2 * selfSignedValidity), hosts, false},
		"the certificate has months to go":   {age(selfSignedValidity / 2), hosts, true},
		"the key lost its mode": {func(t *testing.T, dir string) {
			require.NoError(t, os.Chmod(filepath.Join(dir, KeyFile), 0o644))
		}, hosts, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := SelfSigned(dir, hosts)
			require.NoError(t, err)
			test.change(t, dir)
			before, _ := os.ReadFile(filepath.Join(dir, CertificateFile))
			s, err := SelfSigned(dir, test.hosts)
			require.NoError(t, err)
			after, err := os.ReadFile(filepath.Join(dir, CertificateFile))
			require.NoError(t, err)
			assert.Equal(t, test.reused, string(before) == string(after))
			assert.NoError(t, s.Ready())
			assert.NoError(t, handshake(t, s, dir, "127.0.0.1"))
			info, err := os.Stat(filepath.Join(dir, KeyFile))
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		})
	}
}

func TestSelfSignedSaysWhatItCouldNotWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := SelfSigned(file, nil)
	assert.ErrorContains(t, err, "making the certificate directory")
}

func TestAnExpiredCertificateIsNotReady(t *testing.T) {
	files, err := issue([]string{"localhost"}, time.Now().Add(-2*selfSignedValidity))
	require.NoError(t, err)
	pair, err := tls.X509KeyPair(files.certificate, files.key)
	require.NoError(t, err)
	assert.ErrorContains(t, (&Static{&pair}).Ready(), "the certificate expired at")
	assert.ErrorIs(t, (&Static{}).Ready(), errNone)
}

func remove(file string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, file))) }
}

func write(file string, data []byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), data, 0o600))
	}
}

func swapCA(t *testing.T, dir string) {
	files, err := issue([]string{"localhost"}, time.Now())
	require.NoError(t, err)
	write(CAFile, files.ca)(t, dir)
}

// age replaces the files by ones that were issued that long ago.
func age(by time.Duration) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		files, err := issue([]string{"127.0.0.1", "::1", "localhost", "webhook.local"}, time.Now().Add(-by))
		require.NoError(t, err)
		write(CAFile, files.ca)(t, dir)
		write(CertificateFile, files.certificate)(t, dir)
		write(KeyFile, files.key)(t, dir)
	}
}
