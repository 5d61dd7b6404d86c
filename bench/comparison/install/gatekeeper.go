package install

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

// GatekeeperOptions say what Gatekeeper's webhooks cover.
type GatekeeperOptions struct {
	// Binary is its built manager.
	Binary string
	// Mutation also has it mutate.
	Mutation bool
	// Namespace is the only one that it covers; empty is all.
	Namespace string
	// Pods also has it cover pods and what makes them.
	Pods bool
}

// Server is a webhook that runs.
type Server struct {
	// Version is that of its module, Address where it serves HTTPS.
	Version, Address string
	Process          *controlplane.Process
}

// Gatekeeper applies Gatekeeper's own manifests, without what runs in pods, and starts its
// manager with the arguments of its webhook's Deployment. The webhook covers only Knative
// Services, or what makes pods, and fails closed, as its documentation describes: shipped are every kind and
// failurePolicy Ignore.
func Gatekeeper(ctx context.Context, cluster *controlplane.ControlPlane, o GatekeeperOptions) (*Server, error) {
	m, err := PinnedModule(ctx, "gatekeeper", "github.com/open-policy-agent/gatekeeper/v3")
	if err != nil {
		return nil, err
	}
	shipped, err := ReadObjects(filepath.Join(m.Dir, "deploy", "gatekeeper.yaml"))
	if err != nil {
		return nil, err
	}
	var objects []Object
	for _, o := range shipped {
		switch KindOf(o) {
		case "Namespace", "CustomResourceDefinition", "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding":
			objects = append(objects, o)
		}
	}
	if err := Apply(ctx, cluster, append(objects, Localhost(gatekeeperNamespace, gatekeeperService))...); err != nil {
		return nil, err
	}
	kubeconfig, err := cluster.ServiceAccountKubeconfig(ctx, gatekeeperNamespace, "gatekeeper-admin")
	if err != nil {
		return nil, err
	}
	dir, ca, err := writeCertificate(filepath.Dir(kubeconfig))
	if err != nil {
		return nil, err
	}
	ports, err := FreePorts(3)
	if err != nil {
		return nil, err
	}
	health := fmt.Sprintf("127.0.0.1:%d", ports[1])
	args := []string{
		"--kubeconfig=" + kubeconfig,
		"--host=127.0.0.1", "--port=" + strconv.Itoa(ports[0]),
		"--disable-cert-rotation", "--cert-dir=" + dir,
		"--health-addr=" + health, "--prometheus-port=" + strconv.Itoa(ports[2]),
		"--logtostderr",
		"--exempt-namespace=" + gatekeeperNamespace,
		// As shipped, the audit's pod makes CRDs of the templates.
		"--operation=webhook", "--operation=generate",
		// It runs in no pod, and so finds none of its own.
		"--debug-use-fake-pod",
		"--disable-opa-builtin={http.send}",
	}
	if o.Mutation {
		args = append(args, "--operation=mutation-webhook")
	}
	process, err := cluster.StartProcess("gatekeeper",
		[]string{"POD_NAMESPACE=" + gatekeeperNamespace, "NAMESPACE=" + gatekeeperNamespace, "CONTAINER_NAME=manager"}, o.Binary, args...)
	if err != nil {
		return nil, err
	}
	if err := awaitHealthy(ctx, process, "http://"+health+"/readyz"); err != nil {
		return nil, err
	}
	configurations := []Object{gatekeeperConfiguration("Validating", "validation.gatekeeper.sh", "/v1/admit", o, ports[0], ca)}
	if o.Mutation {
		configurations = append(configurations, gatekeeperConfiguration("Mutating", "mutation.gatekeeper.sh", "/v1/mutate", o, ports[0], ca))
	}
	return &Server{m.Version, fmt.Sprintf("127.0.0.1:%d", ports[0]), process}, Apply(ctx, cluster, configurations...)
}

func gatekeeperConfiguration(kind, name, path string, o GatekeeperOptions, port int, ca []byte) Object {
	rules := []any{webhookRule("serving.knative.dev", "services")}
	if o.Pods {
		rules = append(rules, webhookRule("", "pods"), webhookRule("batch", "jobs", "cronjobs"),
			webhookRule("apps", "deployments", "replicasets", "statefulsets", "daemonsets"))
	}
	namespaces := Object{}
	if o.Namespace != "" {
		namespaces["matchLabels"] = Object{"kubernetes.io/metadata.name": o.Namespace}
	}
	return Object{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind + "WebhookConfiguration",
		"metadata": Object{"name": "gatekeeper-webhook-configuration"},
		"webhooks": []any{Object{
			"name":                    name,
			"admissionReviewVersions": []any{"v1", "v1beta1"},
			"clientConfig": Object{
				"caBundle": base64.StdEncoding.EncodeToString(ca),
				"service":  Object{"namespace": gatekeeperNamespace, "name": gatekeeperService, "path": path, "port": port},
			},
			"namespaceSelector": namespaces,
			"rules":             rules,
			"failurePolicy":     "Fail", "sideEffects": "None", "timeoutSeconds": 30,
		}},
	}
}

func webhookRule(group string, resources ...any) Object {
	return Object{"apiGroups": []any{group}, "apiVersions": []any{"v1"}, "resources": resources, "operations": []any{"CREATE", "UPDATE"}}
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
	err := Await(ctx, process.Name()+" to be ready", func(ctx context.Context) error {
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
