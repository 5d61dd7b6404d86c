package app

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	budgetcontroller "github.com/kubetorch/webhook/pkg/budget/controller"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// margin is added to the API server's request timeout: what is written to storage at its
// last moment may take a little longer.
const margin = 5 * time.Second

// stored is a policy or a budget without a Go type: one that does not decode must not keep
// the others away.
func stored(kind string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	return o
}

// budgetParts is everything that a cluster's budgets need.
type budgetParts struct {
	charging   *charging
	heartbeat  *charge.Heartbeat
	writer     *charge.Writer
	controller *budgetcontroller.Controller
	watch      []func(context.Context)
}

// ledgers sets budgets up.
func (s *setup) ledgers() (*budgetParts, error) {
	writes, err := charge.NewWriteMetrics(s.registry)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	gauges, err := budgetcontroller.NewLedgerMetrics(s.registry)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	// Admissions make no bases, and hold to what can be stored: a count may yet settle it.
	api := &charge.API{Client: s.dynamic, Writes: s.budgets, Bases: &charge.Bases{Client: s.dynamic}, MaxBytes: charge.MaxBytes}
	api.Cache = func(ctx context.Context, name string) (*unstructured.Unstructured, error) {
		found := stored("GPUBudget")
		err := s.mgr.GetCache().Get(ctx, types.NamespacedName{Name: name}, found)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return found, err
	}
	l := &budgetParts{heartbeat: &charge.Heartbeat{
		Client: s.typed, Namespace: s.Namespace, Service: s.Service, Identity: s.replica, Seen: s.handler.seen, Live: api.Versions,
		Log: s.Log.WithName("presence"),
	}, writer: &charge.Writer{
		Client: s.typed, Lease: types.NamespacedName{Namespace: s.Namespace, Name: s.Service}, Identity: s.replica, Log: s.Log.WithName("writer"),
	}}
	l.heartbeat.Address = func() string { return s.server.reachedAt(s.mgr.GetConfig()) }
	charger := charge.NewCharger(api, writes)
	charger.UnseenShare, charger.NamespaceWait = int64(s.MaxUnseenShare), s.RequestTimeout+margin
	charger.Forward = charge.NewForwarder(l.writer, s.server.identity(), writes).Charge
	s.server.mux.Handle(charge.Path, charge.Handler(charger, s.server.identity()))
	l.charging = &charging{
		charge: charger.Charge, holds: l.heartbeat.Holds, begun: l.heartbeat.Begun,
		labels: namespacesAsTheyAre(s.namespaces).labels,
	}
	bases := &charge.Bases{Client: s.dynamic, Namespace: s.Namespace}
	l.controller = budgetcontroller.New(budgetcontroller.CountOptions{
		Store:         &charge.API{Client: s.dynamic, Writes: s.budgets, Bases: bases},
		Bases:         bases,
		Inventory:     func(ctx context.Context, count func(*cluster.Objects)) error { return s.lists.Use(ctx, count) },
		Replicas:      (&charge.Replicas{Client: s.typed, Namespace: s.Namespace, Service: s.Service}).All,
		World:         s.countingWorld,
		NotRegistered: s.handler.registrar.Problem,
		Excluded:      s.excluded(),
		Wait:          s.RequestTimeout + margin, Events: s.events, Metrics: gauges, Log: s.Log.WithName("budgets"),
	})
	for _, kind := range []cluster.Resource{cluster.Deployments, cluster.Services, cluster.Revisions} {
		l.watch = append(l.watch, func(ctx context.Context) { budgetcontroller.Watch(ctx, s.metadata, kind, l.controller.Changed) })
	}
	for _, kind := range []cluster.Resource{
		cluster.Jobs, cluster.ReplicaSets, cluster.ReplicationControllers, cluster.StatefulSets, cluster.Pods,
		cluster.HorizontalPodAutoscalers, cluster.ResourceClaims, cluster.ResourceClaimTemplates,
	} {
		l.watch = append(l.watch, func(ctx context.Context) { s.lists.Watch(ctx, kind, l.controller.Changed) })
	}
	l.watch = append(l.watch, func(ctx context.Context) { s.lists.WatchOperated(ctx, l.controller.Changed) })
	return l, nil
}

// countingWorld is what the count of all objects is based on; false before it is known.
func (s *setup) countingWorld() (review.World, bool) {
	now := s.handler.current.Load()
	if now == nil {
		return review.World{}, false
	}
	return review.World{Policies: now.policies, Knative: now.knative, Cluster: &review.Cluster{Knative: s.knative.Served()}}, true
}

// run counts, and watches for what may change the count.
func (l *budgetParts) run(ctx context.Context) error {
	for _, watch := range l.watch {
		go watch(ctx)
	}
	return l.controller.Run(ctx)
}

// namespacesAsTheyAre reads uncached only.
func namespacesAsTheyAre(n namespaces) namespaces { return namespaces{cached: n.live, live: n.live} }

// seen is what this replica goes by.
func (e *requestHandler) seen() (charge.Seen, bool) {
	now := e.current.Load()
	if now == nil {
		return charge.Seen{}, false
	}
	return charge.Seen{Budgets: now.budgets.Versions(), Rules: policy.Rules(now.policies, now.knative), Bases: true}, true
}

// readStored reads all objects of a kind from the cache, as they are stored.
func readStored(ctx context.Context, mgr ctrl.Manager, kind string) ([]manifest.Object, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
	if err := mgr.GetCache().List(ctx, list); err != nil {
		return nil, err
	}
	objects := make([]manifest.Object, len(list.Items))
	for i := range list.Items {
		objects[i] = list.Items[i].Object
	}
	return objects, nil
}

// eventSource is who events are from.
var eventSource = corev1.EventSource{Component: handover.FieldManager}
