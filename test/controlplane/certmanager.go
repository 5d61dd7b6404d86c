package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const certManagerNamespace = "cert-manager"

var issuers = schema.GroupVersionResource{Group: "cert-manager.io", Version: "v1", Resource: "issuers"}

// copyCertManagerManifests copies cert-manager's CRDs to out. In the module they are Helm
// templates, in which only labels are filled in.
func (b *builder) copyCertManagerManifests(ctx context.Context, modDir, out string) error {
	module, err := b.moduleDir(ctx, modDir, certManager)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(module, "deploy", "crds", "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s has no CRDs", certManager)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var lines [][]byte
		for line := range bytes.Lines(text) {
			if !bytes.Contains(line, []byte("{{")) {
				lines = append(lines, line)
			}
		}
		if err := os.WriteFile(filepath.Join(out, filepath.Base(file)), bytes.Join(lines, nil), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// StartCertManager builds what is missing of cert-manager, installs and starts its
// controller, cainjector and webhook, and waits until they take issuers.
func (c *ControlPlane) StartCertManager(ctx context.Context) error {
	if err := c.startCertManager(ctx); err != nil {
		return fmt.Errorf("starting cert-manager: %w", err)
	}
	return nil
}

func (c *ControlPlane) startCertManager(ctx context.Context) error {
	tools, err := EnsureTools(ctx, os.Stderr, CertManagerController, CertManagerCAInjector, CertManagerWebhook, certManagerManifests)
	if err != nil {
		return err
	}
	definitions, err := readManifests(tools[certManagerManifests])
	if err != nil {
		return err
	}
	if err := c.applyCRDs(ctx, definitions...); err != nil {
		return err
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	const webhook = "cert-manager-webhook"
	hooks, err := decodeManifests(fmt.Appendf(nil, certManagerHooks, ports[0]))
	if err != nil {
		return err
	}
	if err := c.apply(ctx, append(hooks, localhostService(certManagerNamespace, webhook))...); err != nil {
		return err
	}
	var procs []*Process
	for _, p := range []struct {
		name string
		args []string
	}{
		{CertManagerWebhook, []string{
			fmt.Sprintf("--secure-port=%d", ports[0]), fmt.Sprintf("--healthz-port=%d", ports[1]),
			"--dynamic-serving-ca-secret-namespace=" + certManagerNamespace, "--dynamic-serving-ca-secret-name=" + webhook + "-ca",
			"--dynamic-serving-dns-names=" + webhook + "." + certManagerNamespace + ".svc",
		}},
		{CertManagerCAInjector, []string{"--leader-elect=false"}},
		{CertManagerController, []string{
			"--leader-elect=false", "--cluster-resource-namespace=" + certManagerNamespace,
			fmt.Sprintf("--metrics-listen-address=127.0.0.1:%d", ports[2]),
		}},
	} {
		process, err := c.StartProcess(p.name, []string{"POD_NAMESPACE=" + certManagerNamespace}, tools[p.name], append(p.args, "--kubeconfig="+c.kubeconfig)...)
		if err != nil {
			return err
		}
		procs = append(procs, process)
	}
	return portError(await(ctx, "cert-manager's webhook", time.Minute, c.probeCertManager, procs...))
}

// probeCertManager succeeds when cert-manager's webhook lets a valid issuer pass and
// refuses another one.
func (c *ControlPlane) probeCertManager(ctx context.Context) error {
	create := func(spec map[string]any) error {
		_, err := c.client.Resource(issuers).Namespace(metav1.NamespaceDefault).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": map[string]any{"name": "probe"}, "spec": spec,
		}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	if err := create(map[string]any{"selfSigned": map[string]any{}}); err != nil {
		return err
	}
	if create(map[string]any{}) == nil {
		return errors.New("the webhook takes an issuer of no kind")
	}
	return nil
}

// certManagerHooks is what its chart installs of its webhook, with the port to dial.
const certManagerHooks = `
apiVersion: v1
kind: Namespace
metadata: {name: cert-manager}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: cert-manager-webhook, annotations: {cert-manager.io/inject-ca-from-secret: cert-manager/cert-manager-webhook-ca}}
webhooks:
- name: webhook.cert-manager.io
  rules: [{apiGroups: [cert-manager.io, acme.cert-manager.io], apiVersions: [v1], operations: [CREATE, UPDATE], resources: ["*/*"]}]
  admissionReviewVersions: [v1]
  failurePolicy: Fail
  sideEffects: None
  clientConfig: {service: {name: cert-manager-webhook, namespace: cert-manager, path: /mutate, port: %[1]d}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: cert-manager-webhook, annotations: {cert-manager.io/inject-ca-from-secret: cert-manager/cert-manager-webhook-ca}}
webhooks:
- name: webhook.cert-manager.io
  rules: [{apiGroups: [cert-manager.io, acme.cert-manager.io], apiVersions: [v1], operations: [CREATE, UPDATE], resources: ["*/*"]}]
  admissionReviewVersions: [v1]
  failurePolicy: Fail
  sideEffects: None
  clientConfig: {service: {name: cert-manager-webhook, namespace: cert-manager, path: /validate, port: %[1]d}}
`
