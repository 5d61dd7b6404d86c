package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Of a lab, which has a network namespace of its own: these ranges lead nowhere else.
const (
	nodeName = "pods"
	// podBridge joins the pods' interfaces and the lab's own programs.
	podBridge    = "cni0"
	podBridgeIP  = "10.85.0.1"
	podsCIDR     = "10.85.0.0/16"
	clusterCIDR  = "10.96.0.0/16"
	kubernetesIP = "10.96.0.1"
	// GPUProduct is the type of the lab's GPUs.
	GPUProduct = "NVIDIA-L4"
)

// podNetwork is where the API server and Services are.
type podNetwork struct {
	services, kubernetes string // the range of ClusterIPs, and the API server's own
	bind, advertise      string
	reconciler           string
}

// network of a control plane: loopback addresses, or those of a lab.
func (o Options) network() podNetwork {
	if o.Pods {
		return podNetwork{
			services: clusterCIDR, kubernetes: kubernetesIP,
			bind: "0.0.0.0", advertise: podBridgeIP, reconciler: "lease",
		}
	}
	// The reconciler publishes the API server's address as an endpoint, for which loopback
	// addresses are not allowed.
	return podNetwork{
		services: serviceCIDR, kubernetes: kubernetesServiceIP,
		bind: "127.0.0.1", advertise: "127.0.0.1", reconciler: "none",
	}
}

// preparePods makes the network and the cgroups of a lab.
func (c *ControlPlane) preparePods(ctx context.Context) error {
	if labDir() == "" {
		return errors.New("pods run in namespaces of their own: call Isolate first")
	}
	if err := c.prepareMachine(ctx); err != nil {
		return fmt.Errorf("%s: %w", cannotRunPods, err)
	}
	return nil
}

// cannotRunPods is what is said of a machine that lacks what pods take.
const cannotRunPods = "this machine cannot run pods"

func (c *ControlPlane) prepareMachine(ctx context.Context) error {
	if err := tryOverlay(c.dir.join("overlay")); err != nil {
		return fmt.Errorf("mounting an overlay below %s: %w", c.dir.path, err)
	}
	for _, command := range []string{
		"ip link set lo up",
		"ip link add " + podBridge + " type bridge",
		"ip addr add " + podBridgeIP + "/16 dev " + podBridge,
		"ip link set " + podBridge + " up",
		// kube-proxy sends what goes to a ClusterIP elsewhere, but first it needs a way.
		"ip route add " + clusterCIDR + " dev " + podBridge + " src " + podBridgeIP,
	} {
		if err := runCommand(ctx, strings.Fields(command)...); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("forwarding between pods and Services: %w", err)
	}
	name := filepath.Base(labDir())
	return errors.Join(makeCgroups(name), makeCgroups(filepath.Join(name, programsCgroup)))
}

// programsCgroup is the cgroup of the node's own programs, beside those of pods: in version 2
// a cgroup has processes or cgroups below it, not both.
const programsCgroup = "programs"

// runCommand runs a command that prints only what is wrong.
func runCommand(ctx context.Context, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = baseEnvironment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

const containerdConfig = `version = 3
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "` + pauseImage + `"
[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE nobody may lower a process's OOM score.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "%s"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      SystemdCgroup = false
`

const cniConfig = `{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "` + podBridge + `", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "` + podsCIDR + `"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "loopback"}]}
`

// kubeletConfig: cgroups of version 1 are what some machines have, and the requests of pods
// are all that is reserved on a machine that runs everything else too.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[1]s}
authorization: {mode: Webhook}
address: ` + podBridgeIP + `
healthzBindAddress: 127.0.0.1
cgroupDriver: cgroupfs
cgroupRoot: /%[2]s
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
enforceNodeAllocatable: []
clusterDomain: cluster.local
clusterDNS: [` + podBridgeIP + `]
resolvConf: ""
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi}
localStorageCapacityIsolation: false
kubeAPIQPS: 500
kubeAPIBurst: 1000
maxPods: 250
podLogsDir: %[3]s
shutdownGracePeriod: 0s
`

const kubeProxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: ` + podsCIDR + `
hostnameOverride: ` + nodeName + `
bindAddress: 0.0.0.0
clientConnection: {kubeconfig: %s}
# These limits are the machine's, which a network namespace may not change.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables: {minSyncPeriod: 100ms}
`

