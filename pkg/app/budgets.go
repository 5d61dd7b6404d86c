package app

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
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

// ledgers is everything that a cluster's budgets need.
type ledgers struct {
	charging   *charging
	presence   *charge.Presence
	controller *budgetcontroller.Controller
	watch      []func(context.Context)
}

// newLedgers sets budgets up. namespaces reads the labels of namespaces, served tells whether
// there are Knative Services.
func newLedgers(mgr ctrl.Manager, config *rest.Config, clientset kubernetes.Interface, events record.EventRecorder,
	o ClusterOptions, e *edge, namespaces namespaces, lists *cluster.Lists, served func() bool, registry prometheus.Registerer,
) (*ledgers, error) {
	// Its clients are its own, so that counting takes no admission's place.
	client, err := dynamic.NewForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	counting, err := dynamic.NewForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	metadataClient, err := metadata.NewForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	var writers [2]rest.Interface
	for i := range writers {
		if writers[i], err = charge.NewWriter(config, mgr.GetHTTPClient()); err != nil {
			return nil, fmt.Errorf("making a client: %w", err)
		}
	}
	writes, err := charge.NewMetrics(registry)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	gauges, err := budgetcontroller.NewMetrics(registry)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	bases := &charge.Bases{Client: counting, Namespace: o.Namespace}
	api := &charge.API{Client: client, Writes: writers[0], Bases: &charge.Bases{Client: client}, MaxBytes: charge.MaxBytes, Cache: func(ctx context.Context, name string) (*unstructured.Unstructured, error) {
		found := stored("GPUBudget")
		err := mgr.GetCache().Get(ctx, types.NamespacedName{Name: name}, found)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return found, err
	}}
	l := &ledgers{presence: &charge.Presence{
		Client: clientset, Namespace: o.Namespace, Service: o.Service, Identity: replica(), Seen: e.seen, Live: api.Versions,
		Log: o.Log.WithName("presence"),
	}}
	charger := charge.NewCharger(api, writes)
	charger.UnseenShare = int64(o.MaxUnseenShare)
	l.charging = &charging{
		charge: charger.Charge, holds: l.presence.Holds, begun: l.presence.Begun,
		labels: func(ctx context.Context, name string) (map[string]string, bool, error) {
			return namespacesAsTheyAre(namespaces).labels(ctx, name)
		},
	}
	replicas := &charge.Replicas{Client: clientset, Namespace: o.Namespace, Service: o.Service}
	l.controller = budgetcontroller.New(budgetcontroller.Options{
		Store:     &charge.API{Client: counting, Writes: writers[1], Bases: bases},
		Bases:     bases,
		Inventory: func(ctx context.Context, count func(*cluster.Objects)) error { return lists.Use(ctx, count) },
		Replicas:  replicas.All,
		World: func() (review.World, bool) {
			now := e.current.Load()
			if now == nil {
				return review.World{}, false
			}
			return review.World{Policies: now.policies, Knative: now.knative, Cluster: &review.Cluster{Knative: served()}}, true
		},
		NotRegistered: e.registrar.Problem,
		Excluded:      Excluded(o.Namespace, o.KnativeNamespace),
		Wait:          o.RequestTimeout + margin, Events: events, Metrics: gauges, Log: o.Log.WithName("budgets"),
	})
	for _, kind := range []cluster.Kind{cluster.Deployments, cluster.Services, cluster.Revisions} {
		l.watch = append(l.watch, func(ctx context.Context) { budgetcontroller.Watch(ctx, metadataClient, kind, l.controller.Changed) })
	}
	for _, kind := range []cluster.Kind{
		cluster.Jobs, cluster.ReplicaSets, cluster.ReplicationControllers, cluster.StatefulSets, cluster.Pods,
		cluster.HorizontalPodAutoscalers, cluster.ResourceClaims, cluster.ResourceClaimTemplates,
	} {
		l.watch = append(l.watch, func(ctx context.Context) { lists.Watch(ctx, kind, l.controller.Changed) })
	}
	l.watch = append(l.watch, func(ctx context.Context) { lists.WatchOperated(ctx, l.controller.Changed) })
	return l, nil
}

// run counts, and watches for what may change the count.
func (l *ledgers) run(ctx context.Context) error {
	for _, watch := range l.watch {
		go watch(ctx)
	}
	return l.controller.Run(ctx)
}

// namespacesAsTheyAre reads uncached only.
func namespacesAsTheyAre(n namespaces) namespaces { return namespaces{cached: n.live, live: n.live} }

// seen is what this replica goes by.
func (e *edge) seen() (charge.Seen, bool) {
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
