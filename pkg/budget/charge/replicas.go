package charge

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubetorch/webhook/pkg/replica"
)

// forgetAfter is when the Lease of a replica that is gone is deleted.
const forgetAfter = 10 * time.Minute

// Replicas follows the Leases of all replicas, for the controller.
type Replicas struct {
	Client             kubernetes.Interface
	Namespace, Service string

	began    time.Time
	silences replica.Silences
}

// All are what the replicas go by that are not known to be gone. It includes those that
// have just started.
func (r *Replicas) All(ctx context.Context) ([]Seen, error) {
	leases, err := r.Client.CoordinationV1().Leases(r.Namespace).List(ctx, metav1.ListOptions{LabelSelector: ReplicaLabel + "=" + r.Service})
	if err != nil {
		return nil, fmt.Errorf("listing the leases of the replicas: %w", err)
	}
	if r.began.IsZero() {
		r.began = time.Now()
	}
	var all []Seen
	for i, silent := range r.silences.Of(leases.Items, time.Since(r.began)) {
		l := &leases.Items[i]
		switch {
		case silent >= forgetAfter:
			// If it is renewed meanwhile, the version differs and it stays.
			_ = r.Client.CoordinationV1().Leases(r.Namespace).Delete(ctx, l.Name,
				metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &l.ResourceVersion}})
			continue
		case silent >= GoneAfter:
			continue
		}
		var s Seen
		if err := json.Unmarshal([]byte(l.Annotations[SeenAnnotation]), &s); err != nil {
			s = Seen{} // it goes by nothing that is known
		}
		all = append(all, s)
	}
	return all, nil
}

// ReadBases tells whether every replica reads ledgers with a base.
func ReadBases(replicas []Seen) bool {
	for _, s := range replicas {
		if !s.Bases {
			return false
		}
	}
	return len(replicas) > 0
}

// Agree tells whether every replica goes by a version of a budget, and by the rules.
func Agree(replicas []Seen, budget, version, rules string) bool {
	for _, s := range replicas {
		if s.Rules != rules || s.Budgets[budget] != version {
			return false
		}
	}
	return len(replicas) > 0
}
