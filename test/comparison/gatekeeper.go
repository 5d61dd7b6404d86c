package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	certutil "k8s.io/client-go/util/cert"

	"github.com/kubetorch/webhook/test/controlplane"
)

const (
	gatekeeperNamespace = "gatekeeper-system"
	gatekeeperService   = "gatekeeper-webhook-service"
)

// gatekeeper is OPA Gatekeeper with a Rego rule over replicated data.
type gatekeeper struct{}

func (gatekeeper) Name() string { return "Gatekeeper" }

func (gatekeeper) Tools() []string { return []string{controlplane.Gatekeeper} }

func (gatekeeper) Options() controlplane.Options { return controlplane.Options{} }

// Install applies Gatekeeper's own manifests, without what runs in pods, and starts its
// manager with the arguments of its webhook's Deployment. The webhook covers only Knative
// Services and fails closed, as its documentation describes: shipped are every kind and
// failurePolicy Ignore.
func (gatekeeper) Install(ctx context.Context, cluster *controlplane.ControlPlane, tools map[string]string) (string, error) {
	m, err := pinnedModule(ctx, "gatekeeper", "github.com/open-policy-agent/gatekeeper/v3")
	if err != nil {
		return "", err
	}
	shipped, err := readObjects(filepath.Join(m.Dir, "deploy", "gatekeeper.yaml"))
	if err != nil {
		return "", err
	}
	var objects []object
	for _, o := range shipped {
		switch kindOf(o) {
		case "Namespace", "CustomResourceDefinition", "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding":
			objects = append(objects, o)
		}
	}
	if err := apply(ctx, cluster, append(objects, localhost(gatekeeperNamespace, gatekeeperService))...); err != nil {
		return "", err
	}
	kubeconfig, err := cluster.ServiceAccountKubeconfig(ctx, gatekeeperNamespace, "gatekeeper-admin")
	if err != nil {
		return "", err
	}
	dir, ca, err := writeCertificate(filepath.Dir(kubeconfig))
	if err != nil {
		return "", err
	}
	ports, err := freePorts(3)
	if err != nil {
		return "", err
	}
	health := fmt.Sprintf("127.0.0.1:%d", ports[1])
	process, err := cluster.StartProcess("gatekeeper",
		[]string{"POD_NAMESPACE=" + gatekeeperNamespace, "NAMESPACE=" + gatekeeperNamespace, "CONTAINER_NAME=manager"},
		tools[controlplane.Gatekeeper],
		"--kubeconfig="+kubeconfig,
		"--host=127.0.0.1", "--port="+strconv.Itoa(ports[0]),
		"--disable-cert-rotation", "--cert-dir="+dir,
		"--health-addr="+health, "--prometheus-port="+strconv.Itoa(ports[2]),
		"--logtostderr",
		"--exempt-namespace="+gatekeeperNamespace,
		// As shipped, the audit's pod makes CRDs of the templates.
		"--operation=webhook", "--operation=generate",
		// It runs in no pod, and so finds none of its own.
		"--debug-use-fake-pod",
		"--disable-opa-builtin={http.send}",
	)
	if err != nil {
		return "", err
	}
	if err := awaitHealthy(ctx, process, "http://"+health+"/readyz"); err != nil {
		return "", err
	}
	if err := apply(ctx, cluster, gatekeeperConfiguration(ports[0], ca)); err != nil {
		return "", err
	}
	if err := applyRule(ctx, cluster, "gatekeeper-template.yaml"); err != nil {
		return "", err
	}
	return m.Version, applyRule(ctx, cluster, "gatekeeper-constraint.yaml")
}

func gatekeeperConfiguration(port int, ca []byte) object {
	return object{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
		"metadata": object{"name": "gatekeeper-validating-webhook-configuration"},
		"webhooks": []any{object{
			"name":                    "validation.gatekeeper.sh",
			"admissionReviewVersions": []any{"v1", "v1beta1"},
			"clientConfig": object{
				"caBundle": base64.StdEncoding.EncodeToString(ca),
				"service":  object{"namespace": gatekeeperNamespace, "name": gatekeeperService, "path": "/v1/admit", "port": port},
			},
			"rules": []any{object{
				"apiGroups": []any{"serving.knative.dev"}, "apiVersions": []any{"v1"}, "resources": []any{"services"},
				"operations": []any{"CREATE", "UPDATE"},
			}},
			"failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 30,
		}},
	}
}

// writeCertificate writes a certificate for Gatekeeper's Service into a folder of its own.
func writeCertificate(parent string) (dir string, ca []byte, err error) {
	host := gatekeeperService + "." + gatekeeperNamespace + ".svc"
	certificate, key, err := certutil.GenerateSelfSignedCertKey(host, nil, nil)
	if err != nil {
		return "", nil, fmt.Errorf("making a certificate: %w", err)
	}
	dir = filepath.Join(parent, "gatekeeper-certs")
	err = errors.Join(
		os.MkdirAll(dir, 0o700),
		os.WriteFile(filepath.Join(dir, "tls.crt"), certificate, 0o600),
		os.WriteFile(filepath.Join(dir, "tls.key"), key, 0o600),
	)
	return dir, certificate, err
}

// awaitHealthy waits until a process answers a request, and fails when it ends.
func awaitHealthy(ctx context.Context, process *controlplane.Process, url string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-process.Done():
			cancel(fmt.Errorf("%s ended: %w", process.Name(), process.Err()))
		case <-ctx.Done():
		}
	}()
	err := await(ctx, process.Name()+" to be ready", func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s", url, response.Status)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w (%v); see %s", err, context.Cause(ctx), process.LogFile())
	}
	return nil
}
