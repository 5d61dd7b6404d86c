package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kubetorch/webhook/pkg/replica"
)

// Managed is the certificate of a webhook that is its own authority.
//
// A Secret that all replicas share holds the CA. Each replica signs a certificate for
// itself, keeps it in memory and renews it when two thirds of its life are over. The CA is
// replaced when two thirds of its life are over, or on request (RotateAnnotation), with
// overlap:
//
//  1. The new CA joins the old one in the Secret and in the caBundle.
//  2. Once it has been there for Overlap, it signs, and replicas serve from it.
//  3. Once every replica has done so for Overlap, the old CA is dropped.
//
// Every replica takes these steps; a write that is based on an old version of the Secret or
// of a configuration fails, and is tried again on what is there now. Replicas say in a Lease
// each which CA they serve from.
//
// A Secret that is deleted or damaged is put in order from what a replica has in memory,
// which it goes on serving meanwhile.
type Managed struct {
	ManagedOptions

	// For tests: the wall clock, and the time since some moment, which no jump of it changes.
	wall    func() time.Time
	elapsed func() time.Duration

	mu      sync.Mutex
	serving *authority
	leaf    *leaf
	renewed string // the value of RenewAnnotation that the leaf answered
	trusted bool   // whether API servers could ever verify the leaf
	leaving bool
	problem error // why it is not trusted

	// Of the goroutine that reconciles.
	held      map[string]time.Duration // since when CAs are in every caBundle
	moved     map[string]time.Duration // since when every replica serves from a CA
	silences  replica.Silences
	published string // the CA in this replica's Lease
	renewedAt time.Duration
}

// ManagedOptions configure Managed. All are needed.
type ManagedOptions struct {
	// Reader reads uncached, Client writes.
	Reader client.Reader
	Client client.Client
	// Secret is the CA's.
	Secret types.NamespacedName
	// Configuration is the name of the mutating and of the validating configuration.
	Configuration string
	// Service is the name of the webhook's Service, Identity that of the replica.
	Service, Identity string
	// LeafLifetime and CALifetime are how long new certificates are valid.
	LeafLifetime, CALifetime time.Duration
	// Overlap is how long a CA is trusted before the first and after the last certificate of
	// it is served: longer than API servers take to learn of a change.
	Overlap time.Duration
	Log     logr.Logger
}

var _ Provider = (*Managed)(nil)

// NewManaged does nothing before SetupWithManager.
func NewManaged(o ManagedOptions) *Managed {
	began := time.Now()
	return &Managed{
		ManagedOptions: o,
		wall:           time.Now, elapsed: func() time.Duration { return time.Since(began) },
		held: map[string]time.Duration{}, moved: map[string]time.Duration{},
	}
}

// ServiceNames are the DNS names of a Service; the API server uses the first.
func ServiceNames(service types.NamespacedName) []string {
	short := service.Name + "." + service.Namespace
	return []string{short + ".svc", short, service.Name, short + ".svc.cluster.local"}
}

// Kind is part of Provider.
func (*Managed) Kind() string { return "self-managed" }

// GetCertificate is part of Provider. It renews a certificate whose time has come, so that a
// process that slept, or whose clock jumped, never serves an expired one.
func (m *Managed) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leaf == nil {
		return nil, errNone
	}
	if m.dueLocked(m.wall()) {
		if err := m.signLocked(m.serving, m.wall()); err != nil {
			m.Log.Error(err, "cannot renew the certificate")
		}
	}
	return m.leaf.certificate, nil
}

// Peer is part of Provider. Only replicas have the key of the CA. While it is being replaced some serve from the
// other one.
func (m *Managed) Peer(other *x509.Certificate) error {
	m.mu.Lock()
	by := m.serving
	m.mu.Unlock()
	if by == nil {
		return errNone
	}
	roots := x509.NewCertPool()
	roots.AddCert(by.certificate)
	name := ServiceNames(types.NamespacedName{Namespace: m.Secret.Namespace, Name: m.Service})[0]
	if _, err := other.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: m.wall(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return errNoPeer
	}
	return nil
}

// Ready is part of Provider.
func (m *Managed) Ready() error {
	if err := ready(m, m.wall()); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.trusted:
		return nil
	case m.problem != nil:
		return m.problem
	}
	return errors.New("no API server can verify the certificate yet")
}

// CAExpiry is when the CA ends whose certificate is served; zero if there is none.
func (m *Managed) CAExpiry() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.serving == nil {
		return time.Time{}
	}
	return m.serving.certificate.NotAfter
}

// dueLocked is whether the leaf is to be renewed, and can be.
func (m *Managed) dueLocked(now time.Time) bool {
	c := m.leaf.certificate.Leaf
	return (!now.Before(m.leaf.renewAt) || now.Before(c.NotBefore)) && m.serving.valid(now)
}

func (m *Managed) signLocked(by *authority, now time.Time) error {
	names := ServiceNames(types.NamespacedName{Namespace: m.Secret.Namespace, Name: m.Service})
	made, err := by.sign(names, now, m.LeafLifetime)
	if err != nil {
		return err
	}
	m.leaf, m.serving = made, by
	m.Log.Info("serving a new certificate", "ca", by.certificate.Subject.CommonName, "expires", made.certificate.Leaf.NotAfter)
	return nil
}

// maxSteps is how many steps are taken at once: a rotation has few, the rest are conflicts.
const maxSteps = 20

