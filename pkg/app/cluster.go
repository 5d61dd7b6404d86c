package app

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
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/certificate"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/deployments"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/metric"
	"github.com/kubetorch/webhook/pkg/version"
	"github.com/kubetorch/webhook/pkg/workload"
)

// ClusterOptions configure [Cluster].
type ClusterOptions struct {
	// Listen is the address and port.
	Listen string
	HTTP   HTTPOptions
	// Config reaches the API server.
	Config *rest.Config
	// Namespace is where the webhook runs.
	Namespace string
	// Service is the name of its Service in that namespace.
	Service string
	// CertDir has the serving certificate; if it is empty, the webhook is its own authority.
	CertDir string
	// CASecret is the name of the Secret with its authority in that namespace.
	CASecret string
	// LeafLifetime and CALifetime are how long certificates of its own are valid, CAOverlap is
	// how long a CA is trusted before and after it is served from.
	LeafLifetime, CALifetime, CAOverlap time.Duration
	// Configuration is the name of both webhook configurations.
	Configuration string
	// KnativeNamespace holds Knative's ConfigMaps.
	KnativeNamespace string
	// RequestTimeout is how long the API server lets a request run.
	RequestTimeout time.Duration
	// MaxUnseenShare is how much of what is free in a budget the claims of one namespace may hold that
	// are not seen stored yet, in percent.
	MaxUnseenShare int
	// AuditInterval is the time from one audit to the next while nothing changes.
	AuditInterval time.Duration
	// OpenReports is whether the leader keeps a ClusterReport of openreports.io for each policy.
	OpenReports bool
	// Operators are the kinds whose operators make pods.
	Operators workload.Operators
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
	config.DisableCompression = true // lists and ledgers are large, the API server is near, and it pays for packing them
	config.UserAgent = "kubetorch-webhook/" + version.Get().Version

	feeds := newWatches()
	feeds.observe(config)

	var files *certificate.Files
	var managed *certificate.Managed
	var source certificate.Source
	if service := (types.NamespacedName{Namespace: o.Namespace, Name: o.Service}); o.CertDir != "" {
		files = certificate.NewFiles(o.CertDir, certificate.ServiceNames(service)[0], o.Log.WithName("certificate"))
		source = files
	} else {
		managed = certificate.NewManaged(certificate.ManagedOptions{
			Secret: types.NamespacedName{Namespace: o.Namespace, Name: o.CASecret}, Configuration: o.Configuration,
			Service: o.Service, Identity: replica(),
			LeafLifetime: o.LeafLifetime, CALifetime: o.CALifetime, Overlap: o.CAOverlap,
			Log: o.Log.WithName("certificate"),
		})
		source = managed
	}

	registry := prometheus.NewRegistry()
	if err := metric.Register(registry, feeds); err != nil {
		return err
	}
	e := &edge{}
	server, err := newEndpoints(o.Listen, o.HTTP, source, e, registry, o.Log)
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                  scheme,
		Logger:                  o.Log,
		WebhookServer:           server.Server,
		Metrics:                 metricsserver.Options{BindAddress: "0"}, // served on the webhook's listener
		HealthProbeBindAddress:  "0",                                     // likewise
		GracefulShutdownTimeout: new(shutdownGrace),
		Cache: cache.Options{
			ByObject: map[client.Object]cache.ByObject{
				stored("GPUBudget"): {UnsafeDisableDeepCopy: new(true)},
				&corev1.Namespace{}: {Transform: essence, UnsafeDisableDeepCopy: new(true)},
			},
			// A read that was not planned for is an error and not a new watch.
			ReaderFailOnMissingInformer: true,
			DefaultTransform:            cache.TransformStripManagedFields(),
		},
	})
	if err != nil {
		return fmt.Errorf("setting up: %w", err)
	}
	mgr.GetWebhookServer() // makes the manager run it

	if files != nil {
		err = mgr.Add(files)
	} else {
		managed.Reader, managed.Client = mgr.GetAPIReader(), mgr.GetClient()
		err = managed.SetupWithManager(mgr)
	}
	if err != nil {
		return fmt.Errorf("setting up the certificate: %w", err)
	}
	if e.registrar, err = newRegistrar(mgr, o, server, registry); err != nil {
		return fmt.Errorf("setting up the registration: %w", err)
	}
	if err := addReads(mgr, config, o, e, registry); err != nil {
		return err
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
	namespaceReads := namespaces{cached: mgr.GetCache(), live: mgr.GetAPIReader()}
	e.namespaceLabels = namespaceReads.labels
	direct := reads{dynamicClient}
	e.revisions = func(ctx context.Context, namespace string, names []string) (map[string]map[string]any, error) {
		return direct.named(ctx, revisionResource, namespace, names)
	}

	presence, err := deployments.NewPresence(dynamicClient)
	if err != nil {
		return fmt.Errorf("setting up: %w", err)
	}
	me := &ownUser{client: clientset.AuthenticationV1().SelfSubjectReviews()}
	e.self = me.name
	e.registered = registered(mgr.GetAPIReader(), o.Configuration)
	e.neighbours = &neighbours{reads: direct, served: presence.Served}
	events := record.NewBroadcaster()
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: clientset.CoreV1().Events("")})
	recorder := events.NewRecorder(mgr.GetScheme(), eventSource)
	uncompressed := rest.CopyConfig(config)
	uncompressed.DisableCompression = true // the API server is near
	source, err := cluster.NewSource(uncompressed, mgr.GetHTTPClient())
	if err != nil {
		return err
	}
	e.reader = liveReader{reads: direct, mapper: mgr.GetRESTMapper(), lists: source}
	lists := cluster.NewLists(source)
	lists.Operators = o.Operators
	l, err := newLedgers(mgr, config, clientset, recorder, o, e, namespaceReads, lists, presence.Served, registry)
	if err != nil {
		return err
	}
	e.charging = l.charging
	e.decided = gauges.decided
	lookAtAll, err := addControllers(mgr, config, clientset, recorder, o, e, presence, l, lists, registry)
	if err != nil {
		return err
	}

	s := newSnapshots(e, gauges, o.Log.WithName("snapshot"))
	s.operators = &o.Operators
	knative, err := newKnativeWatch(clientset, o.KnativeNamespace, s.changedKnative)
	if err != nil {
		return err
	}
	classes, err := newClassWatch(dynamicClient, s.changedClasses)
	if err != nil {
		return err
	}
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	caches := &cached{cache: mgr.GetCache(), log: o.Log.WithName("cache"), wanted: []wanted{
		{name: "ComputePolicies", object: stored("ComputePolicy"), changed: s.changedPolicies},
		{name: "GPUBudgets", object: stored("GPUBudget"), changed: s.changedBudgets, touched: l.controller.Changed},
		{name: "Namespaces", object: namespace, changed: l.controller.Changed},
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
		if err := classes.synced(); err != nil {
			return err
		}
		return knative.synced()
	}
	s.replaced = lookAtAll
	s.readKnative = knative.read
	s.readClasses = classes.read
	s.readPolicies = func(ctx context.Context) ([]manifest.Object, error) { return readStored(ctx, mgr, "ComputePolicy") }
	s.readBudgets = func(ctx context.Context) ([]manifest.Object, error) { return readStored(ctx, mgr, "GPUBudget") }
	for _, runnable := range []interface {
		Start(context.Context) error
		NeedLeaderElection() bool
	}{knative, classes, presence, me, caches, s, l.presence} {
		if err := mgr.Add(runnable); err != nil {
			return fmt.Errorf("setting up: %w", err)
		}
	}
	return nil
}
