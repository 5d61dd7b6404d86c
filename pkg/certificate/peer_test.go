package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReplicasKnowEachOther: by the CA that only they can sign with, or by the certificate that they share.
func TestReplicasKnowEachOther(t *testing.T) {
	leafOf := func(s Provider) *x509.Certificate {
		c, err := s.GetCertificate(&tls.ClientHelloInfo{})
		require.NoError(t, err)
		return c.Leaf
	}
	t.Run("of a webhook that is its own authority", func(t *testing.T) {
		c, strangers := newCluster(t, 1, 2), newCluster(t, 2, 1)
		c.settle()
		strangers.settle()
		one, two, other := c.replicas[0], c.replicas[1], strangers.replicas[0]
		assert.NotEqual(t, leafOf(one), leafOf(two), "each signs its own")
		assert.NoError(t, one.Peer(leafOf(two)))
		assert.NoError(t, two.Peer(leafOf(one)))
		assert.ErrorIs(t, one.Peer(leafOf(other)), errNoPeer)
		assert.ErrorIs(t, NewManaged(one.ManagedOptions).Peer(leafOf(two)), errNone, "one that has just started knows nobody")
		signed, err := one.serving.sign([]string{"example.com"}, c.wall, time.Hour)
		require.NoError(t, err)
		assert.ErrorIs(t, one.Peer(signed.certificate.Leaf), errNoPeer, "not every certificate of the CA is a replica's")
		before := leafOf(one)
		c.annotate(RotateAnnotation, "now")
		c.pass(rotation)
		assert.NoError(t, one.Peer(leafOf(two)))
		assert.ErrorIs(t, one.Peer(before), errNoPeer)
	})
	t.Run("of one whose certificate others keep", func(t *testing.T) {
		dir := t.TempDir()
		mounted(t, dir, pairFor(t, filesName, time.Now()))
		one, two := NewFiles(dir, filesName, logr.Discard()), NewFiles(dir, filesName, logr.Discard())
		assert.NoError(t, one.Peer(leafOf(two)))
		mounted(t, dir, pairFor(t, filesName, time.Now()))
		two.read()
		assert.ErrorIs(t, one.Peer(leafOf(two)), errNoPeer, "until it has read the new one too")
		one.read()
		assert.NoError(t, one.Peer(leafOf(two)))
		assert.ErrorIs(t, NewFiles(t.TempDir(), filesName, logr.Discard()).Peer(leafOf(two)), errNone)
	})
	t.Run("without a cluster there is one", func(t *testing.T) {
		one, err := SelfSigned(t.TempDir(), nil)
		require.NoError(t, err)
		other, err := SelfSigned(t.TempDir(), nil)
		require.NoError(t, err)
		assert.ErrorIs(t, one.Peer(leafOf(other)), errNoPeer)
	})
}
