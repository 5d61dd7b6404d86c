package deployments

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// Lead runs something in one replica at a time. Losing the lease ends only that: the
// process goes on serving, and runs for the lease again.
type Lead struct {
	Client kubernetes.Interface
	Lease  types.NamespacedName
	// Identity of the replica. One that keeps it over a restart takes its lease up again
	// at once; no two processes may use the same one at the same time.
	Identity string
	// Run works until its context ends.
	Run func(context.Context) error
	Log logr.Logger

	office sync.Mutex
}

// NeedLeaderElection tells a manager that this is where leaders are elected.
func (*Lead) NeedLeaderElection() bool { return false }

// Start runs for the lease until the context ends.
func (l *Lead) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := l.term(ctx); err != nil {
			return err
		}
	}
	return nil
}

// term is one candidacy and, if it is won, the time in office.
func (l *Lead) term(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: l.Lease.Name,
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: l.Lease.Namespace, Name: l.Lease.Name},
			Client:     l.Client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: l.Identity},
		},
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				l.office.Lock() // until the previous term has ended
				defer l.office.Unlock()
				l.Log.Info("leading", "identity", l.Identity)
				if err := l.Run(ctx); err != nil {
					l.Log.Error(err, "the controllers stopped; handing the lease over")
					cancel()
				}
			},
			OnStoppedLeading: func() { l.Log.V(1).Info("not leading") },
		},
	})
	if err != nil {
		return fmt.Errorf("setting up leader election: %w", err)
	}
	elector.Run(ctx)
	return nil
}