// Reconcile takes the next steps. An error has the controller try again, with backoff.
func (m *Managed) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	for range maxSteps {
		again, err := m.step(ctx)
		if err != nil {
			m.mu.Lock()
			m.problem = err
			m.mu.Unlock()
			return reconcile.Result{}, err
		}
		if !again {
			return reconcile.Result{RequeueAfter: m.interval()}, nil
		}
	}
	return reconcile.Result{}, errors.New("managing the certificate: too many conflicts")
}

// interval is how often to look, and to renew the Lease.
func (m *Managed) interval() time.Duration {
	return max(min(10*time.Second, m.Overlap/4, m.LeafLifetime/8), 50*time.Millisecond)
}

// step does at most one write. again asks for another step at once.
func (m *Managed) step(ctx context.Context) (again bool, err error) {
	// The configurations come first: their patch fails if they change from here on, so what
	// is written to them is never based on an older Secret than what is there.
	configurations, err := readConfigurations(ctx, m.Reader, m.Configuration)
	if err != nil {
		return false, err
	}
	secret := &corev1.Secret{}
	if err := m.Reader.Get(ctx, m.Secret, secret); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading the CA Secret: %w", err)
	}
	now := m.wall()
	state := readAuthorities(secret.Data, now)
	if state.problem != nil && secret.ResourceVersion == "" {
		state.problem = errors.New("it does not exist")
	}
	if err := m.follow(ctx, state); err != nil {
		return false, err
	}
	if wrote, err := m.advance(ctx, secret, state, now); wrote || err != nil {
		return wrote, err
	}
	if err := m.adopt(state, secret.Annotations[RenewAnnotation], now); err != nil {
		return false, err
	}
	if first, err := m.publish(ctx); first || err != nil {
		// The CA could have been replaced before the Lease was there. Now that it is, what is
		// read shows that, or others see the Lease.
		return first, err
	}
	for _, c := range configurations {
		if patched, err := c.repair(ctx, m.Client, state.trusted(), m.Log); patched || err != nil {
			return patched, err
		}
	}
	return false, m.observe(configurations, state)
}

// advance writes the Secret if there is a next step.
func (m *Managed) advance(ctx context.Context, secret *corev1.Secret, state authorities, now time.Time) (wrote bool, err error) {
	request := secret.Annotations[RotateAnnotation]
	m.mu.Lock()
	o := observation{
		now: now, serving: m.serving,
		requested: request != "" && request != secret.Annotations[RotatedAnnotation],
		make:      func() (*authority, error) { return newAuthority(m.Secret.Name, now, m.CALifetime) },
	}
	m.mu.Unlock()
	if state.next != nil {
		o.introduced = m.since(m.held, state.next)
	}
	if state.signing != nil {
		o.moved = m.since(m.moved, state.signing)
	}
	next, why, err := state.advance(o)
	if err != nil {
		return false, err
	}
	wanted := secret.DeepCopy()
	if wanted.Data == nil {
		wanted.Data = map[string][]byte{}
	}
	if !next.write(wanted.Data) {
		return false, nil
	}
	if next.next != nil && next.next != state.next && request != "" {
		wanted.Annotations = maps.Clone(wanted.Annotations)
		wanted.Annotations[RotatedAnnotation] = request
	}
	if secret.ResourceVersion == "" {
		wanted.ObjectMeta = metav1.ObjectMeta{
			Namespace: m.Secret.Namespace, Name: m.Secret.Name,
			Labels: map[string]string{"app.kubernetes.io/name": "kubetorch-webhook", "app.kubernetes.io/part-of": "kubetorch"},
		}
		wanted.Type = corev1.SecretTypeOpaque
		err = m.Client.Create(ctx, wanted)
	} else {
		err = m.Client.Update(ctx, wanted)
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err) && secret.ResourceVersion != "":
		return true, nil // another replica was faster
	case err != nil:
		return false, fmt.Errorf("writing the CA Secret: %w", err)
	}
	m.Log.Info("wrote the CA Secret", "why", why)
	return true, nil
}

// adopt signs a certificate if a new one is due, or from a CA that has begun to sign.
func (m *Managed) adopt(state authorities, renew string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.leaf == nil, !m.serving.valid(now):
		m.renewed = renew
		return m.signLocked(state.signing, now)
	case m.serving.certificate.Equal(state.signing.certificate):
		if !m.dueLocked(now) && renew == m.renewed {
			return nil
		}
		m.renewed = renew
		return m.signLocked(m.serving, now)
	case m.since(m.held, state.signing):
		m.renewed = renew
		return m.signLocked(state.signing, now)
	case m.dueLocked(now):
		return m.signLocked(m.serving, now)
	}
	return nil
}

// since is whether something has been so of a CA for Overlap.
func (m *Managed) since(times map[string]time.Duration, ca *authority) bool {
	began, ok := times[fingerprint(ca.crt)]
	return ok && m.elapsed()-began >= m.Overlap
}

// observe notes which CAs API servers trust.
func (m *Managed) observe(configurations []*configuration, state authorities) error {
	now := m.elapsed()
	held := map[string]time.Duration{}
	for _, crt := range state.trusted() {
		authority := fingerprint(crt)
		if !inAll(configurations, crt) {
			continue
		}
		held[authority] = now
		if before, ok := m.held[authority]; ok {
			held[authority] = before
		}
	}
	m.held = held

	m.mu.Lock()
	defer m.mu.Unlock()
	m.problem = nil
	if _, ok := held[fingerprint(m.serving.crt)]; ok {
		m.trusted = true
	} else if !m.trusted {
		m.problem = errors.New("the caBundle is another's to fill in (cert-manager.io/inject-...) and does not hold this webhook's CA")
	}
	return nil
}
