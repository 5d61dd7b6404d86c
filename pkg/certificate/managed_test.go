package certificate

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A rotation is this many overlaps at most: one before, one after, and time for turns.
const rotation = 4 * testOverlap

// Whatever replicas do between each other's reads and writes, come, go and are killed, and
// however late API servers learn of a new caBundle, every certificate that is served can be
// verified, and every rotation ends.
func TestRotationsNeverServeWhatIsNotTrusted(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, seed, 3)
			c.racing = true
			c.settle()
			before := string(c.secret().Data[signingCertKey])
			for round := range 3 {
				if round%2 == 0 {
					c.annotate(RotateAnnotation, fmt.Sprint(round))
				} else {
					c.wall = c.wall.Add(testCA * 2 / 3) // every leaf has expired, the CA has not
				}
				for range 48 {
					switch i := c.random.IntN(len(c.replicas)); c.random.IntN(24) {
					case 0: // a rolling restart
						c.start()
						ended, cancel := context.WithCancel(t.Context())
						cancel()
						require.NoError(t, c.replicas[i].Start(ended))
						c.replicas = slices.Delete(c.replicas, i, i+1)
					case 1: // kill -9
						c.start()
						c.replicas = slices.Delete(c.replicas, i, i+1)
					case 2: // busy: the others go on
						c.wall, c.elapsed = c.wall.Add(testOverlap/6), c.elapsed+testOverlap/6
						c.turn(c.replicas[i])
						c.check()
					default:
						c.tick(testOverlap / 6)
					}
				}
				c.pass(rotation)
				require.NoError(t, c.atRest())
				after := string(c.secret().Data[signingCertKey])
				require.NotEqual(t, before, after, "round %d has a new CA", round)
				before = after
			}
			var leases coordinationv1.LeaseList
			require.NoError(t, c.api.List(t.Context(), &leases))
			assert.Len(t, leases.Items, len(c.replicas), "those of replicas that are gone are deleted")
		})
	}
}

func TestTheOldCAStaysUntilTheLastReplicaMoved(t *testing.T) {
	c := newCluster(t, 1, 2)
	c.settle()
	slow := c.replicas[1]
	old := c.secret().Data[signingCertKey]
	c.annotate(RotateAnnotation, "now")
	c.tick(time.Second)
	require.Equal(t, old, c.secret().Data[signingCertKey], "the old one signs until the new one is trusted")
	require.NotEmpty(t, c.secret().Data[nextCertKey])

	// It renews its Lease, but sees nothing of the new CA.
	for range 100 {
		c.wall, c.elapsed = c.wall.Add(testOverlap/12), c.elapsed+testOverlap/12
		c.turn(c.replicas[0])
		slow.renewedAt = 0
		_, err := slow.publish(t.Context())
		require.NoError(t, err)
		c.check()
	}
	secret := c.secret()
	assert.Equal(t, old, secret.Data[previousKey])
	assert.NoError(t, c.verify(c.replicas[0], secret.Data[signingCertKey]))
	assert.Error(t, c.verify(slow, secret.Data[signingCertKey]))
	c.pass(rotation)
	require.NoError(t, c.atRest())
	assert.Equal(t, "now", c.secret().Annotations[RotatedAnnotation])
}

