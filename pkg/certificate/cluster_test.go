package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	testOverlap = time.Minute
	// testLag is how much later than they are written API servers see configurations here.
	testLag  = testOverlap * 3 / 4
	testLeaf = 24 * time.Hour
	testCA   = 30 * 24 * time.Hour
)

var (
	caSecret   = types.NamespacedName{Namespace: "kubetorch-system", Name: "kubetorch-webhook-ca"}
	configName = types.NamespacedName{Name: "kubetorch-webhook"}
)

// cluster is an API server in memory and the replicas of a webhook, under one clock.
type cluster struct {
	t        *testing.T
	api      client.WithWatch
	random   *rand.Rand
	wall     time.Time
	elapsed  time.Duration
	replicas []*Managed
	made     int
	// seen are the configurations' bundles since they were last all there.
	seen []bundles
	// busy keeps a replica's turn from being interrupted twice. racing turns that on.
	busy, racing bool
	// started is false until all are ready for the first time.
	started bool
	writes  int
}

type bundles struct {
	at  time.Duration
	all [][]byte
}

func service(bundle []byte) admissionregistrationv1.WebhookClientConfig {
	return admissionregistrationv1.WebhookClientConfig{
		CABundle: bundle,
		Service:  &admissionregistrationv1.ServiceReference{Namespace: "kubetorch-system", Name: "kubetorch-webhook"},
	}
}

func newCluster(t *testing.T, seed uint64, replicas int) *cluster {
	t.Helper()
	c := &cluster{t: t, random: rand.New(rand.NewPCG(seed, 0)), wall: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	meta := metav1.ObjectMeta{Name: configName.Name, Labels: map[string]string{"app.kubernetes.io/part-of": "kubetorch"}}
	c.api = fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(
		&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionregistrationv1.MutatingWebhook{
			{Name: "a", ClientConfig: service(nil), TimeoutSeconds: new(int32(3))}, {Name: "b", ClientConfig: service(nil)}}},
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionregistrationv1.ValidatingWebhook{
			{Name: "c", ClientConfig: service(nil), MatchPolicy: new(admissionregistrationv1.Exact)}}},
	).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			c.interrupt()
			return w.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			c.interrupt()
			return w.Update(ctx, o, opts...)
		},
		Apply: func(ctx context.Context, w client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			c.interrupt()
			return w.Apply(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, w client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			c.interrupt()
			if err := w.Patch(ctx, o, p, opts...); err != nil {
				return err
			}
			c.note()
			return nil
		},
	}).Build()
	for range replicas {
		c.start()
	}
	return c
}

// interrupt has another replica take its turn just before a write of this one.
func (c *cluster) interrupt() {
	c.writes++
	if !c.racing || c.busy || len(c.replicas) == 0 || c.random.IntN(2) == 0 {
		return
	}
	c.busy = true
	c.turn(c.replicas[c.random.IntN(len(c.replicas))])
	c.busy = false
}

// start adds a replica. It serves once it is ready.
func (c *cluster) start() *Managed {
	c.made++
	m := NewManaged(ManagedOptions{
		Reader: c.api, Client: c.api, Secret: caSecret, Configuration: configName.Name,
		Service: "kubetorch-webhook", Identity: fmt.Sprintf("pod-%d", c.made),
		LeafLifetime: testLeaf, CALifetime: testCA, Overlap: testOverlap, Log: logr.Discard(),
	})
	m.wall, m.elapsed = func() time.Time { return c.wall }, func() time.Duration { return c.elapsed }
	c.replicas = append(c.replicas, m)
	return m
}

// turn lets a replica do what it has to. Lost races are tried again at the next turn.
func (c *cluster) turn(m *Managed) { _, _ = m.Reconcile(c.t.Context(), reconcile.Request{}) }

// configurations are the two, as they are.
func (c *cluster) configurations() []*configuration {
	all, err := readConfigurations(c.t.Context(), c.api, configName.Name)
	require.NoError(c.t, err)
	return all
}

