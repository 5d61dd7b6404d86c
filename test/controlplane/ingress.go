package controlplane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
	networking "knative.dev/networking/pkg/apis/networking/v1alpha1"
)

const (
	ingressNamespace = "ingress"
	ingressDomain    = "ingress." + ingressNamespace + ".svc.cluster.local"
	// IngressAddress is where a lab's ingress listens.
	IngressAddress = podBridgeIP + ":80"
)

// ingress does what an ingress controller of Knative's does: it sends requests to the
// revisions that a Route's Ingress names, by its weights and with its headers, to the
// addresses that the revision's public Service has: the activator's, or the pods' own.
type ingress struct {
	c         *ControlPlane
	server    *http.Server
	stop      context.CancelFunc
	ingresses cache.GenericLister
	services  corelisters.ServiceLister
	slices    discoverylisters.EndpointSliceLister
	proxy     *httputil.ReverseProxy
}

// startIngress installs the lab's ingress and serves.
func (c *ControlPlane) startIngress(ctx context.Context) error {
	if err := c.apply(ctx, ingressObjects()...); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(c.restConfig)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.Background())
	core := informers.NewSharedInformerFactory(client, 0)
	custom := dynamicinformer.NewDynamicSharedInformerFactory(c.client, 0)
	i := &ingress{
		c: c, stop: stop,
		services:  core.Core().V1().Services().Lister(),
		slices:    core.Discovery().V1().EndpointSlices().Lister(),
		ingresses: custom.ForResource(ingresses).Lister(),
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy, transport.MaxIdleConnsPerHost = nil, 200
	i.proxy = &httputil.ReverseProxy{Transport: transport}
	handle := func(object any) {
		if o, ok := object.(*unstructured.Unstructured); ok {
			i.reconcile(running, o)
		}
	}
	if _, err := custom.ForResource(ingresses).Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: handle, UpdateFunc: func(_, object any) { handle(object) },
	}); err != nil {
		stop()
		return err
	}
	core.Start(running.Done())
	custom.Start(running.Done())
	core.WaitForCacheSync(ctx.Done())
	custom.WaitForCacheSync(ctx.Done())
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", IngressAddress)
	if err != nil {
		stop()
		return fmt.Errorf("serving the ingress: %w", err)
	}
	i.server = &http.Server{Handler: i, ReadHeaderTimeout: time.Minute}
	go func() { _ = i.server.Serve(listener) }()
	c.closeWithStop(i)
	return nil
}

// ingressObjects are a Service that leads to the ingress, for requests from pods.
func ingressObjects() []*unstructured.Unstructured {
	object := func(apiVersion, kind, name string, fields map[string]any) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: fields}
		o.SetAPIVersion(apiVersion)
		o.SetKind(kind)
		o.SetName(name)
		if kind != "Namespace" {
			o.SetNamespace(ingressNamespace)
		}
		return o
	}
	slice := object("discovery.k8s.io/v1", "EndpointSlice", "ingress", map[string]any{
		"addressType": "IPv4", "ports": []any{map[string]any{"name": "http", "port": int64(80)}},
		"endpoints": []any{map[string]any{"addresses": []any{podBridgeIP}}},
	})
	slice.SetLabels(map[string]string{discoveryv1.LabelServiceName: "ingress"})
	return []*unstructured.Unstructured{
		object("v1", "Namespace", ingressNamespace, map[string]any{}),
		object("v1", "Service", "ingress", map[string]any{
			"spec": map[string]any{"ports": []any{map[string]any{"name": "http", "port": int64(80)}}},
		}),
		slice,
	}
}

// Close ends the ingress.
func (i *ingress) Close() error {
	i.stop()
	return i.server.Close()
}

// reconcile says that an Ingress is served, for it is as soon as it has been seen.
func (i *ingress) reconcile(ctx context.Context, o *unstructured.Unstructured) {
	seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	if seen == o.GetGeneration() && requireCondition(o, "Ready") == nil {
		return
	}
	var conditions []any
	for _, kind := range []string{"LoadBalancerReady", "NetworkConfigured", "Ready"} {
		conditions = append(conditions, map[string]any{
			"type": kind, "status": "True", "lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
		})
	}
	gateway := map[string]any{"ingress": []any{map[string]any{"domainInternal": ingressDomain}}}
	// A conflict means that there is a newer one, which comes here too.
	_ = writeStatus(ctx, i.c.client.Resource(ingresses).Namespace(o.GetNamespace()), o.GetName(), map[string]any{
		"publicLoadBalancer": gateway, "privateLoadBalancer": gateway, "conditions": conditions,
	})
}

