package registration

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubetorch/webhook/pkg/manifest"
)

const (
	// FieldManager owns the rules.
	FieldManager = "kubetorch-webhook"
	// every is how often the configurations are looked at.
	every = 5 * time.Second
	// openAfter is how long after a probe found this replica ready the configurations are
	// opened: time for its endpoint to reach the API servers.
	openAfter = 3 * time.Second
	// soon is how often to look while they are closed.
	soon = 500 * time.Millisecond
)

// RegistrarOptions of a registrar. All are needed.
type RegistrarOptions struct {
	// Reader reads uncached, Writer writes.
	Reader client.Reader
	Writer client.Writer
	// Configuration is the name of both configurations.
	Configuration string
	Expected      Expected
	// Ready is how long ago a probe was first told that this replica is ready, and whether it
	// is ready now.
	Ready func() (since time.Duration, ready bool)
	// Verifies is nil if the CAs of a caBundle verify the certificate that is served.
	Verifies func(bundle []byte) error
	// Changed is told that the state differs from before.
	Changed func()
	Metrics *StateMetrics
	Log     logr.Logger
}

// Registrar opens the configurations once this replica has been ready, and tells whether they
// are as they are meant to be. It runs in every replica.
type Registrar struct {
	RegistrarOptions
	leads atomic.Bool

	mu      sync.Mutex
	problem string
	checked bool
}

// New makes a registrar.
func New(o RegistrarOptions) *Registrar { return &Registrar{RegistrarOptions: o} }

// NeedLeaderElection tells the manager that it runs in every replica.
func (*Registrar) NeedLeaderElection() bool { return false }

// Lead makes this replica the one that alters rules until the context ends. Replicas of two
// versions would else undo each other's work.
func (r *Registrar) Lead(ctx context.Context) error {
	r.leads.Store(true)
	<-ctx.Done()
	r.leads.Store(false)
	return nil
}

// Problem says why admissions are not, or not all, sent to the webhook; empty if they are, or
// if that is not known yet.
func (r *Registrar) Problem() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.problem
}

// Start looks at the configurations until the context ends.
func (r *Registrar) Start(ctx context.Context) error {
	for {
		closed, err := r.check(ctx)
		if err != nil && ctx.Err() == nil {
			r.Log.Error(err, "cannot look at the webhook configurations")
		}
		next := every
		if closed {
			next = soon
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(next):
		}
	}
}

// check looks once. closed is whether an entry waits for this replica to open it.
func (r *Registrar) check(ctx context.Context) (closed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, every)
	defer cancel()
	var problems []string
	for _, kind := range []string{mutating, validating} {
		d, found, err := r.look(ctx, kind)
		if err != nil {
			return false, err
		}
		r.Metrics.registered(kind, found && len(d.Problems) == 0)
		switch {
		case !found:
			problems = append(problems, fmt.Sprintf("the %s webhook configuration %s is missing", kind, r.Configuration))
		case len(d.Problems) > 0:
			problems = append(problems, fmt.Sprintf("%s webhook configuration %s: %s", kind, r.Configuration, listed(d.Problems)))
		}
		closed = closed || d.Closed
	}
	r.tell(strings.Join(problems, "; "))
	return closed, nil
}

// listed names some of many problems.
func listed(problems []string) string {
	const most = 5
	if len(problems) > most {
		problems = append(slices.Clone(problems[:most]), fmt.Sprintf("and %d more", len(problems)-most))
	}
	return strings.Join(problems, ", ")
}

const mutating, validating = "mutating", "validating"

// look reads one configuration, and opens it if it is closed and it is time.
func (r *Registrar) look(ctx context.Context, kind string) (d Difference, found bool, err error) {
	object, expected, entries, err := r.read(ctx, kind)
	if apierrors.IsNotFound(err) {
		return Difference{}, false, nil
	}
	if err != nil {
		return Difference{}, false, fmt.Errorf("reading the %s webhook configuration %s: %w", kind, r.Configuration, err)
	}
	d = r.Expected.compare(expected, entries(), r.Verifies)
	if !r.mayWrite(d) {
		return d, true, nil
	}
	patch, err := rulesPatch(object.GetResourceVersion(), d.Rules)
	if err != nil {
		return d, true, err
	}
	err = r.Writer.Patch(ctx, object, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(FieldManager))
	switch {
	case apierrors.IsInvalid(err), apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return d, true, nil // somebody else was faster; the next look sees what they did
	case err != nil:
		return d, true, fmt.Errorf("writing the rules of the %s webhook configuration %s: %w", kind, r.Configuration, err)
	}
	r.Log.Info("wrote the rules of webhooks: from now on what they are about is refused while no replica answers",
		"configuration", kind, "webhooks", len(d.Rules))
	return r.Expected.compare(expected, entries(), r.Verifies), true, nil
}

func (r *Registrar) read(ctx context.Context, kind string) (object client.Object, expected []WebhookEntry, entries func() []WebhookEntry, err error) {
	key := types.NamespacedName{Name: r.Configuration}
	if kind == validating {
		c := &admissionregistrationv1.ValidatingWebhookConfiguration{}
		return c, r.Expected.Validating, func() []WebhookEntry { return c.Webhooks }, r.Reader.Get(ctx, key, c)
	}
	c := &admissionregistrationv1.MutatingWebhookConfiguration{}
	return c, r.Expected.Mutating, func() []WebhookEntry {
		all := make([]WebhookEntry, len(c.Webhooks))
		for i, w := range c.Webhooks {
			all[i] = WebhookEntry{
				Name: w.Name, ClientConfig: w.ClientConfig, Rules: w.Rules, FailurePolicy: w.FailurePolicy,
				NamespaceSelector: w.NamespaceSelector, ObjectSelector: w.ObjectSelector, MatchConditions: w.MatchConditions,
			}
		}
		return all
	}, r.Reader.Get(ctx, key, c)
}

// mayWrite tells whether it is this replica's turn, and it answers.
func (r *Registrar) mayWrite(d Difference) bool {
	if len(d.Rules) == 0 || !d.Closed && !r.leads.Load() {
		return false
	}
	since, ready := r.Ready()
	return ready && since >= openAfter
}

// tell keeps the state, and logs a change of it.
func (r *Registrar) tell(problem string) {
	r.mu.Lock()
	changed := !r.checked || r.problem != problem
	first := !r.checked
	r.problem, r.checked = problem, true
	r.mu.Unlock()
	if !changed {
		return
	}
	switch {
	case problem != "":
		r.Log.Error(nil, "not registered as it should be: bounds and budgets do not hold for all that they are about", "why", problem)
	case !first:
		r.Log.Info("registered: everything that bounds and budgets are about is sent to the webhook")
	}
	if r.Changed != nil {
		r.Changed()
	}
}

// rulesPatch sets the rules of entries, of just the version that was read.
func rulesPatch(version string, rules map[int][]admissionregistrationv1.RuleWithOperations) ([]byte, error) {
	operations := []manifest.PatchOperation{{Op: "test", Path: "/metadata/resourceVersion", Value: version}}
	for i, r := range rules {
		operations = append(operations, manifest.PatchOperation{Op: "add", Path: fmt.Sprintf("/webhooks/%d/rules", i), Value: r})
	}
	return json.Marshal(operations)
}
