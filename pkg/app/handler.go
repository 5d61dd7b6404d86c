package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/registration"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/tracing"
	"github.com/kubetorch/webhook/pkg/workload"
)

// snapshot is what verdicts are based on. It is replaced as a whole, never changed.
type snapshot struct {
	policies *policy.Set
	budgets  *policy.Budgets
	knative  *knative.Config
}

// requestHandler reads what a request's verdict needs and hands both to package review.
type requestHandler struct {
	current atomic.Pointer[snapshot]
	// missing says why there is no snapshot yet.
	missing func() error
	// namespaceLabels gives the labels of a namespace; known is false if there is no
	// such namespace to be seen. An error means that the labels could not be read.
	namespaceLabels func(ctx context.Context, name string) (labels map[string]string, known bool, err error)
	// revisions reads revisions by name, leaving out those that do not exist.
	revisions func(ctx context.Context, namespace string, names []string) (map[string]map[string]any, error)
	// relatedReader reads what else a Deployment's verdict depends on; nil without a cluster.
	related *relatedReader
	// charging charges admissions to budgets; nil does not.
	charging *charging
	// products are those of the nodes' GPUs; nil without a cluster.
	products func(context.Context) ([]string, error)
	// tell says somewhere else what an admission warns of; nil does not.
	tell func(*review.Request, []string)
	// decided is told what policies decided of each request; nil tells nobody.
	decided func([]review.Decision)
	// reader reads what the verdict on what has pods depends on; nil where there is nothing to ask.
	reader cluster.Reader
	// remembered is what was admitted; nil in a cluster, which stores it.
	remembered *memory
	// self is the user that the controller is to the API server; nil without a cluster.
	self func() string
	// registered reads the UID of the validating webhook configuration; nil without a cluster.
	registered func(context.Context) (string, error)
	// registrar watches the webhook configurations; nil without a cluster.
	registrar *registration.Registrar
}

// ready is nil once requests can be decided.
func (e *requestHandler) ready() error {
	if e.current.Load() != nil {
		if e.charging != nil && e.charging.begun != nil {
			return e.charging.begun()
		}
		return nil
	}
	if e.missing != nil {
		if err := e.missing(); err != nil {
			return err
		}
	}
	return errors.New("policies and configuration are not read yet")
}

func (e *requestHandler) mutate(ctx context.Context, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return e.decide(ctx, request, tracing.Expand, (*review.Request).Mutate, nil)
}

func (e *requestHandler) validate(ctx context.Context, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	if request.Operation == admissionv1.Delete && e.charging != nil && e.charging.release != nil && (request.DryRun == nil || !*request.DryRun) {
		e.charging.release(request.Namespace, review.Released(request)...)
		if e.remembered != nil {
			e.remembered.forget(request)
		}
	}
	return e.decide(ctx, request, tracing.Judge, (*review.Request).Validate, e.charging)
}

func (e *requestHandler) decide(ctx context.Context, request *admissionv1.AdmissionRequest, name string, judge judge, charging *charging) *admissionv1.AdmissionResponse {
	now := e.current.Load()
	operators := workload.BuiltInOperators()
	if now != nil {
		operators = now.policies.Operators()
	}
	r, response := review.ReadWith(request, operators)
	if response != nil {
		return response
	}
	if now == nil {
		return unavailable(fmt.Errorf("starting: %w", e.ready()))
	}
	world, err := e.resolve(ctx, r, now, charging != nil)
	if errors.Is(err, errGone) {
		return review.Allow(request.UID)
	}
	if err == nil {
		_, step := tracing.Step(ctx, name)
		response, err = judge(r, ctx, world)
		step.End()
	}
	var judged []string
	if err == nil {
		judged = slices.Clone(response.Warnings) // what is left in a budget is no warning for later
	}
	if err == nil && !response.Allowed && charging != nil {
		response = charging.refit(ctx, r, world, now, response)
	}
	if err == nil && response.Allowed && charging != nil {
		ctx, step := tracing.Step(ctx, tracing.Charge)
		response, err = charging.admit(ctx, r, world, now, response)
		step.End()
	}
	if err != nil {
		return unavailable(err)
	}
	if e.products != nil && response.Allowed && r.NamesTypes() {
		// Whether there are such nodes is nothing that a policy hangs on: one that is not known is not told of.
		if products, err := e.products(ctx); err == nil {
			unknown := r.TypesOfNoNode(products)
			response.Warnings, judged = append(response.Warnings, unknown...), append(judged, unknown...)
		}
	}
	if e.tell != nil && response.Allowed {
		e.tell(r, judged)
	}
	if e.decided != nil {
		e.decided(r.Decisions())
	}
	if e.remembered != nil && response.Allowed && charging != nil && !r.DryRun() {
		e.remembered.keep(r)
	}
	return response
}

