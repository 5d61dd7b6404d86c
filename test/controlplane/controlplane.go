// Package controlplane runs a real Kubernetes control plane with Knative
// Serving on the local machine, for tests and for trying things out.
//
// Everything is built from Go modules and runs as ordinary processes of the
// calling user: etcd, kube-apiserver, kube-controller-manager and Knative's
// webhook and controller. There are no nodes, so pods are created but never
// run; MakeReady stands in for what running pods and an ingress would report.
//
// All listeners are on loopback addresses and on ports the kernel chooses, so
// any number of control planes can run side by side. On Linux the processes
// cannot outlive the one that started them.
package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// Options says what to start. The zero value starts Kubernetes and Knative.
type Options struct {
	// Dir is the run folder; by default a temporary one. Starting in the
	// folder of a running control plane fails.
	Dir string
	// KeepLogs leaves the logs folder in place when the control plane stops.
	KeepLogs bool
	// Log receives a line per step. By default it is standard error while
	// tools are being built, which takes minutes, and nothing otherwise.
	Log io.Writer
	// Scheduler also runs kube-scheduler.
	Scheduler bool
	// Nodes is the number of fake nodes. Pods that are scheduled there are ready at
	// once. They need Scheduler.
	Nodes int
	// HPA also runs Knative's autoscaler for the hpa class. There is none for
	// the kpa class, because without pods it would have nothing to measure.
	HPA bool
	// KnativeConfig is merged into Knative's ConfigMaps before it starts, by
	// name of the ConfigMap.
	KnativeConfig map[string]map[string]string
	// WithoutKnative leaves Knative out.
	WithoutKnative bool
	// KnativeTypes leaves Knative out but for its types and ConfigMaps: its objects can be
	// stored, and nothing happens to them.
	KnativeTypes bool
	// RequestTimeout is the API server's; 0 is its own default of a minute.
	RequestTimeout time.Duration
	// KnativeLater leaves Knative out until StartKnative.
	KnativeLater bool
	// Audit has the API server log the webhook's requests to AuditLog.
	Audit bool
	// Pods runs pods: on a node with containerd, a kubelet and kube-proxy, Knative's own
	// programs included, as it ships them. It implies Scheduler, takes root and the namespaces
	// that Isolate makes, and Debian's packages runc, containernetworking-plugins, iproute2
	// and nftables.
	Pods bool
	// GPUs is the number of GPUs of the node of Pods, which a device plug-in plays.
	GPUs int
	// AdmissionClient has the API server show a client certificate to webhooks.
	AdmissionClient bool
}

// ControlPlane is a running control plane. Its methods may be called from
// several goroutines.
type ControlPlane struct {
	dir   *runDir
	keep  bool
	log   io.Writer
	tools map[string]string

	options        Options
	apiserver, kcm *Process
	apiserverArgs  []string
	imageTool      string // makes images, in a lab

	pki        *pki
	server     string
	kubeconfig string
	restConfig *rest.Config
	client     dynamic.Interface
	mapper     *restmapper.DeferredDiscoveryRESTMapper

	mu      sync.Mutex
	stopped bool
	procs   []*Process
	closers []io.Closer
}

// Start builds what is missing from the tool cache, starts a control plane and
// returns when all of it answers. ctx bounds the start only; end the control
// plane with Stop. If Start fails it leaves nothing running.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	buildLog := o.Log
	if o.Log == nil {
		o.Log, buildLog = io.Discard, os.Stderr
	}
	tools, err := EnsureTools(ctx, buildLog, o.Tools()...)
	if err != nil {
		return nil, err
	}
	// A port is free when it is chosen, but may be taken before the process it
	// is meant for listens on it. Choosing again is all there is to do.
	for attempt := 1; ; attempt++ {
		c, err := start(ctx, o, tools)
		if err == nil {
			return c, nil
		}
		if attempt == 3 || !errors.Is(err, errPortTaken) {
			return nil, fmt.Errorf("starting the control plane: %w", err)
		}
		fmt.Fprintln(o.Log, "a port was taken by another program; starting again")
	}
}

// Tools names the tools a control plane with these options needs.
func (o Options) Tools() []string {
	names := []string{Etcd, KubeAPIServer, KubeControllerManager, Kubectl}
	if o.Pods {
		names = append(names, Containerd, ContainerdShim, Ctr, Kubelet, KubeProxy)
		if o.HPA {
			names = append(names, MetricsServer, metricsManifests)
		}
	}
	if o.Scheduler || o.Pods {
		names = append(names, KubeScheduler)
	}
	if o.Nodes > 0 {
		names = append(names, Kwok)
	}
	if !o.WithoutKnative && o.Pods {
		names = append(names, servingManifests)
		return append(names, servingPrograms()...)
	}
	if !o.WithoutKnative {
		names = append(names, KnativeWebhook, KnativeController, knativeManifests)
		if o.HPA {
			names = append(names, KnativeAutoscalerHPA)
		}
	}
	return names
}