func TestADamagedSecretIsPutInOrder(t *testing.T) {
	other, err := newAuthority("other", time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), testCA)
	require.NoError(t, err)
	expired, err := newAuthority("expired", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Hour)
	require.NoError(t, err)
	set := func(key string, value []byte) func(*cluster) {
		return func(c *cluster) { c.edit(func(s *corev1.Secret) { s.Data[key] = value }) }
	}
	for name, test := range map[string]struct {
		damage func(*cluster)
		// newCA is whether another CA signs in the end.
		newCA bool
	}{
		"deleted":                     {func(c *cluster) { require.NoError(c.t, c.api.Delete(c.t.Context(), c.secret())) }, true},
		"emptied":                     {func(c *cluster) { c.edit(func(s *corev1.Secret) { s.Data = nil }) }, true},
		"its CA is garbage":           {set(signingCertKey, []byte("garbage")), true},
		"its key is garbage":          {set(signingKeyKey, []byte("garbage")), true},
		"its key is another CA's":     {set(signingKeyKey, other.key), true},
		"its CA has expired":          {func(c *cluster) { set(signingCertKey, expired.crt)(c); set(signingKeyKey, expired.key)(c) }, true},
		"its CA is replaced":          {func(c *cluster) { set(signingCertKey, other.crt)(c); set(signingKeyKey, other.key)(c) }, true},
		"its copy of the CA differs":  {set(signingCAKey, other.crt), false},
		"its next CA is garbage":      {set(nextCertKey, []byte("garbage")), false},
		"its old CAs are garbage":     {set(previousKey, []byte("garbage")), false},
		"an old CA nobody serves":     {set(previousKey, other.crt), false},
		"a next CA that nobody asked": {func(c *cluster) { set(nextCertKey, other.crt)(c); set(nextKeyKey, other.key)(c) }, true},
	} {
		for _, racing := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", racing ", racing), func(t *testing.T) {
				t.Parallel()
				c := newCluster(t, 1, 3)
				c.racing = racing
				c.settle()
				before := c.secret().Data[signingCertKey]
				test.damage(c)
				c.check()
				c.pass(2 * rotation)
				require.NoError(t, c.atRest())
				assert.Equal(t, test.newCA, string(before) != string(c.secret().Data[signingCertKey]))
			})
		}
	}
}

func TestClockJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{
		"two hours ahead":           2 * time.Hour,
		"two hours back":            -2 * time.Hour,
		"past the leaf's end":       testLeaf + time.Minute,
		"past two thirds of the CA": testCA*2/3 + time.Minute,
		"almost to the CA's end":    testCA - 2*testOverlap - time.Minute,
		"almost a day back":         -23 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 1, 2)
			c.settle()
			c.wall = c.wall.Add(jump)
			c.check() // at once: before any replica took a turn
			c.pass(2 * rotation)
			require.NoError(t, c.atRest())

			c.wall = c.wall.Add(-jump) // and back
			if jump < skew {
				c.check()
				c.pass(2 * rotation)
			} else {
				// What was made since is valid in the future only.
				c.outage(2 * rotation)
			}
			require.NoError(t, c.atRest())
			c.check()
		})
	}
	t.Run("past the CA's end there is a new one at once", func(t *testing.T) {
		c := newCluster(t, 1, 2)
		c.settle()
		c.wall = c.wall.Add(testCA + time.Minute)
		assert.ErrorContains(t, c.replicas[0].Ready(), "the certificate expired at")
		c.outage(time.Second)
		c.pass(2 * rotation)
		require.NoError(t, c.atRest())
	})
}

func TestALeafIsRenewedAtTwoThirdsOfItsLife(t *testing.T) {
	c := newCluster(t, 1, 1)
	c.settle()
	ca, _ := Expiry(c.replicas[0])
	c.wall = ca.Add(-testLeaf/3 - time.Second)
	c.tick(0)
	same, _ := Expiry(c.replicas[0])
	assert.Equal(t, ca, same)
	c.wall = c.wall.Add(2 * time.Second)
	renewed, err := Expiry(c.replicas[0]) // by a handshake alone
	require.NoError(t, err)
	assert.Equal(t, c.wall.Add(testLeaf), renewed)
}

func TestLeavesAreRenewedOnRequest(t *testing.T) {
	c := newCluster(t, 1, 2)
	c.settle()
	var before []*tls.Certificate
	for _, m := range c.replicas {
		before = append(before, m.leaf.certificate)
	}
	ca := c.secret().Data[signingCertKey]
	c.annotate(RenewAnnotation, "1")
	c.tick(time.Second)
	for i, m := range c.replicas {
		assert.NotSame(t, before[i], m.leaf.certificate)
		before[i] = m.leaf.certificate
	}
	c.tick(time.Second)
	for i, m := range c.replicas {
		assert.Same(t, before[i], m.leaf.certificate, "once")
	}
	assert.Equal(t, ca, c.secret().Data[signingCertKey])
}

