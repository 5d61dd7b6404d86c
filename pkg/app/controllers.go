package app

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	auditcontroller "github.com/kubetorch/webhook/pkg/audit/controller"
	"github.com/kubetorch/webhook/pkg/deployments"
	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// addControllers sets up what runs in one replica at a time. lookAtAll has it look at everything again,
// after a change of policies or of Knative.
func (s *setup) addControllers(l *budgetParts) (lookAtAll func(), err error) {
	log := s.Log.WithName("deployments")
	c := deployments.New(deployments.ReconcilerOptions{
		Client: s.dynamic, Metadata: s.metadata, Detector: s.knative, Expand: s.handler.become,
		Events:   s.events,
		Excluded: s.excluded(), Log: log,
	})
	metrics, err := auditcontroller.NewAuditMetrics(s.registry)
	if err != nil {
		return nil, err
	}
	registrar := s.handler.registrar
	auditor := auditcontroller.New(auditcontroller.Auditor{
		Client: s.dynamic, Lists: s.lists, Knative: s.handler.knative, Complete: s.handler.counting, Excluded: s.excluded(),
		Interval: s.AuditInterval, NotRegistered: registrar.Problem, Events: s.events, OpenReports: s.OpenReports,
		Metrics: metrics, Log: s.Log.WithName("audit"),
	})
	s.knative.OnChange(auditor.Changed)
	registrar.Changed = func() {
		auditor.Changed()
		l.controller.Changed()
	}
	lead := &deployments.Lead{
		Client: s.typed, Lease: types.NamespacedName{Namespace: s.Namespace, Name: s.Service},
		Identity: s.replica, Run: all(c.Run, auditor.Run, l.run, registrar.Lead), Log: log,
	}
	return func() {
		c.LookAtAll()
		auditor.Changed()
		l.heartbeat.Changed()
		l.controller.Changed()
	}, s.mgr.Add(lead)
}

// all runs several things until the context ends, or one of them fails.
func all(run ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		for _, f := range run {
			group.Go(func() error { return f(ctx) })
		}
		return group.Wait()
	}
}

// counting has policies count as those do that are in use: by the DeviceClasses and the kinds of operators.
func (e *requestHandler) counting(set *policy.Set) *policy.Set {
	now := e.current.Load()
	if now == nil {
		return set
	}
	return set.CountingAs(now.policies)
}

// knative is the configuration in use.
func (e *requestHandler) knative() (*knative.Config, error) {
	now := e.current.Load()
	if now == nil {
		return nil, fmt.Errorf("starting: %w", e.ready())
	}
	return now.knative, nil
}

// replica names this process: by its pod where it knows it, since a pod runs one process
// at a time, else by chance.
func replica() string {
	if name := os.Getenv("POD_NAME"); name != "" {
		return name
	}
	return string(uuid.NewUUID())
}

// become says what a stored Deployment is to become, for the controller.
func (e *requestHandler) become(ctx context.Context, deployment, service map[string]any) (deployments.Expansion, error) {
	now := e.current.Load()
	if now == nil {
		return deployments.Expansion{}, fmt.Errorf("starting: %w", e.ready())
	}
	namespace := manifest.Text(deployment, "metadata", "namespace")
	w, err := e.world(ctx, now, namespace)
	if err != nil {
		return deployments.Expansion{}, err
	}
	kinds := []schema.GroupKind{review.CoreServiceKind}
	if service == nil { // about to be made: with all that there is to say about it
		kinds = review.AroundKinds()
	}
	if e.related != nil && (service == nil || review.AsksServices(deployment)) {
		if w.Around, err = e.related.around(ctx, namespace, kinds); err != nil {
			return deployments.Expansion{}, err
		}
	}
	if e.registered != nil && len(handover.Exemptions(deployment)) > 0 {
		if w.Registered, err = e.registered(ctx); err != nil {
			return deployments.Expansion{}, err
		}
	}
	c, fixed, err := review.Become(ctx, w, deployment, service)
	if err != nil {
		return deployments.Expansion{}, err
	}
	x := deployments.Expansion{Service: c.Service, Fixed: fixed, Warnings: c.Verdict.Warnings}
	if c.Service == nil || c.Verdict.Refused() {
		x.Service, x.Refused = nil, c.Verdict.Reasons()
	}
	return x, nil
}
