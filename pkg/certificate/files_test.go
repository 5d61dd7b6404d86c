package certificate

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const filesName = "kubetorch-webhook.kubetorch-system.svc"

// mounted writes files as kubelets do: into a new directory, that a symbolic link is then
// turned to.
func mounted(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	made, err := os.MkdirTemp(dir, "..v")
	require.NoError(t, err)
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(made, name), text, 0o600))
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			require.NoError(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
		}
	}
	link := filepath.Join(dir, "..data_tmp")
	require.NoError(t, os.Symlink(filepath.Base(made), link))
	require.NoError(t, os.Rename(link, filepath.Join(dir, "..data")))
}

func pairFor(t *testing.T, name string, at time.Time) map[string][]byte {
	t.Helper()
	made, err := issue([]string{name}, at)
	require.NoError(t, err)
	return map[string][]byte{CertificateFile: made.certificate, KeyFile: made.key}
}

func TestFilesAreFollowedAndOnlyGoodOnesServed(t *testing.T) {
	good := func(t *testing.T) map[string][]byte { return pairFor(t, filesName, time.Now()) }
	for name, test := range map[string]struct {
		files func(t *testing.T) map[string][]byte
		taken bool
		says  string
	}{
		"a new pair": {good, true, ""},
		"the key of another certificate": {func(t *testing.T) map[string][]byte {
			return map[string][]byte{CertificateFile: good(t)[CertificateFile], KeyFile: good(t)[KeyFile]}
		}, false, "private key does not match public key"},
		"garbage": {func(*testing.T) map[string][]byte {
			return map[string][]byte{CertificateFile: []byte("garbage"), KeyFile: []byte("garbage")}
		}, false, "failed to find any PEM data"},
		"an expired pair": {func(t *testing.T) map[string][]byte {
			return pairFor(t, filesName, time.Now().Add(-2*selfSignedValidity))
		}, false, "the certificate expired at"},
		"a pair for another name": {func(t *testing.T) map[string][]byte { return pairFor(t, "example.com", time.Now()) }, false, "not " + filesName},
		"no key": {func(t *testing.T) map[string][]byte {
			return map[string][]byte{CertificateFile: good(t)[CertificateFile]}
		}, false, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// With a good one before, that one is kept.
			dir := t.TempDir()
			mounted(t, dir, good(t))
			f := NewFiles(dir, filesName, logr.Discard())
			require.NoError(t, f.Ready())
			before, _ := f.GetCertificate(nil)
			mounted(t, dir, test.files(t))
			f.read()
			after, err := f.GetCertificate(nil)
			require.NoError(t, err)
			assert.Equal(t, test.taken, before != after)
			assert.NoError(t, f.Ready())
			again := good(t)
			mounted(t, dir, again)
			f.read()
			last, _ := f.GetCertificate(nil)
			assert.NotSame(t, after, last, "it recovers")

			// Without one, it is not ready, and says why.
			dir = t.TempDir()
			mounted(t, dir, test.files(t))
			f = NewFiles(dir, filesName, logr.Discard())
			if test.taken {
				assert.NoError(t, f.Ready())
				return
			}
			_, err = f.GetCertificate(nil)
			assert.ErrorIs(t, err, errNone)
			assert.ErrorContains(t, f.Ready(), test.says)
		})
	}
}

func TestFilesAreReadWhileItRuns(t *testing.T) {
	dir := t.TempDir()
	f := NewFiles(filepath.Join(dir, "later"), filesName, logr.Discard())
	assert.ErrorContains(t, f.Ready(), "no such file")
	go func() { _ = f.Start(t.Context()) }()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "later"), 0o755))
	mounted(t, filepath.Join(dir, "later"), pairFor(t, filesName, time.Now()))
	require.Eventually(t, func() bool { return f.Ready() == nil }, 10*time.Second, 20*time.Millisecond)
	assert.Equal(t, "files", f.Kind())
}