// judge is a step of package review.
type judge func(*review.Request, context.Context, review.World) (*admissionv1.AdmissionResponse, error)

// errGone is about what is scaled: nothing is known of it, or it is gone, and its scale with it.
var errGone = errors.New("what is scaled is gone")

// world is what verdicts in a namespace are based on.
func (e *requestHandler) world(ctx context.Context, now *snapshot, namespace string) (review.World, error) {
	w := review.World{Policies: now.policies, Knative: now.knative, Reader: e.reader, Budgets: now.budgets}
	if e.self != nil {
		w.Self = e.self()
	}
	labels, known := map[string]string(nil), true // an object of the cluster, such as a policy, is in no namespace
	if namespace != "" {
		var err error
		if labels, known, err = e.namespaceLabels(ctx, namespace); err != nil {
			return w, err
		}
	}
	w.NamespaceLabels = func(string) (map[string]string, bool) { return labels, known }
	return w, nil
}

// resolve reads what a verdict depends on.
func (e *requestHandler) resolve(ctx context.Context, r *review.Request, now *snapshot, charges bool) (review.World, error) {
	ctx, step := tracing.Step(ctx, tracing.Resolve)
	defer step.End()
	namespace := r.Namespace()
	w, err := e.world(ctx, now, namespace)
	if err != nil {
		return w, err
	}
	if name := r.Scaled(); name != "" {
		if e.reader == nil {
			return w, errGone
		}
		scaled, err := e.reader.Get(ctx, r.Kind(), namespace, name)
		if err != nil {
			return w, err
		}
		if scaled == nil {
			return w, errGone
		}
		r.ScaleOf(scaled)
	}
	if e.related != nil {
		w.Live = e.related
		lookups := r.Lookups(w.Self)
		if w.Cluster, err = e.related.of(ctx, namespace, lookups); err != nil {
			return w, err
		}
		if lookups.Around && w.Cluster.Knative {
			if w.Around, err = e.related.around(ctx, namespace, review.AroundKinds()); err != nil {
				return w, err
			}
		}
	}
	if e.registered != nil && r.HangsOnRecord(w) {
		if w.Registered, err = e.registered(ctx); err != nil {
			return w, err
		}
	}
	if names := r.NamedRevisions(); len(names) > 0 {
		if w.Revisions, err = e.revisions(ctx, namespace, names); err != nil {
			return w, err
		}
	}
	if !charges {
		return w, nil
	}
	if err := r.Resolve(ctx, w); err != nil {
		return w, err
	}
	if e.reader != nil && r.NeedsUsers(w) {
		users, err := e.templateUsers(ctx, r, w)
		if err != nil {
			return w, err
		}
		r.SetUsers(users)
	}
	return w, err
}

// unavailable refuses because something could not be read; the same request may
// pass a moment later.
func unavailable(err error) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusServiceUnavailable,
		Reason:  metav1.StatusReasonServiceUnavailable,
		Message: fmt.Sprintf("kubetorch-webhook cannot decide now, please retry: %v", err),
		Details: &metav1.StatusDetails{RetryAfterSeconds: 1},
	}}
}