// startPodNode runs containerd, kubelet, kube-proxy and DNS: a node on which pods run.
func (c *ControlPlane) startPodNode(ctx context.Context) error {
	cni := c.dir.join("cni")
	if err := os.MkdirAll(cni, 0o755); err != nil {
		return err
	}
	nodeKubeconfig, err := c.writeKubeconfig(Kubelet, certificateUser(c.pki.node))
	if err != nil {
		return err
	}
	proxyKubeconfig, err := c.writeKubeconfig(KubeProxy, certificateUser(c.pki.proxy))
	if err != nil {
		return err
	}
	files := map[string]string{
		filepath.Join(cni, "10-pods.conflist"): cniConfig,
		c.dir.join("containerd.toml"):          fmt.Sprintf(containerdConfig, cni),
		c.dir.join("kubelet.yaml"): fmt.Sprintf(kubeletConfig,
			c.pki.ca.certFile, filepath.Base(labDir()), filepath.Join(c.LogDir(), "pods")),
		c.dir.join("kube-proxy.yaml"): fmt.Sprintf(kubeProxyConfig, proxyKubeconfig),
	}
	for file, text := range files {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return fmt.Errorf("configuring the node: %w", err)
		}
	}
	if err := c.startContainerd(ctx); err != nil {
		return err
	}
	proxy, err := c.StartProcess(KubeProxy, nil, c.Tool(KubeProxy), "--config="+c.dir.join("kube-proxy.yaml"))
	if err != nil {
		return err
	}
	kubelet, err := c.StartProcess(Kubelet, nil, c.Tool(Kubelet),
		"--config="+c.dir.join("kubelet.yaml"), "--kubeconfig="+nodeKubeconfig, "--cert-dir="+c.dir.join("kubelet-pki"),
		"--hostname-override="+nodeName, "--node-ip="+podBridgeIP, "--node-labels=nvidia.com/gpu.product="+GPUProduct)
	if err != nil {
		return err
	}
	dns, err := c.serveDNS(ctx)
	if err != nil {
		return err
	}
	c.closeWithStop(dns)
	if c.options.HPA {
		if err := c.installMetrics(ctx); err != nil {
			return fmt.Errorf("serving metrics: %w", err)
		}
	}
	err = await(ctx, "node "+nodeName, patience, func(ctx context.Context) error {
		o, err := c.client.Resource(nodes).Get(ctx, nodeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return requireCondition(o, "Ready")
	}, kubelet, proxy)
	if err != nil || c.options.GPUs == 0 {
		return err
	}
	return c.startGPUs(ctx, c.options.GPUs)
}

// startContainerd runs containerd in the lab's cgroup, so that all it starts is found there.
func (c *ControlPlane) startContainerd(ctx context.Context) error {
	// It finds its shim and runc by PATH.
	env := []string{"PATH=" + filepath.Dir(c.Tool(ContainerdShim)) + ":" + os.Getenv("PATH") + ":/usr/sbin:/sbin"}
	containerd, err := c.StartProcess(Containerd, env, c.Tool(Containerd), "--config="+c.dir.join("containerd.toml"))
	if err != nil {
		return err
	}
	if err := enterCgroups(filepath.Join(filepath.Base(labDir()), programsCgroup), containerd.PID()); err != nil {
		return err
	}
	err = await(ctx, "containerd", patience, func(ctx context.Context) error {
		return runCommand(ctx, c.Tool(Ctr), "version")
	}, containerd)
	if err != nil {
		return err
	}
	if c.imageTool, err = c.buildPackage(ctx, "image", imageCommand); err != nil {
		return err
	}
	return c.LoadProgram(ctx, pauseImage, "pause")
}

// stopPods takes away what the node's programs leave when they end: containers and mounts.
func (c *ControlPlane) stopPods() error {
	if !c.options.Pods || labDir() == "" {
		return nil
	}
	if err := removeCgroups(filepath.Base(labDir())); err != nil {
		return err
	}
	return unmountBelow(append(slices.Clip(labFolders), c.dir.path)...)
}
