package serve

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/certificate"
	"github.com/kubetorch/webhook/pkg/controller"
	"github.com/kubetorch/webhook/pkg/version"
)

// ClusterOptions configure [Cluster].
type ClusterOptions struct {
	// Listen is the address and port.
	Listen string
	// Config reaches the API server.
	Config *rest.Config
	// Namespace is where the webhook runs.
	Namespace string
	// Service is the name of its Service in that namespace.
	Service string
	// CASecret is the name of the Secret with its authority in that namespace.
	CASecret string
	// Configuration is the name of both webhook configurations.
	Configuration string
	// KnativeNamespace holds Knative's ConfigMaps.
	KnativeNamespace string
	// ShutdownDelay is how long to go on serving, not ready, once ctx ended.
	ShutdownDelay time.Duration
	Log           logr.Logger
}

const (
	// Reads per second and burst that this process allows itself; the API server's
	// own fairness is what protects it.
	clientQPS, clientBurst = 200, 400
	// shutdownGrace is how long requests under way may take once serving ended.
	shutdownGrace = 10 * time.Second
)

// Cluster serves in a cluster until ctx ends. It starts whatever is missing there and
// becomes ready once it is there.
func Cluster(ctx context.Context, o ClusterOptions) error {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return fmt.Errorf("registering types: %w", err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("registering types: %w", err)
	}
	config := rest.CopyConfig(o.Config)
	config.QPS, config.Burst = clientQPS, clientBurst
	config.UserAgent = "kubetorch-webhook/" + version.Get().Version

	secret := types.NamespacedName{Namespace: o.Namespace, Name: o.CASecret}
	source := certificate.NewManaged(config, secret,
		certificate.ServiceNames(types.NamespacedName{Namespace: o.Namespace, Name: o.Service}))
	bundles := &certificate.CABundles{Secret: secret, Configuration: o.Configuration}

	registry := prometheus.NewRegistry()
	e := &edge{}
	server, err := newEndpoints(o.Listen, source, e, registry, o.Log)
	if err != nil {
		return err
	}
	byObject := bundles.CacheFor()
	byObject[&corev1.Namespace{}] = cache.ByObject{Transform: essence, UnsafeDisableDeepCopy: new(true)}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                  scheme,
		Logger:                  o.Log,
		WebhookServer:           server.Server,
		Metrics:                 metricsserver.Options{BindAddress: "0"}, // served on the webhook's listener
		HealthProbeBindAddress:  "0",                                     // likewise
		GracefulShutdownTimeout: new(shutdownGrace),
		Cache: cache.Options{
			ByObject: byObject,
			// A read that was not planned for is an error and not a new watch.
			ReaderFailOnMissingInformer: true,
			DefaultTransform:            cache.TransformStripManagedFields(),
		},
	})
	if err != nil {
		return fmt.Errorf("setting up: %w", err)
	}
	mgr.GetWebhookServer() // makes the manager run it

	bundles.Client = mgr.GetClient()
	if err := bundles.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up the caBundle controller: %w", err)
	}
	if err := addReads(mgr, config, o, e, registry); err != nil {
		return err
	}
	if err := mgr.Add(source); err != nil {
		return fmt.Errorf("setting up the certificate: %w", err)
	}

	ctx, cancel := server.drained(ctx, o.ShutdownDelay)
	defer cancel()
	o.Log.Info("starting", "address", server.address, "version", version.Get().Version)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	return nil
}

// addReads sets up all that verdicts are based on.
func addReads(mgr ctrl.Manager, config *rest.Config, o ClusterOptions, e *edge, registry *prometheus.Registry) error {
	clientset, err := kubernetes.NewForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	dynamicClient, err := dynamic.NewForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	gauges, err := newSnapshotMetrics(registry)
	if err != nil {
		return err
	}
	e.namespaceLabels = namespaces{cached: mgr.GetCache(), live: mgr.GetAPIReader()}.labels
	e.revisions = revisions{dynamicClient}.named

	presence, err := controller.NewPresence(dynamicClient)
	if err != nil {
		return fmt.Errorf("setting up: %w", err)
	}
	me := &ownUser{client: clientset.AuthenticationV1().SelfSubjectReviews()}
	e.self = me.name
	e.neighbours = &neighbours{client: dynamicClient, served: presence.Served}
	deployments, err := addControllers(mgr, config, clientset, o, e, presence)
	if err != nil {
		return err
	}

	s := newSnapshots(e, gauges, o.Log.WithName("snapshot"))
	knative, err := newKnativeWatch(clientset, o.KnativeNamespace, s.changedKnative)
	if err != nil {
		return err
	}
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	caches := &cached{cache: mgr.GetCache(), log: o.Log.WithName("cache"), wanted: []wanted{
		{name: "ComputePolicies", object: &v1alpha1.ComputePolicy{}, changed: s.changedPolicies},
		{name: "Namespaces", object: namespace, changed: func() {}},
	}}

	s.synced = func() error {
		if err := caches.synced(); err != nil {
			return err
		}
		if err := presence.Synced(); err != nil {
			return err
		}
		if err := me.known(); err != nil {
			return err
		}
		return knative.synced()
	}
	s.replaced = deployments.LookAtAll
	s.readKnative = knative.read
	s.readPolicies = func(ctx context.Context) ([]v1alpha1.ComputePolicy, error) {
		var list v1alpha1.ComputePolicyList
		err := mgr.GetCache().List(ctx, &list)
		return list.Items, err
	}
	for _, runnable := range []interface {
		Start(context.Context) error
		NeedLeaderElection() bool
	}{knative, presence, me, caches, s} {
		if err := mgr.Add(runnable); err != nil {
			return fmt.Errorf("setting up: %w", err)
		}
	}
	return nil
}