// ServeHTTP sends a request on. One whose connection is refused is sent to another address.
func (i *ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	split, headers, err := i.route(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	addresses, err := i.addresses(split)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	rand.Shuffle(len(addresses), func(a, b int) { addresses[a], addresses[b] = addresses[b], addresses[a] })
	proxy := *i.proxy
	proxy.Rewrite = func(p *httputil.ProxyRequest) {
		p.SetURL(&url.URL{Scheme: "http", Host: addresses[0]})
		p.Out.Host = r.Host
		p.SetXForwarded()
		for name, value := range headers {
			p.Out.Header.Set(name, value)
		}
	}
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		var failed *net.OpError
		if len(addresses) > 1 && errors.As(err, &failed) && failed.Op == "dial" && r.ContentLength == 0 {
			addresses = addresses[1:]
			proxy.ServeHTTP(w, r)
			return
		}
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
	proxy.ServeHTTP(w, r)
}

// route finds where a request goes, and what headers it gets.
func (i *ingress) route(r *http.Request) (networking.IngressBackendSplit, map[string]string, error) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	objects, err := i.ingresses.List(labels.Everything())
	if err != nil {
		return networking.IngressBackendSplit{}, nil, err
	}
	for _, object := range objects {
		var o networking.Ingress
		content := object.(*unstructured.Unstructured).Object
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &o); err != nil {
			return networking.IngressBackendSplit{}, nil, err
		}
		for _, rule := range o.Spec.Rules {
			for _, name := range rule.Hosts {
				if name == host && rule.HTTP != nil && len(rule.HTTP.Paths) > 0 {
					return choose(rule.HTTP.Paths, r)
				}
			}
		}
	}
	return networking.IngressBackendSplit{}, nil, fmt.Errorf("no Route has host %s", host)
}

// choose takes one of a path's splits by their weights.
func choose(paths []networking.HTTPIngressPath, r *http.Request) (
	backend networking.IngressBackendSplit, headers map[string]string, err error,
) {
	for _, path := range paths {
		matches := strings.HasPrefix(r.URL.Path, path.Path)
		for name, match := range path.Headers {
			matches = matches && r.Header.Get(name) == match.Exact
		}
		if !matches {
			continue
		}
		drawn := rand.N(100)
		for _, split := range path.Splits {
			if drawn -= split.Percent; drawn < 0 {
				headers = map[string]string{}
				for _, more := range []map[string]string{path.AppendHeaders, split.AppendHeaders} {
					maps.Copy(headers, more)
				}
				return split, headers, nil
			}
		}
	}
	return networking.IngressBackendSplit{}, nil, fmt.Errorf("no path of the Route's Ingress matches %s", r.URL.Path)
}

// addresses are those that serve a backend now.
func (i *ingress) addresses(backend networking.IngressBackendSplit) ([]string, error) {
	service, err := i.services.Services(backend.ServiceNamespace).Get(backend.ServiceName)
	if err != nil {
		return nil, err
	}
	port := ""
	for _, p := range service.Spec.Ports {
		if p.Name == backend.ServicePort.StrVal || p.Port == backend.ServicePort.IntVal {
			port = p.Name
		}
	}
	slices, err := i.slices.EndpointSlices(backend.ServiceNamespace).List(
		labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: backend.ServiceName}))
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, slice := range slices {
		for _, p := range slice.Ports {
			if p.Name == nil || *p.Name != port || p.Port == nil {
				continue
			}
			for _, endpoint := range slice.Endpoints {
				if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
					addresses = append(addresses, net.JoinHostPort(endpoint.Addresses[0], strconv.Itoa(int(*p.Port))))
				}
			}
		}
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("there are no addresses of Service %s", backend.ServiceName)
	}
	return addresses, nil
}
