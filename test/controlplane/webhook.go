package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	webhookNamespace = "kubetorch-system"
	// webhookName names the Service, the ServiceAccount and both webhook
	// configurations.
	webhookName = "kubetorch-webhook"
)

// WebhookOptions says which kubetorch webhook to install.
type WebhookOptions struct {
	// Binary is the path of the built webhook.
	Binary string
	// Manifests is the kustomize folder to install it with, such as deploy/. Without one
	// it is installed already, by Helm for example.
	Manifests string
	// Replicas is the number of processes; 0 means 1.
	Replicas int
	// ExtraArgs are appended to the arguments of every replica.
	ExtraArgs []string
	// Env is added to the environment of every replica.
	Env []string
}

// Webhook is an installed webhook.
type Webhook struct {
	// Replicas are its processes.
	Replicas []*Replica

	c    *ControlPlane
	port int // that the API server dials
}

// Replica is one process of a webhook.
type Replica struct {
	// Address is the loopback address and port it serves HTTPS on.
	Address string

	c       *ControlPlane
	name    string
	binary  string
	args    []string
	env     []string
	process *Process
	// endpoint says whether the load balancer passes connections on to it, if it is balanced.
	balanced bool
	endpoint atomic.Bool
}

// InstallWebhook installs the kubetorch webhook from its shipped manifests,
// runs it as local processes under its own ServiceAccount, and waits until all
// of them are ready and the API server can verify their certificate.
//
// The manifests are changed in three ways: the Service stands for this machine
// instead of pods, the webhook configurations carry the port to dial there,
// and the Deployment has no replicas. A Secret that its pods would mount for
// their certificate is written to a directory for each process.
func (c *ControlPlane) InstallWebhook(ctx context.Context, o WebhookOptions) (*Webhook, error) {
	w, err := c.installWebhook(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("installing the webhook from %q: %w", o.Manifests, err)
	}
	return w, nil
}

func (c *ControlPlane) installWebhook(ctx context.Context, o WebhookOptions) (*Webhook, error) {
	binary, err := filepath.Abs(o.Binary)
	if err != nil {
		return nil, err
	}
	replicas := max(o.Replicas, 1)
	ports, err := freePorts(replicas)
	if err != nil {
		return nil, err
	}
	w := &Webhook{c: c}
	for i, port := range ports {
		w.Replicas = append(w.Replicas, &Replica{
			Address: fmt.Sprintf("127.0.0.1:%d", port),
			c:       c, name: fmt.Sprintf("%s-%d", webhookName, i), binary: binary, env: o.Env, balanced: replicas > 1,
		})
	}
	w.port = ports[0]
	if replicas > 1 {
		b, err := startBalancer(w.Replicas)
		if err != nil {
			return nil, err
		}
		c.closeWithStop(b)
		w.port = b.port()
	}
	secret := ""
	if o.Manifests == "" {
		err = c.redirectInstalled(ctx, w.port)
	} else {
		secret, err = c.applyWebhookManifests(ctx, o.Manifests, w.port)
	}
	if err != nil {
		return nil, err
	}
	kubeconfig, err := c.ServiceAccountKubeconfig(ctx, webhookNamespace, webhookName)
	if err != nil {
		return nil, err
	}
	for _, r := range w.Replicas {
		r.args = append([]string{"serve", "--kubeconfig", kubeconfig, "--listen", r.Address}, o.ExtraArgs...)
		if secret != "" {
			dir := c.dir.join("mounts", fmt.Sprintf("%s-%s", r.name, filepath.Base(r.Address)))
			if err := c.mount(ctx, secret, dir); err != nil {
				return nil, err
			}
			r.args = append(r.args, certDirFlag+dir)
		}
		if err := r.start(); err != nil {
			return nil, err
		}
	}
	for _, r := range w.Replicas {
		if err := r.awaitReady(ctx); err != nil {
			return nil, err
		}
	}
	return w, c.awaitRegistered(ctx, w)
}

