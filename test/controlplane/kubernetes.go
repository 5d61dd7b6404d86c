package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

const (
	// ClusterIPs are loopback addresses, so that nothing sent to one can
	// leave the machine.
	serviceCIDR         = "127.96.0.0/16"
	kubernetesServiceIP = "127.96.0.1"
	// frontProxyUser is who may tell the API server's extensions on whose
	// behalf a request is made.
	frontProxyUser = "front-proxy-client"
)

// startAPIServer starts etcd and kube-apiserver and waits until both are ready.
func (c *ControlPlane) startAPIServer(ctx context.Context) (*Process, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	etcdURL := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	etcd, err := c.StartProcess(Etcd, nil, c.Tool(Etcd),
		"--data-dir="+c.dir.join("etcd"),
		// The data does not outlive the process.
		"--unsafe-no-fsync",
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		// A single member never talks to peers, but insists on a listener
		// and on a name for it that is not port 0.
		"--listen-peer-urls=http://127.0.0.1:0",
		"--initial-advertise-peer-urls=http://127.0.0.1:2380", "--initial-cluster=default=http://127.0.0.1:2380",
	)
	if err != nil {
		return nil, err
	}
	err = await(ctx, "etcd", patience, func(ctx context.Context) error {
		return get(ctx, http.DefaultClient, etcdURL+"/readyz")
	}, etcd)
	if err != nil {
		return nil, portError(err)
	}

	c.server = fmt.Sprintf("https://127.0.0.1:%d", ports[1])
	if err := c.connect(); err != nil {
		return nil, err
	}
	p := c.pki
	requestTimeout := c.options.RequestTimeout
	if requestTimeout == 0 {
		requestTimeout = time.Minute
	}
	audit, err := c.auditFlags()
	if err != nil {
		return nil, err
	}
	admission, err := c.admissionFlags()
	if err != nil {
		return nil, err
	}
	network := c.options.network()
	c.apiserverArgs = append(append(append(audit, admission...), c.nodeFlags()...),
		"--request-timeout="+requestTimeout.String(),
		"--etcd-servers="+etcdURL,
		"--bind-address="+network.bind, "--advertise-address="+network.advertise, fmt.Sprintf("--secure-port=%d", ports[1]),
		"--endpoint-reconciler-type="+network.reconciler,
		"--service-cluster-ip-range="+network.services,
		"--tls-cert-file="+p.apiserver.certFile, "--tls-private-key-file="+p.apiserver.keyFile,
		"--client-ca-file="+p.ca.certFile,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+p.saPublicFile, "--service-account-signing-key-file="+p.saKeyFile,
		"--requestheader-client-ca-file="+p.frontProxyCA.certFile,
		"--requestheader-allowed-names="+frontProxyUser,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+p.frontProxy.certFile, "--proxy-client-key-file="+p.frontProxy.keyFile,
		"--allow-privileged=true",
		"--cert-dir="+c.dir.join("pki"),
	)
	apiserver, err := c.StartProcess(KubeAPIServer, nil, c.Tool(KubeAPIServer), c.apiserverArgs...)
	if err != nil {
		return nil, err
	}
	return apiserver, portError(c.awaitAPIServer(ctx, apiserver, etcd))
}

// nodeFlags are the API server's flags that differ where there is a real node.
func (c *ControlPlane) nodeFlags() []string {
	if !c.options.Pods {
		return []string{"--authorization-mode=RBAC"}
	}
	return []string{
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--kubelet-client-certificate=" + c.pki.admin.certFile, "--kubelet-client-key=" + c.pki.admin.keyFile,
	}
}

// awaitAPIServer waits until kube-apiserver is ready, or one of the processes ends.
func (c *ControlPlane) awaitAPIServer(ctx context.Context, procs ...*Process) error {
	client, err := rest.HTTPClientFor(c.restConfig)
	if err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	return await(ctx, "kube-apiserver", patience, func(ctx context.Context) error {
		return get(ctx, client, c.server+"/readyz")
	}, procs...)
}

// RestartAPIServer stops kube-apiserver, starts it again with the same arguments and the
// same data, and returns when it is ready.
func (c *ControlPlane) RestartAPIServer(ctx context.Context) error {
	if err := c.apiserver.Stop(); err != nil {
		return err
	}
	apiserver, err := c.StartProcess(KubeAPIServer, nil, c.Tool(KubeAPIServer), c.apiserverArgs...)
	if err != nil {
		return err
	}
	c.apiserver = apiserver
	return c.awaitAPIServer(ctx, apiserver)
}

// startKubeControllers starts kube-controller-manager and, if asked for,
// kube-scheduler. It does not wait for them.
func (c *ControlPlane) startKubeControllers(_ context.Context, scheduler bool) (kcm *Process, err error) {
	kubeconfig, err := c.writeKubeconfig(KubeControllerManager, certificateUser(c.pki.kcm))
	if err != nil {
		return nil, err
	}
	kcm, err = c.StartProcess(KubeControllerManager, nil, c.Tool(KubeControllerManager),
		"--kubeconfig="+kubeconfig,
		// Port 0 means no listener.
		"--secure-port=0",
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		// With the default rate limit it takes five seconds to get a token
		// for each of its controllers.
		"--kube-api-qps=500", "--kube-api-burst=1000",
		// Of 15 seconds a test would spend most in waiting.
		"--horizontal-pod-autoscaler-sync-period=2s",
		"--service-account-private-key-file="+c.pki.saKeyFile, "--root-ca-file="+c.pki.ca.certFile,
		"--service-cluster-ip-range="+c.options.network().services,
	)
	if err != nil || !scheduler {
		return kcm, err
	}
	if kubeconfig, err = c.writeKubeconfig(KubeScheduler, certificateUser(c.pki.scheduler)); err != nil {
		return nil, err
	}
	_, err = c.StartProcess(KubeScheduler, nil, c.Tool(KubeScheduler),
		"--kubeconfig="+kubeconfig, "--secure-port=0", "--leader-elect=false")
	return kcm, err
}

// awaitServiceAccounts waits until kube-controller-manager has given the
// default namespace its ServiceAccount, without which no pod can be created.
func (c *ControlPlane) awaitServiceAccounts(ctx context.Context, kcm *Process) error {
	return await(ctx, "kube-controller-manager", patience, func(ctx context.Context) error {
		_, err := c.client.Resource(serviceAccounts).Namespace(metav1.NamespaceDefault).
			Get(ctx, "default", metav1.GetOptions{})
		return err
	}, kcm)
}

// get fails unless a GET request is answered with 200.
func get(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	// What is read to its end leaves the connection to the next request.
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return nil
}

// errPortTaken marks failures that another choice of ports may avoid.
var errPortTaken = errors.New("port already in use")

// portError marks err with errPortTaken if a process failed to listen.
func portError(err error) error {
	if err != nil && strings.Contains(err.Error(), "address already in use") {
		return fmt.Errorf("%w: %w", errPortTaken, err)
	}
	return err
}