func start(ctx context.Context, o Options, tools map[string]string) (_ *ControlPlane, err error) {
	dir, err := newRunDir(o.Dir)
	if err != nil {
		return nil, err
	}
	c := &ControlPlane{dir: dir, keep: o.KeepLogs, log: o.Log, tools: tools, options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	begin := time.Now()
	network := o.network()
	if c.pki, err = newPKI(dir.join("pki"), net.ParseIP(network.kubernetes), net.ParseIP(network.advertise)); err != nil {
		return nil, err
	}
	if o.Pods {
		if err := c.preparePods(ctx); err != nil {
			return nil, err
		}
	}
	apiserver, err := c.startAPIServer(ctx)
	if err != nil {
		return nil, err
	}
	c.progress(begin, "kube-apiserver is ready at "+c.server)
	kcm, err := c.startKubeControllers(ctx, o.Scheduler || o.Pods)
	if err != nil {
		return nil, err
	}
	c.apiserver, c.kcm = apiserver, kcm
	nodes := make(chan error, 1)
	go func() {
		if o.Pods {
			if err := c.startPodNode(ctx); err != nil {
				nodes <- fmt.Errorf("starting the node: %w", err)
			}
			close(nodes)
			return
		}
		if err := c.startNodes(ctx, o.Nodes); err != nil {
			nodes <- fmt.Errorf("starting nodes: %w", err)
		}
		close(nodes)
	}()
	if o.Pods { // Knative runs on it
		if err := <-nodes; err != nil {
			return nil, err
		}
		c.progress(begin, "the node is ready")
	}
	if !o.WithoutKnative && !o.KnativeLater {
		if err := c.StartKnative(ctx); err != nil {
			return nil, errors.Join(err, <-nodes)
		}
		c.progress(begin, "Knative answers")
	}
	if err := errors.Join(c.awaitServiceAccounts(ctx, kcm), <-nodes); err != nil {
		return nil, err
	}
	c.progress(begin, "the control plane is ready")
	return c, nil
}

// StartKnative installs and starts Knative in a control plane with KnativeLater.
func (c *ControlPlane) StartKnative(ctx context.Context) error {
	install := c.startKnative
	if c.options.Pods {
		install = c.startKnativePods
	}
	if err := install(ctx, c.options, c.apiserver, c.kcm); err != nil {
		return fmt.Errorf("starting Knative: %w", err)
	}
	return nil
}

// progress logs a step and the time since the start began.
func (c *ControlPlane) progress(begin time.Time, step string) {
	fmt.Fprintf(c.log, "%6s  %s\n", seconds(time.Since(begin)), step)
}

// connect sets up the clients once the API server's address is known.
func (c *ControlPlane) connect() (err error) {
	if c.kubeconfig, err = c.writeKubeconfig("admin", certificateUser(c.pki.admin)); err != nil {
		return err
	}
	if c.restConfig, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig); err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	// The client-side rate limit protects shared clusters.
	c.restConfig.QPS = -1
	own := c.RESTConfig()
	// Knative warns about nearly every pod template.
	own.WarningHandler = rest.NoWarnings{}
	if c.client, err = dynamic.NewForConfig(own); err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(own)
	if err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	return nil
}

// Stop ends all processes, the last started first, and removes the run folder.
// It may be called more than once.
func (c *ControlPlane) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	var errs []error
	for _, v := range slices.Backward(c.closers) {
		errs = append(errs, v.Close())
	}
	for _, v := range slices.Backward(c.procs) {
		errs = append(errs, v.Stop())
	}
	errs = append(errs, c.stopPods(), c.dir.close(c.keep))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stopping the control plane: %w", err)
	}
	return nil
}

// closeWithStop has Stop close something before it ends the processes.
func (c *ControlPlane) closeWithStop(closer io.Closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closers = append(c.closers, closer)
}

// Kubeconfig is the path of a kubeconfig with cluster-admin rights.
func (c *ControlPlane) Kubeconfig() string { return c.kubeconfig }

// RESTConfig returns a client configuration with cluster-admin rights and
// without a client-side rate limit. The caller may change it.
func (c *ControlPlane) RESTConfig() *rest.Config { return rest.CopyConfig(c.restConfig) }

// LogDir is the folder with a log file per process.
func (c *ControlPlane) LogDir() string { return c.dir.join("logs") }

// Tool returns the path of a tool this control plane was started with, such as
// Kubectl, or "" for any other. EnsureTools builds others.
func (c *ControlPlane) Tool(name string) string { return c.tools[name] }

// Kubectl runs kubectl with cluster-admin rights.
func (c *ControlPlane) Kubectl(ctx context.Context, stdin io.Reader, args ...string) (stdout, stderr string, err error) {
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, c.Tool(Kubectl), args...)
	cmd.Env = append(baseEnvironment(), "KUBECONFIG="+c.kubeconfig, "KUBECACHEDIR="+c.dir.join("kubectl-cache"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errOut
	cmd.WaitDelay = time.Second
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("kubectl %q: %w: %s", args, err, bytes.TrimSpace(errOut.Bytes()))
	}
	return out.String(), errOut.String(), err
}