// applyWebhookManifests renders and applies the manifests with the changes
// InstallWebhook makes. The API server calls the webhook at the given port. It returns the
// Secret that pods would mount for their certificate, if there is one.
func (c *ControlPlane) applyWebhookManifests(ctx context.Context, dir string, port int) (secret string, err error) {
	rendered, _, err := c.Kubectl(ctx, nil, "kustomize", dir)
	if err != nil {
		return "", err
	}
	objects, err := decodeManifests([]byte(rendered))
	if err != nil {
		return "", fmt.Errorf("reading the rendered manifests: %w", err)
	}
	if secret, err = certificateSecret(objects); err != nil {
		return "", err
	}
	if err := redirectWebhooks(objects, port); err != nil {
		return "", err
	}
	if err := withoutReplicas(objects); err != nil {
		return "", err
	}
	// Webhook configurations go last: once they are opened, the API server refuses the
	// objects they cover while nobody answers.
	var namespaces, definitions, rest, hooks []*unstructured.Unstructured
	for _, o := range objects {
		switch kind := o.GetKind(); {
		case kind == "Namespace":
			namespaces = append(namespaces, o)
		case kind == "CustomResourceDefinition":
			definitions = append(definitions, o)
		case isWebhookConfiguration(o):
			hooks = append(hooks, o)
		case kind == "Service" && o.GetNamespace() == webhookNamespace && o.GetName() == webhookName:
			rest = append(rest, localhostService(webhookNamespace, webhookName))
		default:
			rest = append(rest, o)
		}
	}
	if err := c.apply(ctx, namespaces...); err != nil {
		return "", err
	}
	if err := c.applyCRDs(ctx, definitions...); err != nil {
		return "", err
	}
	return secret, c.apply(ctx, append(rest, hooks...)...)
}

// awaitRegistered waits until every entry of both webhook configurations says
// how to verify the webhook's certificate, and what to send to it.
func (c *ControlPlane) awaitRegistered(ctx context.Context, w *Webhook) error {
	var procs []*Process
	for _, r := range w.Replicas {
		procs = append(procs, r.process)
	}
	return await(ctx, "the webhook configurations' caBundle and rules", patience, func(ctx context.Context) error {
		for _, resource := range []schema.GroupVersionResource{mutatingHooks, validatingHooks} {
			o, err := c.client.Resource(resource).Get(ctx, webhookName, metav1.GetOptions{})
			if err != nil {
				return err
			}
			webhooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
			if err != nil {
				return err
			}
			for _, entry := range webhooks {
				webhook, _ := entry.(map[string]any)
				if bundle, _, _ := unstructured.NestedString(webhook, "clientConfig", "caBundle"); bundle == "" {
					return fmt.Errorf("%s %s: webhook %v has no caBundle", o.GetKind(), webhookName, webhook["name"])
				}
				if rules, _, _ := unstructured.NestedSlice(webhook, "rules"); len(rules) == 0 {
					return fmt.Errorf("%s %s: webhook %v has no rules", o.GetKind(), webhookName, webhook["name"])
				}
			}
		}
		return nil
	}, procs...)
}

// Redirect does once more what InstallWebhook did to installed manifests, after they were
// installed again, and waits until the API server can verify the certificate.
func (w *Webhook) Redirect(ctx context.Context) error {
	if err := w.c.redirectInstalled(ctx, w.port); err != nil {
		return err
	}
	return w.c.awaitRegistered(ctx, w)
}

// Stop stops all replicas. The manifests stay installed, as when a cluster's
// webhook pods are gone.
func (w *Webhook) Stop() error {
	var errs []error
	for _, r := range w.Replicas {
		errs = append(errs, r.process.Stop())
	}
	return errors.Join(errs...)
}

// Process is the replica's running process, or its last one.
func (r *Replica) Process() *Process { return r.process }

// Restart starts the replica again after its process has ended or, stopping it
// first, while it runs. It returns when the replica is ready.
func (r *Replica) Restart(ctx context.Context) error {
	if err := r.process.Stop(); err != nil {
		return err
	}
	r.endpoint.Store(false) // what the load balancer has seen is the process before
	if err := r.start(); err != nil {
		return err
	}
	return r.awaitReady(ctx)
}

// Ready returns nil if the replica's readiness endpoint answers.
func (r *Replica) Ready(ctx context.Context) error {
	return get(ctx, probeClient, "https://"+r.Address+"/readyz")
}

// probeClient does not verify certificates, like a kubelet's probes.
// It keeps no connection: the webhook ends those that are not used, which clients complain of.
var probeClient = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}

func (r *Replica) start() (err error) {
	// The Deployment sets these as well.
	env := append([]string{"POD_NAMESPACE=" + webhookNamespace, "POD_NAME=" + r.name}, r.env...)
	if r.process, err = r.c.StartProcess(r.name, env, r.binary, r.args...); err != nil {
		return err
	}
	// As long as a pod has, for tests of a graceful shutdown.
	r.process.grace = 30 * time.Second
	return nil
}

func (r *Replica) awaitReady(ctx context.Context) error {
	return await(ctx, "readiness of "+r.name, patience, func(ctx context.Context) error {
		if r.balanced && !r.endpoint.Load() {
			return errors.New("the load balancer has not seen it ready")
		}
		return r.Ready(ctx)
	}, r.process)
}
