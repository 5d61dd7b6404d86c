// Package replica has each replica of the webhook say in Leases what it goes by, and tells from them how long
// other replicas have been silent.
package replica

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applyv1 "k8s.io/client-go/applyconfigurations/coordination/v1"
)

// Lease is what a replica says of itself.
type Lease struct {
	Name, Namespace string
	// Identity is the replica's, Label has the name of the webhook's Service, and Annotations what it goes by.
	Identity       string
	Label, Service string
	Annotations    map[string]string
	// Renewed is when, and Duration for how long, of at least a second.
	Renewed  time.Time
	Duration time.Duration
}

// Configuration is the Lease as its replica applies it.
func (l *Lease) Configuration() *applyv1.LeaseApplyConfiguration {
	return applyv1.Lease(l.Name, l.Namespace).
		WithLabels(map[string]string{l.Label: l.Service}).
		WithAnnotations(l.Annotations).
		WithSpec(applyv1.LeaseSpec().WithHolderIdentity(l.Identity).WithRenewTime(metav1.NewMicroTime(l.Renewed)).
			WithLeaseDurationSeconds(int32(max(time.Second, l.Duration) / time.Second)))
}

// Silences tell for how long Leases have been seen unchanged. What a Lease says of the time is never compared:
// only the clock of who looks counts, and the resource version changes with each renewal.
type Silences struct{ seen map[string]firstSeen }

// firstSeen is when a Lease was first seen with a resource version.
type firstSeen struct {
	version string
	at      time.Duration
}

// Of is for how long each of some Leases, which are all that there are, has been seen unchanged at a moment.
func (s *Silences) Of(leases []coordinationv1.Lease, now time.Duration) []time.Duration {
	seen := make(map[string]firstSeen, len(leases))
	silent := make([]time.Duration, len(leases))
	for i := range leases {
		l := &leases[i]
		first := firstSeen{l.ResourceVersion, now}
		if before, ok := s.seen[l.Name]; ok && before.version == first.version {
			first = before
		}
		seen[l.Name], silent[i] = first, now-first.at
	}
	s.seen = seen
	return silent
}
