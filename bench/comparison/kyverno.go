package main

import (
	"context"
	"path/filepath"
	"strconv"

	"github.com/kubetorch/webhook/bench/comparison/install"
	"github.com/kubetorch/webhook/test/controlplane"
)

const kyvernoNamespace = "kyverno"

// kyverno is Kyverno's admission controller with a ValidatingPolicy that lists the Services
// at the API server for every request.
type kyverno struct{}

func (kyverno) Name() string { return "Kyverno" }

func (kyverno) Tools() []string { return []string{controlplane.Kyverno} }

func (kyverno) Options() controlplane.Options { return controlplane.Options{} }

// Install applies Kyverno's own manifests, without what runs in pods, and starts its
// admission controller with the arguments of its Deployment. It writes its webhook
// configurations itself.
func (kyverno) Install(ctx context.Context, cluster *controlplane.ControlPlane, tools map[string]string, rules string) (string, error) {
	m, err := install.PinnedModule(ctx, "kyverno", "github.com/kyverno/kyverno")
	if err != nil {
		return "", err
	}
	shipped, err := install.ReadObjects(filepath.Join(m.Dir, "config", "install-latest-testing.yaml"))
	if err != nil {
		return "", err
	}
	var objects []install.Object
	for _, o := range shipped {
		switch install.KindOf(o) {
		case "Deployment":
			// Without pods; the controller looks for its own.
			if spec, ok := o["spec"].(install.Object); ok {
				spec["replicas"] = 0
			}
		case "Service":
			continue
		}
		objects = append(objects, o)
	}
	if err := install.Apply(ctx, cluster, append(objects, install.Localhost(kyvernoNamespace, "kyverno-svc"))...); err != nil {
		return "", err
	}
	kubeconfig, err := cluster.ServiceAccountKubeconfig(ctx, kyvernoNamespace, "kyverno-admission-controller")
	if err != nil {
		return "", err
	}
	ports, err := install.FreePorts(1)
	if err != nil {
		return "", err
	}
	port := strconv.Itoa(ports[0])
	_, err = cluster.StartProcess("kyverno",
		[]string{
			"INIT_CONFIG=kyverno", "METRICS_CONFIG=kyverno-metrics",
			"KYVERNO_NAMESPACE=" + kyvernoNamespace, "KYVERNO_POD_NAME=kyverno-admission-controller",
			"KYVERNO_SERVICEACCOUNT_NAME=kyverno-admission-controller", "KYVERNO_ROLE_NAME=kyverno:admission-controller",
			"KYVERNO_SVC=kyverno-svc", "KYVERNO_DEPLOYMENT=kyverno-admission-controller",
		},
		tools[controlplane.Kyverno],
		"--kubeconfig="+kubeconfig,
		"--webhookServerHost=127.0.0.1", "--webhookServerPort="+port, "--servicePort="+port,
		"--caSecretName=kyverno-svc.kyverno.svc.kyverno-tls-ca", "--tlsSecretName=kyverno-svc.kyverno.svc.kyverno-tls-pair",
		"--backgroundServiceAccountName=system:serviceaccount:kyverno:kyverno-background-controller",
		"--reportsServiceAccountName=system:serviceaccount:kyverno:kyverno-reports-controller",
		"--disableMetrics=true", "--controllerRuntimeMetricsAddress=0",
		// Reports are for a controller that does not run here.
		"--admissionReports=false",
		"--omitEvents=PolicyApplied,PolicySkipped,PolicyViolation,PolicyError",
		"--loggingFormat=text", "--v=2",
	)
	if err != nil {
		return "", err
	}
	return m.Version, applyRule(ctx, cluster, rules, "kyverno.yaml")
}
