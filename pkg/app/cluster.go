package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/certificate"
	"github.com/kubetorch/webhook/pkg/metric"
	"github.com/kubetorch/webhook/pkg/policy"
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
	// Excluded are the namespaces that the webhook configurations leave out, beside this one and Knative's. With
	// others than the usual ones everything is counted anew.
	Excluded policy.Exclusions
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

// excluded are all namespaces that are neither judged nor counted.
func (o *ClusterOptions) excluded() []string { return o.Excluded.With(o.Namespace, o.KnativeNamespace) }

// shutdownGrace is how long requests under way may take once serving ended.
const shutdownGrace = 10 * time.Second

// Cluster serves in a cluster until ctx ends. It starts whatever is missing there and
// becomes ready once it is there.
func Cluster(ctx context.Context, o ClusterOptions) error {
	config := rest.CopyConfig(o.Config)
	config.QPS = -1                  // no limit of its own: the API server's priority and fairness protects it
	config.DisableCompression = true // lists and ledgers are large, the API server is near, and it pays for packing them
	config.UserAgent = "kubetorch-webhook/" + version.Get().Version
	feeds := newWatches()
	feeds.observe(config)

	registry := prometheus.NewRegistry()
	if err := metric.Register(registry, feeds); err != nil {
		return err
	}
	source, keepCertificate := newCertificate(o)
	e := &requestHandler{}
	server, err := newEndpoints(ctx, endpointOptions{o.HTTP, o.Listen, source, e, registry, o.Log})
	if err != nil {
		return err
	}
	mgr, err := newManager(config, o.Log)
	if err != nil {
		return fmt.Errorf("setting up: %w", err)
	}
	if err := keepCertificate(mgr); err != nil {
		return fmt.Errorf("setting up the certificate: %w", err)
	}
	if e.registrar, err = newRegistrar(mgr, o, server, registry); err != nil {
		return fmt.Errorf("setting up the registration: %w", err)
	}
	s, err := newSetup(mgr, config, o, e, server, registry)
	if err != nil {
		return fmt.Errorf("setting up: %w", err)
	}
	if err := s.addAll(); err != nil {
		return fmt.Errorf("setting up: %w", err)
	}

	ctx, cancel := server.drained(ctx, o.ShutdownDelay)
	defer cancel()
	o.Log.Info("starting", "address", server.address, "version", version.Get().Version)
	return server.beside(ctx, mgr)
}

// newCertificate is where the serving certificate comes from, and what has a manager keep it.
func newCertificate(o ClusterOptions) (source certificate.Provider, keep func(ctrl.Manager) error) {
	if o.CertDir != "" {
		name := certificate.ServiceNames(types.NamespacedName{Namespace: o.Namespace, Name: o.Service})[0]
		files := certificate.NewFiles(o.CertDir, name, o.Log.WithName("certificate"))
		return files, func(mgr ctrl.Manager) error { return mgr.Add(files) }
	}
	managed := certificate.NewManaged(certificate.ManagedOptions{
		Secret: types.NamespacedName{Namespace: o.Namespace, Name: o.CASecret}, Configuration: o.Configuration,
		Service: o.Service, Identity: replica(),
		LeafLifetime: o.LeafLifetime, CALifetime: o.CALifetime, Overlap: o.CAOverlap,
		Log: o.Log.WithName("certificate"),
	})
	return managed, func(mgr ctrl.Manager) error {
		managed.Reader, managed.Client = mgr.GetAPIReader(), mgr.GetClient()
		return managed.SetupWithManager(mgr)
	}
}

// newManager runs caches and controllers. It neither serves nor elects a leader.
func newManager(config *rest.Config, log logr.Logger) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return ctrl.NewManager(config, ctrl.Options{
		Scheme:                  scheme,
		Logger:                  log,
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
}

// beside serves while a manager runs, which ends only once what is under way was answered: that needs what
// the manager keeps.
func (s *endpoints) beside(ctx context.Context, mgr ctrl.Manager) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, serving := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer stop()
		if err := s.Start(serving); err != nil {
			return fmt.Errorf("serving on %s: %w", s.address, err)
		}
		return nil
	})
	group.Go(func() error {
		if err := mgr.Start(running); err != nil {
			return fmt.Errorf("running: %w", err)
		}
		return nil
	})
	return group.Wait()
}