func TestOnlyCABundlesAreRepaired(t *testing.T) {
	foreign, err := newAuthority("other", time.Now(), testCA)
	require.NoError(t, err)
	for name, bundle := range map[string][]byte{"wiped": nil, "another CA": foreign.crt} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1, 2)
			c.settle()
			var wanted, damaged, repaired admissionregistrationv1.MutatingWebhookConfiguration
			require.NoError(t, c.api.Get(t.Context(), configName, &wanted))
			damaged = *wanted.DeepCopy()
			damaged.Webhooks[0].ClientConfig.CABundle = bundle
			// Somebody else's changes stay.
			damaged.Webhooks[1].TimeoutSeconds = new(int32(7))
			damaged.Webhooks = append(damaged.Webhooks, admissionregistrationv1.MutatingWebhook{
				Name: "elsewhere", ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: new("https://example.com"), CABundle: foreign.crt}})
			require.NoError(t, c.api.Update(t.Context(), &damaged))
			c.outage(time.Second)
			require.NoError(t, c.api.Get(t.Context(), configName, &repaired))
			damaged.Webhooks[0].ClientConfig.CABundle = wanted.Webhooks[0].ClientConfig.CABundle
			damaged.ResourceVersion, repaired.ResourceVersion = "", ""
			assert.Equal(t, damaged, repaired)
		})
	}
}

func TestNothingIsWrittenAtRest(t *testing.T) {
	c := newCluster(t, 1, 1)
	c.settle()
	c.replicas[0].renewedAt = c.elapsed
	before := c.writes
	for range 3 {
		c.turn(c.replicas[0])
	}
	assert.Equal(t, before, c.writes)
}

func TestAPatchOfAnOldVersionFails(t *testing.T) {
	patch, err := bundlePatch("17", []entry{{"a", service([]byte("new"))}, {"b", service([]byte("old"))}}, []byte("new"))
	require.NoError(t, err)
	assert.JSONEq(t, `[
		{"op": "test", "path": "/metadata/resourceVersion", "value": "17"},
		{"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": "bmV3"}
	]`, string(patch))
	patch, err = bundlePatch("17", []entry{{"a", service([]byte("new"))}}, []byte("new"))
	require.NoError(t, err)
	assert.Nil(t, patch)
}

func TestAReplicaIsNotReadyBeforeItsCAIsTrusted(t *testing.T) {
	c := newCluster(t, 1, 0)
	var mutating admissionregistrationv1.MutatingWebhookConfiguration
	require.NoError(t, c.api.Get(t.Context(), configName, &mutating))
	mutating.Annotations = map[string]string{"cert-manager.io/inject-ca-from": "kubetorch-system/x"}
	require.NoError(t, c.api.Update(t.Context(), &mutating))
	m := c.start()
	assert.ErrorIs(t, m.Ready(), errNone)
	c.turn(m)
	assert.ErrorContains(t, m.Ready(), "cert-manager.io/inject")
	require.NoError(t, c.api.Get(t.Context(), configName, &mutating))
	assert.Empty(t, mutating.Webhooks[0].ClientConfig.CABundle, "cert-manager fills that one in")

	for _, w := range []int{0, 1} {
		mutating.Webhooks[w].ClientConfig.CABundle = c.secret().Data[signingCertKey]
	}
	require.NoError(t, c.api.Update(t.Context(), &mutating))
	c.turn(m)
	assert.NoError(t, m.Ready())
}

func TestWithoutConfigurationsAReplicaIsReadyAndRotates(t *testing.T) {
	c := newCluster(t, 1, 2)
	for _, o := range []client.Object{
		&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: configName.Name}},
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: configName.Name}},
	} {
		require.NoError(t, c.api.Delete(t.Context(), o))
	}
	c.pass(testOverlap)
	for _, m := range c.replicas {
		require.NoError(t, m.Ready())
	}
	before := c.secret().Data[signingCertKey]
	c.annotate(RotateAnnotation, "1")
	c.pass(rotation)
	require.NoError(t, c.atRest())
	assert.NotEqual(t, before, c.secret().Data[signingCertKey])
}
