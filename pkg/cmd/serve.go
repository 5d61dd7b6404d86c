package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	stdlog "log"
	"os"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubetorch/webhook/pkg/app"
	"github.com/kubetorch/webhook/pkg/cmd/options"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/tracing"
	"github.com/kubetorch/webhook/pkg/version"
)

func newServe() *cobra.Command {
	var o options.Serve
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the admission webhook, in a cluster or standalone",
		Long: `Serve /mutate, /validate, /healthz, /readyz and /metrics over HTTPS.

In a cluster, policies and Knative's configuration are read from it, and the webhook
makes its own certificate, or serves the one that others keep in --cert-dir. With
--standalone policies and configuration come from files, and a self-signed certificate is
written to --cert-dir.

Standalone the answers are those of a cluster, but only answers: there is no controller. A
new Deployment that is labelled for autoscaling is answered with 0 replicas, and whoever
calls has to make the Knative Service; the command expand prints it.`,
		Example: `  kubetorch-webhook serve
  kubetorch-webhook serve --cert-dir /certs
  kubetorch-webhook serve --standalone --policy policy.yaml --cert-dir certs`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return runServe(c.Context(), &o, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	o.AddFlags(c.Flags())
	c.Flags().SortFlags = false
	return c
}

func runServe(ctx context.Context, o *options.Serve, out, errOut io.Writer) error {
	if err := o.Complete(); err != nil {
		return err
	}
	if err := o.Validate().ToAggregate(); err != nil {
		return err
	}
	app.LimitMemory()
	log := o.Log.Logger(errOut)
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client"))
	// net/http reports broken handshakes of port scanners and probes here.
	stdlog.SetFlags(0)
	stdlog.SetOutput(lineLogger{log.WithName("http").V(1)})

	http, err := httpOptions(ctx, &o.HTTP, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := http.Tracer.Stop(); err != nil {
			log.Error(err, "the last traces were not sent")
		}
	}()
	if o.Standalone {
		return serveStandalone(ctx, o, http, log, out)
	}
	config, err := restConfig(o.Kubeconfig)
	if err != nil {
		return err
	}
	return Failed(app.Cluster(ctx, app.ClusterOptions{
		Listen: o.Listen, HTTP: http, Config: config,
		Namespace: o.Namespace, Service: o.Service, CASecret: o.CASecret, Configuration: o.Configuration,
		CertDir: o.CertDir, LeafLifetime: o.LeafLifetime, CALifetime: o.CALifetime, CAOverlap: o.CAOverlap,
		KnativeNamespace: o.KnativeNamespace, Excluded: policy.Exclusions(o.Excluded),
		RequestTimeout: o.RequestTimeout, MaxUnseenShare: o.MaxUnseenShare,
		AuditInterval: o.AuditInterval, OpenReports: o.OpenReports, ShutdownDelay: o.ShutdownDelay, Operators: o.Kinds.Operators(), Log: log,
	}))
}

// httpOptions are the options of all requests. The caller stops the tracer.
func httpOptions(ctx context.Context, o *options.HTTP, log logr.Logger) (app.HTTPOptions, error) {
	made := app.HTTPOptions{MaxConcurrent: o.MaxConcurrent, ClientCerts: app.ClientCerts{CAFile: o.ClientCAFile, Names: o.ClientNames}}
	if o.TraceEndpoint == "" {
		return made, nil
	}
	// The library's own complaints, a collector that is away for example.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.WithName("traces").V(1).Info("not sent", "error", err.Error()) }))
	otel.SetLogger(logr.Discard())
	var err error
	made.Tracer, err = tracing.New(ctx, tracing.ExportOptions{
		Endpoint: o.TraceEndpoint, Ratio: o.TraceSampling, Version: version.Get().Version, Instance: os.Getenv("POD_NAME"),
	})
	log.Info("sending traces", "endpoint", o.TraceEndpoint, "sampling", o.TraceSampling)
	return made, err
}

func serveStandalone(ctx context.Context, o *options.Serve, http app.HTTPOptions, log logr.Logger, out io.Writer) error {
	inputs, err := offline.Load(o.Policies, o.KnativeConfigs, os.Stdin)
	if err != nil {
		return err
	}
	if err := inputs.OfRelease(o.KnativeVersion); err != nil {
		return fmt.Errorf("--knative-version: %w", err)
	}
	for _, warning := range inputs.Warnings {
		log.Info(warning)
	}
	return Failed(app.Standalone(ctx, app.StandaloneOptions{
		Listen: o.Listen, HTTP: http, CertDir: o.CertDir, Inputs: inputs, Operators: o.Kinds.Operators(), ShutdownDelay: o.ShutdownDelay, Out: out, Log: log,
	}))
}

// restConfig reaches the cluster of a kubeconfig; without one, the pod's own, else
// that of $KUBECONFIG or ~/.kube/config.
func restConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		config, err := ctrl.GetConfig()
		if err != nil {
			return nil, fmt.Errorf("finding the cluster: %w", err)
		}
		return config, nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, unusableKubeconfig([]string{kubeconfig}, err)
	}
	return config, nil
}

// lineLogger takes what is written with the standard library's logger.
type lineLogger struct{ log logr.Logger }

func (l lineLogger) Write(line []byte) (int, error) {
	l.log.Info(string(bytes.TrimSpace(line)))
	return len(line), nil
}
