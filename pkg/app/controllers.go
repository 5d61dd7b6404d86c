package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"

	auditcontroller "github.com/kubetorch/webhook/pkg/audit/controller"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/deployments"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// Excluded are the namespaces that the webhook and its controller leave alone, given the
// webhook's own and Knative's. The webhook configurations state the same.
func Excluded(own, knative string) []string {
	return []string{"kube-system", "kube-node-lease", own, "cert-manager", knative}
}

// addControllers sets up what runs in one replica at a time. Its clients are its own, so
// that no admission waits for a place in the controller's rate limit. lookAtAll has them look
// at everything again, after a change of policies or of Knative.
func addControllers(mgr ctrl.Manager, config *rest.Config, clientset kubernetes.Interface, events record.EventRecorder, o ClusterOptions, e *edge, presence *deployments.Presence, l *ledgers, lists *cluster.Lists, registry prometheus.Registerer) (lookAtAll func(), err error) {
	client, err := dynamic.NewForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	metadataClient, err := metadata.NewForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	log := o.Log.WithName("deployments")
	c := deployments.New(deployments.Options{
		Client: client, Metadata: metadataClient, Presence: presence, Expand: e.become,
		Events:   events,
		Excluded: Excluded(o.Namespace, o.KnativeNamespace), Log: log,
	})
	metrics, err := auditcontroller.NewMetrics(registry)
	if err != nil {
		return nil, err
	}
	auditor := auditcontroller.New(auditcontroller.Auditor{
		Client: client, Lists: lists, Knative: e.knative, Complete: e.counting, Excluded: Excluded(o.Namespace, o.KnativeNamespace),
		Interval: o.AuditInterval, NotRegistered: e.registrar.Problem, Events: events, OpenReports: o.OpenReports,
		Metrics: metrics, Log: o.Log.WithName("audit"),
	})
	presence.OnChange(auditor.Changed)
	e.registrar.Changed = func() {
		auditor.Changed()
		l.controller.Changed()
	}
	lead := &deployments.Lead{
		Client: clientset, Lease: types.NamespacedName{Namespace: o.Namespace, Name: o.Service},
		Identity: replica(), Run: all(c.Run, auditor.Run, l.run, e.registrar.Lead), Log: log,
	}
	if err := mgr.Add(lead); err != nil {
		return nil, fmt.Errorf("setting up the controllers: %w", err)
	}
	return func() {
		c.LookAtAll()
		auditor.Changed()
		l.presence.Changed()
		l.controller.Changed()
	}, nil
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
func (e *edge) counting(set *policy.Set) *policy.Set {
	now := e.current.Load()
	if now == nil {
		return set
	}
	return set.CountingAs(now.policies)
}

// knative is the configuration in use.
func (e *edge) knative() (*knative.Config, error) {
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
func (e *edge) become(ctx context.Context, deployment, service map[string]any) (deployments.Expansion, error) {
	now := e.current.Load()
	if now == nil {
		return deployments.Expansion{}, fmt.Errorf("starting: %w", e.ready())
	}
	var failed error
	w := e.world(ctx, now, &failed)
	kinds := []schema.GroupKind{review.CoreServiceKind}
	if service == nil { // about to be made: with all that there is to say about it
		kinds = review.AroundKinds()
	}
	if namespace := manifest.Text(deployment, "metadata", "namespace"); e.neighbours != nil && (service == nil || review.AsksServices(deployment)) {
		var err error
		if w.Around, err = e.neighbours.around(ctx, namespace, kinds); err != nil {
			return deployments.Expansion{}, err
		}
	}
	ksvc, verdict, fixed := review.Become(w, deployment, service)
	if failed != nil {
		return deployments.Expansion{}, failed
	}
	x := deployments.Expansion{Service: ksvc, Fixed: fixed, Warnings: verdict.Warnings}
	if ksvc == nil || verdict.Refused() {
		x.Service, x.Refused = nil, verdict.Reasons()
	}
	return x, nil
}

// world is what verdicts are based on. What cannot be read is remembered in failed, since
// the core cannot be told of it.
func (e *edge) world(ctx context.Context, now *snapshot, failed *error) review.World {
	self := ""
	if e.self != nil {
		self = e.self()
	}
	w := review.World{Policies: now.policies, Knative: now.knative, Self: self, Budgeted: !now.budgets.None()}
	w.NamespaceLabels = func(name string) (map[string]string, bool) {
		labels, known, err := e.namespaceLabels(ctx, name)
		*failed = errors.Join(*failed, err)
		return labels, known
	}
	if e.registered != nil {
		w.Registered = sync.OnceValue(func() string {
			uid, err := e.registered(ctx)
			*failed = errors.Join(*failed, err)
			return uid
		})
	}
	return w
}
