package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubetorch/webhook/pkg/admission"
	"github.com/kubetorch/webhook/pkg/certificate"
	"github.com/kubetorch/webhook/pkg/tracing"
)

// Paths of the endpoints. The webhook configurations name the first two.
const (
	MutatePath   = "/mutate"
	ValidatePath = "/validate"
	HealthPath   = "/healthz"
	ReadyPath    = "/readyz"
	MetricsPath  = "/metrics"
)

// endpoints is the one TLS listener and everything behind it.
type endpoints struct {
	*listener
	source certificate.Provider
	checks *readiness
	// draining is set while the process waits to be forgotten by API servers.
	draining *atomic.Bool
	callers  *clientCertificates
}

// HTTPOptions are about every request, in a cluster and without one.
type HTTPOptions struct {
	// MaxConcurrent is how many requests each of the two endpoints decides at the same
	// time; 0 is [admission.DefaultMaxConcurrent].
	MaxConcurrent int
	ClientCerts   ClientCerts
	// Tracer traces requests. Nil does not.
	Tracer *tracing.Tracer
}

// endpointOptions are what the server is made of. An address without a host is all interfaces; port 0 is any
// free one.
type endpointOptions struct {
	HTTPOptions
	address  string
	source   certificate.Provider
	handler  *requestHandler
	registry *prometheus.Registry
	log      logr.Logger
}

// newEndpoints makes the server; nothing listens yet.
func newEndpoints(ctx context.Context, o endpointOptions) (*endpoints, error) {
	host, port, err := resolve(ctx, o.address)
	if err != nil {
		return nil, err
	}
	draining := &atomic.Bool{}
	mux := http.NewServeMux()
	clients, err := newClientCertificates(o.ClientCerts, o.registry, o.log.WithName("callers"))
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13,
		// No HTTP/2: it lets one caller open streams faster than they can be refused, and
		// puts all requests of an API server on one connection, so on one replica.
		NextProtos:     []string{"http/1.1"},
		GetCertificate: o.source.GetCertificate,
		// Clients present their certificate if they have one, other replicas and API servers: the handshake proves
		// that they hold its key, and handlers verify the rest.
		ClientAuth: tls.RequestClientCert,
	}
	server := &listener{
		address: net.JoinHostPort(host, strconv.Itoa(port)), tls: config, mux: mux,
		grace: shutdownGrace,
	}
	checks := &readiness{draining: draining}
	checks.add("certificate", o.source.Ready)
	// By dialling it: ready means that an API server could connect. It serves on for a while after ctx has ended.
	serving := context.WithoutCancel(ctx)
	checks.add("listener", func() error { return server.reachable(serving) })
	checks.add("snapshot", o.handler.ready)

	metrics := admission.NewMetrics(MutatePath, ValidatePath)
	if err := registerProcess(o.registry, metrics, o.source); err != nil {
		return nil, err
	}
	var caller func(*http.Request) error
	if clients != nil {
		server.connected, caller = clients.connected, clients.check
	}
	for path, handler := range o.handler.handlers(admission.Options{
		Metrics: metrics, Log: o.log.WithName("admission"),
		MaxConcurrent: o.MaxConcurrent, Caller: caller, Tracer: o.Tracer,
	}) {
		mux.Handle(path, closeWhile(draining, handler))
	}
	mux.HandleFunc(HealthPath, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle(ReadyPath, checks)
	mux.Handle(MetricsPath, metricsHandler(o.registry))

	return &endpoints{
		listener: server, source: o.source, checks: checks, draining: draining, callers: clients,
	}, nil
}

// handlers are the two admission endpoints by path; o.Path is set for each.
func (e *requestHandler) handlers(o admission.Options) map[string]http.Handler {
	handlers := map[string]http.Handler{}
	for path, decide := range map[string]admission.Decide{MutatePath: e.mutate, ValidatePath: e.validate} {
		o.Path = path
		handlers[path] = admission.Handler(decide, o)
	}
	return handlers
}

// resolve splits the address. The server needs to know its port beforehand, so a
// free one is looked for; another process could take it before it is listened on.
func resolve(ctx context.Context, address string) (host string, port int, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("listen address: %w", err)
	}
	if port, err = net.DefaultResolver.LookupPort(ctx, "tcp", service); err != nil || port != 0 {
		return host, port, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", 0, fmt.Errorf("finding a free port: %w", err)
	}
	port = listener.Addr().(*net.TCPAddr).Port
	return host, port, listener.Close()
}

// closeWhile makes callers open a new connection for their next request once the
// process drains, so that it goes to another replica.
func closeWhile(draining *atomic.Bool, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// drained follows what can change of the endpoints, and is a context that ends delay after ctx did. Meanwhile the process serves
// but is not ready, so that API servers turn to other replicas before it stops.
func (s *endpoints) drained(ctx context.Context, delay time.Duration) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	if s.callers != nil {
		go s.callers.follow(later)
	}
	stop := context.AfterFunc(ctx, func() {
		s.draining.Store(true)
		time.AfterFunc(delay, cancel)
	})
	return later, func() { stop(); cancel() }
}

// awaitListening returns once the server answers TLS handshakes, or ctx ended.
func (s *endpoints) awaitListening(ctx context.Context) error {
	for {
		if s.reachable(ctx) == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