// note remembers what the configurations say.
func (c *cluster) note() {
	b := bundles{at: c.elapsed}
	for _, configuration := range c.configurations() {
		for _, e := range configuration.entries {
			if e.config.Service != nil && !holds(b.all, e.config.CABundle) {
				b.all = append(b.all, e.config.CABundle)
			}
		}
	}
	c.seen = append(c.seen, b)
}

// check fails the test if an API server could not verify a ready replica, whichever version
// of the configurations it goes by that is not older than testLag.
func (c *cluster) check() {
	c.t.Helper()
	if !c.started {
		return
	}
	for len(c.seen) > 1 && c.seen[1].at < c.elapsed-testLag {
		c.seen = c.seen[1:]
	}
	checked := map[string]bool{}
	for _, b := range c.seen {
		for _, m := range c.replicas {
			if m.Ready() != nil {
				continue
			}
			for _, bundle := range b.all {
				if done := m.Identity + string(bundle); checked[done] {
					continue
				} else {
					checked[done] = true
				}
				require.NoError(c.t, c.verify(m, bundle), "%s after %s, by the caBundle of %s", m.Identity, c.elapsed, b.at)
			}
		}
	}
}

func (c *cluster) verify(m *Managed, bundle []byte) error {
	certificate, err := m.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	_, err = certificate.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "kubetorch-webhook.kubetorch-system.svc", CurrentTime: c.wall})
	return err
}

// pass lets time pass in small steps, in each of which every replica takes a turn.
func (c *cluster) pass(d time.Duration) {
	c.t.Helper()
	for end := c.elapsed + d; c.elapsed < end; {
		c.tick(testOverlap / 12)
	}
}

func (c *cluster) tick(d time.Duration) {
	c.t.Helper()
	c.wall, c.elapsed = c.wall.Add(d), c.elapsed+d
	for _, i := range c.random.Perm(len(c.replicas)) {
		c.turn(c.replicas[i])
		c.check()
	}
}

// outage lets time pass in which verifying may fail.
func (c *cluster) outage(d time.Duration) {
	c.t.Helper()
	c.started = false
	c.pass(d)
	c.started, c.seen = true, nil
	c.note()
	c.check()
}

// settle starts the replicas up.
func (c *cluster) settle() {
	c.t.Helper()
	c.pass(testOverlap)
	for _, m := range c.replicas {
		require.NoError(c.t, m.Ready(), m.Identity)
	}
	c.started, c.seen = true, c.seen[len(c.seen)-1:]
	c.check()
}

func (c *cluster) secret() *corev1.Secret {
	secret := &corev1.Secret{}
	require.NoError(c.t, c.api.Get(c.t.Context(), caSecret, secret))
	return secret
}

func (c *cluster) edit(change func(*corev1.Secret)) {
	c.t.Helper()
	secret := c.secret()
	change(secret)
	busy := c.busy
	c.busy = true
	require.NoError(c.t, c.api.Update(c.t.Context(), secret))
	c.busy = busy
}

func (c *cluster) annotate(key, value string) {
	c.t.Helper()
	c.edit(func(s *corev1.Secret) {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[key] = value
	})
}

// atRest is whether there is one CA, all configurations hold it alone, and all replicas serve
// from it.
func (c *cluster) atRest() error {
	secret := c.secret()
	if len(secret.Data) != 3 || !bytes.Equal(secret.Data[signingCertKey], secret.Data[signingCAKey]) {
		return fmt.Errorf("the Secret has %d keys", len(secret.Data))
	}
	for _, m := range c.replicas {
		if err := c.verify(m, secret.Data[signingCertKey]); err != nil {
			return fmt.Errorf("%s: %w", m.Identity, err)
		}
	}
	for _, configuration := range c.configurations() {
		for _, e := range configuration.entries {
			if !bytes.Equal(e.config.CABundle, secret.Data[signingCertKey]) {
				return fmt.Errorf("%s holds another caBundle", e.name)
			}
		}
	}
	return nil
}
