package charge

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

const (
	// AddressAnnotation is on the Lease of a replica: the host and port at which other replicas reach it.
	AddressAnnotation = "policy.kubetorch.com/address"

	// findEvery is how often a replica looks which one leads.
	findEvery = 2 * time.Second
	// avoidFor is how long a writer that did not answer is left alone at first; then twice as long each time, up to
	// avoidLongest: where replicas cannot reach each other, hardly anybody waits for that.
	avoidFor, avoidLongest = 2 * time.Second, 2 * time.Minute
)

// Writer knows which replica writes the ledgers for all: the one that leads. Every replica may write them,
// since each write is a compare-and-swap, but several that do so at once have most of their writes refused.
type Writer struct {
	Client kubernetes.Interface
	// Lease is that of the leader election, and Identity is this replica's in it.
	Lease    types.NamespacedName
	Identity string
	Log      logr.Logger

	mu      sync.Mutex
	address string
	// failures are how often it did not answer since it last did, failed is when that was noted last, and until is when
	// it is asked again.
	failures      int
	failed, until time.Time
}

// Address is where the writer is; empty where this replica writes itself: it leads, nobody does, or the one
// that does has not answered lately. Of one that did not, one demand at a time finds out whether it does again.
func (w *Writer) Address() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if now.Before(w.until) {
		return ""
	}
	if w.failures > 0 {
		w.until = now.Add(forwardTimeout)
	}
	return w.address
}

// Answered notes that the writer at an address did.
func (w *Writer) Answered(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.address == address {
		w.failures, w.until = 0, time.Time{}
	}
}

// Avoid has this replica write itself for a while, since the writer at an address did not answer at a time.
func (w *Writer) Avoid(address string, asked time.Time, why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.address != address || asked.Before(w.failed) {
		return // of those that asked at the same time one counts
	}
	avoid := min(avoidLongest, avoidFor<<min(w.failures, 10))
	w.failures++
	w.failed = time.Now()
	w.until = w.failed.Add(avoid)
	w.Log.Info("writing ledgers itself for a while: the replica that leads does not answer", "address", address, "for", avoid.String(), "reason", why.Error())
}

// NeedLeaderElection tells the manager that every replica looks.
func (*Writer) NeedLeaderElection() bool { return false }

// Start looks which replica leads until the context ends.
func (w *Writer) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		address, err := w.find(ctx)
		if err != nil && ctx.Err() == nil {
			w.Log.V(1).Info("cannot tell which replica leads", "reason", err.Error())
		}
		w.mu.Lock()
		if w.address != address {
			w.address, w.failures, w.until = address, 0, time.Time{}
		}
		w.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(findEvery):
		}
	}
	return nil
}

// find reads the address of the replica that leads; empty where it is this one, or none.
func (w *Writer) find(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, findEvery)
	defer cancel()
	leases := w.Client.CoordinationV1().Leases(w.Lease.Namespace)
	leading, err := leases.Get(ctx, w.Lease.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("reading lease %s: %w", w.Lease, err)
	case leading.Spec.HolderIdentity == nil, *leading.Spec.HolderIdentity == "", *leading.Spec.HolderIdentity == w.Identity:
		return "", nil
	}
	replica, err := leases.Get(ctx, leaseName(*leading.Spec.HolderIdentity), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("reading the lease of replica %s: %w", *leading.Spec.HolderIdentity, err)
	}
	return replica.Annotations[AddressAnnotation], nil
}
