package certificate

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubetorch/webhook/pkg/replica"
)

const (
	// ServesLabel is on the Lease in which a replica says which CA it serves from; its value
	// is the name of the webhook's Service.
	ServesLabel = "kubetorch.com/certificate-of"
	// ServesAnnotation is that CA, as the SHA-256 digest of its PEM.
	ServesAnnotation = "kubetorch.com/serves-from-ca"
	// missedRenewals is how many a replica may miss, beyond the overlap, before it counts as
	// gone.
	missedRenewals = 3
	// goodbye is how long a replica that ends may take to delete its Lease.
	goodbye = 2 * time.Second
)

func (m *Managed) lease() string { return "certificate-" + m.Identity }

// publish renews this replica's Lease. first tells that it was not there before.
func (m *Managed) publish(ctx context.Context) (first bool, err error) {
	m.mu.Lock()
	served, leaving := fingerprint(m.serving.crt), m.leaving
	m.mu.Unlock()
	now := m.elapsed()
	if leaving || (m.published == served && now-m.renewedAt < m.interval()) {
		return false, nil
	}
	lease := replica.Lease{Name: m.lease(), Namespace: m.Secret.Namespace, Identity: m.Identity,
		Label: ServesLabel, Service: m.Service, Annotations: map[string]string{ServesAnnotation: served},
		Renewed: m.wall(), Duration: m.silence()}
	if err := m.Client.Apply(ctx, lease.Configuration(), client.FieldOwner("kubetorch-webhook-certificates"), client.ForceOwnership); err != nil {
		return false, fmt.Errorf("writing lease %s/%s: %w", m.Secret.Namespace, m.lease(), err)
	}
	first = m.published == ""
	m.published, m.renewedAt = served, now
	return first, nil
}

// silence is after how long without a renewal a replica counts as gone.
func (m *Managed) silence() time.Duration { return m.Overlap + missedRenewals*m.interval() }

// follow notes whether every replica serves from the CA that signs, and deletes the Leases
// of those that are gone.
func (m *Managed) follow(ctx context.Context, state authorities) error {
	var list coordinationv1.LeaseList
	if err := m.Reader.List(ctx, &list, client.InNamespace(m.Secret.Namespace), client.MatchingLabels{ServesLabel: m.Service}); err != nil {
		return fmt.Errorf("listing the leases of the replicas: %w", err)
	}
	now := m.elapsed()
	own, same, served := false, true, ""
	if state.signing != nil {
		served = fingerprint(state.signing.crt)
	}
	for i, silent := range m.silences.Of(list.Items, now) {
		l := &list.Items[i]
		if l.Name == m.lease() {
			own = true
		} else if silent >= m.silence() {
			// One that is renewed meanwhile has another version and stays.
			err := m.Client.Delete(ctx, l, client.Preconditions{ResourceVersion: &l.ResourceVersion})
			if err == nil || apierrors.IsNotFound(err) {
				continue
			}
		}
		same = same && l.Annotations[ServesAnnotation] == served
	}
	if m.published != "" && !own {
		m.published = "" // somebody deleted it
	}
	began, ok := m.moved[served]
	m.moved = map[string]time.Duration{}
	if own && same && served != "" {
		if !ok {
			began = now
		}
		m.moved[served] = began
	}
	return nil
}

// NeedLeaderElection tells the manager that every replica says goodbye.
func (*Managed) NeedLeaderElection() bool { return false }

// Start deletes this replica's Lease when the context ends, so that no rotation waits for it.
func (m *Managed) Start(ctx context.Context) error {
	<-ctx.Done()
	m.mu.Lock()
	m.leaving = true
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: m.Secret.Namespace, Name: m.lease()}}
	if err := m.Client.Delete(ctx, lease); client.IgnoreNotFound(err) != nil {
		m.Log.Info("cannot delete this replica's lease; others wait until it is stale", "error", err.Error())
	}
	return nil
}
