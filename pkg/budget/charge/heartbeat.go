package charge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubetorch/webhook/pkg/replica"
)

const (
	// ReplicaLabel is on the Lease of every replica; its value is the name of the
	// webhook's Service.
	ReplicaLabel = "policy.kubetorch.com/replica"
	// SeenAnnotation says which budgets the replica goes by.
	SeenAnnotation = "policy.kubetorch.com/seen"

	// renewEvery is how often a replica renews its Lease, at least.
	renewEvery = 3 * time.Second
	// FenceAfter is how long after its last renewal a replica lets no claim rise.
	FenceAfter = 15 * time.Second
	// GoneAfter is how long a Lease must have been seen unchanged before its replica counts
	// as gone. It is longer than FenceAfter whatever the two clocks show.
	GoneAfter = 2 * FenceAfter
)

// Seen is what a replica goes by.
type Seen struct {
	// Budgets are their versions (policy.Version), by name.
	Budgets map[string]string `json:"budgets"`
	// Rules is the digest of what GPUs are counted by.
	Rules string `json:"rules"`
	// Bases is whether it reads ledgers with a base.
	Bases bool `json:"bases,omitempty"`
}

// Heartbeat tells the controller, in a Lease, which budgets this replica goes by. Without
// it a replica that is cut off from the API server could go on admitting workloads by
// budgets that have changed: it stops when it can no longer renew.
type Heartbeat struct {
	Client    kubernetes.Interface
	Namespace string
	// Service is the name of the webhook's Service, Identity that of the replica.
	Service, Identity string
	// Address is the host and port at which other replicas reach this one; empty where they do not. Nil is the
	// same.
	Address func() string
	// Seen is what the replica goes by; ok is false as long as it knows nothing.
	Seen func() (seen Seen, ok bool)
	// Live are the versions of the budgets that there are, read uncached, and the rules by
	// which they were counted, "" for one that was not.
	Live func(context.Context) (versions, rules map[string]string, err error)
	Log  logr.Logger

	once sync.Once
	wake chan struct{}

	tries int // of the goroutine that renews

	mu      sync.Mutex
	renewed time.Time // when the last renewal was begun
	current bool      // whether all that was there when the Lease was taken up is seen
	begun   bool      // whether it ever was
	problem error
}

// Changed tells that Seen changed. It never blocks.
func (p *Heartbeat) Changed() {
	p.init()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Heartbeat) init() { p.once.Do(func() { p.wake = make(chan struct{}, 1) }) }

// Holds is nil while this replica may let claims rise.
func (p *Heartbeat) Holds() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.renewed.IsZero(), !p.current && p.problem == nil:
		return errors.New("this replica is not known to the others yet")
	case !p.current:
		return p.problem
	case time.Since(p.renewed) >= FenceAfter:
		return fmt.Errorf("this replica has lost touch with the API server: %w", p.problem)
	}
	return nil
}

// Begun is nil once this replica has been ready to let claims rise.
func (p *Heartbeat) Begun() error {
	p.mu.Lock()
	begun := p.begun
	p.mu.Unlock()
	if begun {
		return nil
	}
	return p.Holds()
}

// NeedLeaderElection tells the manager that every replica is present.
func (*Heartbeat) NeedLeaderElection() bool { return false }

// Start renews the Lease until the context ends.
func (p *Heartbeat) Start(ctx context.Context) error {
	p.init()
	for ctx.Err() == nil {
		err := p.renew(ctx)
		if err != nil && ctx.Err() == nil {
			p.Log.Error(err, "cannot renew the replica's lease")
		}
		p.mu.Lock()
		p.problem = err
		p.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-time.After(renewEvery):
		}
	}
	return nil
}

func (p *Heartbeat) renew(ctx context.Context) error {
	begun := time.Now()
	p.mu.Lock()
	lapsed := begun.Sub(p.renewed) >= FenceAfter
	if lapsed {
		p.current = false // budgets may have come into force without this replica
	}
	current := p.current
	p.mu.Unlock()

	if _, ok := p.Seen(); !ok {
		// It could let nothing rise, and nobody has to wait for it.
		return p.again(errors.New("policies are not read yet"))
	}
	ctx, cancel := context.WithTimeout(ctx, FenceAfter/2)
	defer cancel()
	if err := p.write(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	p.renewed = begun
	p.mu.Unlock()
	if current {
		return nil
	}
	// From here on the controller waits for this replica before a budget comes into force.
	// What is in force already has to be seen now.
	live, rules, err := p.Live(ctx)
	if err != nil {
		return fmt.Errorf("reading the budgets: %w", err)
	}
	seen, _ := p.Seen()
	for name, version := range live {
		// With other rules it might take for no claim what is one. Should it be ahead, the
		// budget is counted again.
		if seen.Budgets[name] != version || (rules[name] != "" && rules[name] != seen.Rules) {
			return p.again(fmt.Errorf("waiting for budget %s", name))
		}
	}
	p.mu.Lock()
	p.tries = 0
	p.current, p.begun = true, true
	p.mu.Unlock()
	return nil
}

// again has the next try come soon, and later each time.
func (p *Heartbeat) again(err error) error {
	pause := min(renewEvery, 50*time.Millisecond<<min(p.tries, 10))
	p.tries++
	time.AfterFunc(pause, p.Changed)
	return err
}

func (p *Heartbeat) write(ctx context.Context) error {
	seen, _ := p.Seen()
	text, err := json.Marshal(seen)
	if err != nil {
		return fmt.Errorf("writing what is seen: %w", err)
	}
	annotations := map[string]string{SeenAnnotation: string(text)}
	if p.Address != nil {
		if address := p.Address(); address != "" {
			annotations[AddressAnnotation] = address
		}
	}
	lease := replica.Lease{Name: leaseName(p.Identity), Namespace: p.Namespace, Identity: p.Identity,
		Label: ReplicaLabel, Service: p.Service, Annotations: annotations,
		Renewed: time.Now(), Duration: FenceAfter}
	// Whatever is there: it is nobody else's.
	_, err = p.Client.CoordinationV1().Leases(p.Namespace).Apply(ctx, lease.Configuration(), metav1.ApplyOptions{FieldManager: "kubetorch-webhook-presence", Force: true})
	if err != nil {
		return fmt.Errorf("writing lease %s/%s: %w", p.Namespace, lease.Name, err)
	}
	return nil
}

// leaseName is the name of a replica's Lease.
func leaseName(identity string) string { return "replica-" + identity }
