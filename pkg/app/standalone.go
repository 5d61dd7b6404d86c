package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubetorch/webhook/pkg/admission"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/certificate"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// StandaloneOptions configure [Standalone].
type StandaloneOptions struct {
	// Listen is the address and port.
	Listen string
	// CertDir gets ca.crt, tls.crt and tls.key.
	CertDir string
	// Inputs are the policies and the Knative configuration.
	Inputs offline.Inputs
	HTTP   HTTPOptions
	// Operators are the kinds whose operators make pods.
	Operators workload.Operators
	// ShutdownDelay is how long to go on serving, not ready, once ctx ended.
	ShutdownDelay time.Duration
	// Out gets one line as soon as connections are accepted.
	Out io.Writer
	Log logr.Logger
}

// Standalone serves without a cluster until ctx ends. Namespaces have no labels but
// their name, and no revision can be read. Answers are those of a cluster, and nothing
// follows them up: no controller makes the Knative Services of labelled Deployments.
func Standalone(ctx context.Context, o StandaloneOptions) error {
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return fmt.Errorf("listen address: %w", err)
	}
	var hosts []string
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		hosts = append(hosts, host)
	}
	source, err := certificate.SelfSigned(o.CertDir, hosts)
	if err != nil {
		return err
	}

	registry := prometheus.NewRegistry()
	e, err := standaloneHandler(o.Inputs, o.Operators, registry, o.Log)
	if err != nil {
		return err
	}
	server, err := newEndpoints(ctx, endpointOptions{o.HTTP, o.Listen, source, e, registry, o.Log})
	if err != nil {
		return err
	}
	o.Log.Info("standalone: no controller runs here; labelled Deployments are answered with 0 replicas as in a cluster, " +
		"and nothing makes their Knative Services (the command expand prints them)")
	ctx, cancel := server.drained(ctx, o.ShutdownDelay)
	defer cancel()
	go func() {
		if server.awaitListening(ctx) == nil {
			fmt.Fprintf(o.Out, "kubetorch-webhook: listening on https://%s, CA certificate in %s\n",
				server.address, filepath.Join(o.CertDir, certificate.CAFile))
		}
	}()
	if err := server.Start(ctx); err != nil {
		return fmt.Errorf("serving on %s: %w", server.address, err)
	}
	return nil
}

// standaloneHandler is a handler that knows nothing but inputs.
func standaloneHandler(inputs offline.Inputs, operators workload.Operators, registry *prometheus.Registry, log logr.Logger) (*requestHandler, error) {
	gauges, err := newSnapshotMetrics(registry)
	if err != nil {
		return nil, err
	}
	set := policy.Compile(inputs.Policies).WithClasses(inputs.Classes).WithOperators(operators)
	gauges.policiesAre(set)
	gauges.adopted(partPolicies)
	gauges.adopted(partBudgets)
	gauges.knativeIs(true)
	logPolicies(log, set)
	e := &requestHandler{namespaceLabels: nameOnly, revisions: noRevisions, decided: gauges.decided}
	e.current.Store(&snapshot{policies: set, budgets: policy.CompileBudgets(inputs.Budgets), knative: inputs.Knative})
	ledgers := charge.NewMemory(inputs.Budgets)
	e.remembered = newMemory()
	e.remembered.put(workload.ResourceClaimTemplateKind, inputs.Templates)
	e.reader = e.remembered
	e.charging = &charging{charge: ledgers.Charge, release: ledgers.Release, everything: true}
	return e, nil
}

// StandaloneHandlers are the endpoints of [Standalone] by path, [MutatePath] and
// [ValidatePath], without a listener.
func StandaloneHandlers(inputs offline.Inputs, log logr.Logger) (map[string]http.Handler, error) {
	e, err := standaloneHandler(inputs, workload.BuiltInOperators(), prometheus.NewRegistry(), log)
	if err != nil {
		return nil, err
	}
	return e.handlers(admission.Options{Metrics: admission.NewMetrics(MutatePath, ValidatePath), Log: log}), nil
}

// nameOnly is all that is known of a namespace without a cluster.
func nameOnly(_ context.Context, name string) (map[string]string, bool, error) {
	return map[string]string{corev1.LabelMetadataName: name}, false, nil
}

func noRevisions(context.Context, string, []string) (map[string]map[string]any, error) {
	return nil, nil
}
