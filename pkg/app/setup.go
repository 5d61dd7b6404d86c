package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/deployments"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

// clients reach the API server, all over the same connections.
type clients struct {
	typed    kubernetes.Interface
	dynamic  dynamic.Interface
	metadata metadata.Interface
	// budgets writes the status of GPUBudgets, and source reads lists as streams.
	budgets rest.Interface
	source  cluster.WholeSource
}

func newClients(config *rest.Config, connections *http.Client) (c clients, err error) {
	var failed [5]error
	c.typed, failed[0] = kubernetes.NewForConfigAndClient(config, connections)
	c.dynamic, failed[1] = dynamic.NewForConfigAndClient(config, connections)
	c.metadata, failed[2] = metadata.NewForConfigAndClient(config, connections)
	c.budgets, failed[3] = charge.NewWriter(config, connections)
	c.source, failed[4] = cluster.NewSource(config, connections)
	if err := errors.Join(failed[:]...); err != nil {
		return c, fmt.Errorf("making a client: %w", err)
	}
	return c, nil
}

// setup is what the parts of a webhook in a cluster are made from.
type setup struct {
	ClusterOptions
	clients
	mgr      ctrl.Manager
	handler  *requestHandler
	registry *prometheus.Registry
	events   record.EventRecorder
	// namespaces reads their labels, knative tells whether there are Knative Services, and lists
	// reads all objects of a kind.
	namespaces namespaces
	knative    *deployments.Detector
	lists      *cluster.Lists
	server     *endpoints
	// replica names this process among the webhook's.
	replica string
}

func newSetup(mgr ctrl.Manager, config *rest.Config, o ClusterOptions, e *requestHandler, server *endpoints, registry *prometheus.Registry) (*setup, error) {
	c, err := newClients(config, mgr.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	knative, err := deployments.NewDetector(c.dynamic)
	if err != nil {
		return nil, err
	}
	events := record.NewBroadcaster()
	events.StartRecordingToSink(toldOnce{&typedcorev1.EventSinkImpl{Interface: c.typed.CoreV1().Events("")}})
	lists := cluster.NewLists(c.source)
	lists.Operators = o.Operators
	return &setup{
		ClusterOptions: o, clients: c, mgr: mgr, handler: e, registry: registry,
		events:     events.NewRecorder(mgr.GetScheme(), eventSource),
		namespaces: namespaces{cached: mgr.GetCache(), live: mgr.GetAPIReader()},
		knative:    knative, lists: lists, server: server, replica: replica(),
	}, nil
}

// addAll has the manager run all that verdicts are based on, and the controllers.
func (s *setup) addAll() error {
	gauges, err := newSnapshotMetrics(s.registry)
	if err != nil {
		return err
	}
	e, reader := s.handler, cluster.NewReader(s.dynamic, s.mgr.GetRESTMapper(), s.source)
	me := &ownUser{client: s.typed.AuthenticationV1().SelfSubjectReviews()}
	e.namespaceLabels = s.namespaces.labels
	e.revisions = func(ctx context.Context, namespace string, names []string) (map[string]map[string]any, error) {
		return cluster.Named(ctx, reader, review.RevisionKind, namespace, names)
	}
	e.self = me.name
	e.registered = registered(s.mgr.GetAPIReader(), s.Configuration)
	e.related, e.reader = newRelatedReader(reader, s.knative.Served), reader
	e.products = func(ctx context.Context) ([]string, error) { return cluster.NodeProducts(ctx, s.mgr.GetAPIReader()) }
	e.tell = tell(s.events)
	e.decided = gauges.decided
	l, err := s.ledgers()
	if err != nil {
		return err
	}
	e.charging = l.charging
	lookAtAll, err := s.addControllers(l)
	if err != nil {
		return err
	}
	return s.addSnapshots(newSnapshots(e, gauges, s.Log.WithName("snapshot")), me, l, lookAtAll)
}

// addSnapshots has the manager run what snapshots are made of, and this replica be present.
func (s *setup) addSnapshots(made *snapshots, me *ownUser, l *budgetParts, replaced func()) error {
	knative, err := newKnativeWatch(s.typed, s.KnativeNamespace, made.changedKnative)
	if err != nil {
		return err
	}
	classes, err := newClassWatch(s.dynamic, made.changedClasses)
	if err != nil {
		return err
	}
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	caches := &cached{cache: s.mgr.GetCache(), log: s.Log.WithName("cache"), wanted: []wanted{
		{name: "ComputePolicies", object: stored("ComputePolicy"), changed: made.changedPolicies},
		{name: "GPUBudgets", object: stored("GPUBudget"), changed: made.changedBudgets, touched: l.controller.Changed},
		{name: "Namespaces", object: namespace, changed: l.controller.Changed},
	}}
	made.synced = func() error {
		for _, synced := range []func() error{caches.synced, s.knative.Synced, me.known, classes.synced, knative.synced} {
			if err := synced(); err != nil {
				return err
			}
		}
		return nil
	}
	made.operators, made.excluded = &s.Operators, s.Excluded.Stated()
	made.replaced, made.readKnative, made.readClasses = replaced, knative.read, classes.read
	made.readPolicies = func(ctx context.Context) ([]manifest.Object, error) { return readStored(ctx, s.mgr, "ComputePolicy") }
	made.readBudgets = func(ctx context.Context) ([]manifest.Object, error) { return readStored(ctx, s.mgr, "GPUBudget") }
	for _, runnable := range []interface {
		Start(context.Context) error
		NeedLeaderElection() bool
	}{knative, classes, s.knative, me, caches, made, l.heartbeat, l.writer} {
		if err := s.mgr.Add(runnable); err != nil {
			return err
		}
	}
	return nil
}
