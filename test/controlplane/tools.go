package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Names of the tools that can be built, as accepted by EnsureTools and
// ControlPlane.Tool.
const (
	Etcd                  = "etcd"
	KubeAPIServer         = "kube-apiserver"
	KubeControllerManager = "kube-controller-manager"
	KubeScheduler         = "kube-scheduler"
	Kubectl               = "kubectl"
	Kustomize             = "kustomize"
	Kwok                  = "kwok"
	Helm                  = "helm"
	KnativeWebhook        = "knative-webhook"
	KnativeController     = "knative-controller"
	KnativeAutoscalerHPA  = "knative-autoscaler-hpa"
)

// A node on which pods run, and Knative's programs for them: Options.Pods.
const (
	Kubelet        = "kubelet"
	KubeProxy      = "kube-proxy"
	Containerd     = "containerd"
	ContainerdShim = "containerd-shim-runc-v2"
	Ctr            = "ctr"

	ServingActivator     = "activator"
	ServingAutoscaler    = "autoscaler"
	ServingAutoscalerHPA = "autoscaler-hpa"
	ServingController    = "controller"
	ServingWebhook       = "webhook"
	ServingQueue         = "queue"

	MetricsServer = "metrics-server"
)

// cert-manager, for ControlPlane.StartCertManager.
const (
	CertManagerController = "cert-manager-controller"
	CertManagerCAInjector = "cert-manager-cainjector"
	CertManagerWebhook    = "cert-manager-webhook"
)

// Other projects' webhooks, which bench/comparison runs.
const (
	Gatekeeper = "gatekeeper"
	Kyverno    = "kyverno"
)

// Cache entries that hold manifests; they are copied out of the module cache instead of
// being compiled.
const (
	knativeManifests     = "knative-manifests"
	certManagerManifests = "cert-manager-manifests"
	servingManifests     = "serving-manifests"
	metricsManifests     = "metrics-server-manifests"
)

// Modules under test/ that pin the tools. They are apart from the root module
// and from each other because their dependencies clash.
const (
	kubernetesModule  = "test/controlplane/tools/kubernetes"
	knativeModule     = "test/controlplane/tools/knative"
	servingModule     = "test/controlplane/tools/serving"
	nodeModule        = "test/controlplane/tools/node"
	containerdModule  = "test/controlplane/tools/containerd"
	metricsModule     = "test/controlplane/tools/metrics"
	certManagerModule = "test/controlplane/tools/certmanager"
	helmModule        = "test/controlplane/tools/helm"
	gatekeeperModule  = "bench/comparison/gatekeeper"
	kyvernoModule     = "bench/comparison/kyverno"
)

// tool is one entry of the cache under .cache/bin.
type tool struct {
	name      string
	pinnedIn  string // folder of the repository
	module    string // the module whose version the cache entry carries
	pkg       string // the main package; empty for manifests
	tags      string // build tags, if any
	versionLD func(version string) string
}

var tools = []tool{
	{name: Etcd, pinnedIn: kubernetesModule, module: "go.etcd.io/etcd/server/v3", pkg: "go.etcd.io/etcd/server/v3"},
	kubernetesTool(KubeAPIServer),
	kubernetesTool(KubeControllerManager),
	kubernetesTool(KubeScheduler),
	kubernetesTool(Kubectl),
	{
		name: Kustomize, pinnedIn: kubernetesModule,
		module: "sigs.k8s.io/kustomize/kustomize/v5", pkg: "sigs.k8s.io/kustomize/kustomize/v5",
		versionLD: func(v string) string { return "-X sigs.k8s.io/kustomize/api/provenance.version=" + v },
	},
	{name: Kwok, pinnedIn: kubernetesModule, module: "sigs.k8s.io/kwok", pkg: "sigs.k8s.io/kwok/cmd/kwok"},
	{name: Helm, pinnedIn: helmModule, module: "helm.sh/helm/v4", pkg: "helm.sh/helm/v4/cmd/helm"},
	knativeTool(KnativeWebhook, "knative.dev/serving/cmd/webhook"),
	knativeTool(KnativeController, "knative.dev/serving/cmd/controller"),
	knativeTool(KnativeAutoscalerHPA, "knative.dev/serving/cmd/autoscaler-hpa"),
	knativeTool(knativeManifests, ""),
	nodeTool(Kubelet),
	nodeTool(KubeProxy),
	containerdTool(Containerd),
	containerdTool(ContainerdShim),
	containerdTool(Ctr),
	servingTool(ServingActivator),
	servingTool(ServingAutoscaler),
	servingTool(ServingAutoscalerHPA),
	servingTool(ServingController),
	servingTool(ServingWebhook),
	servingTool(ServingQueue),
	{name: MetricsServer, pinnedIn: metricsModule, module: metricsServer, pkg: metricsServer + "/cmd/metrics-server"},
	{name: metricsManifests, pinnedIn: metricsModule, module: metricsServer},
	{name: servingManifests, pinnedIn: servingModule, module: "knative.dev/serving"},
	certManagerTool(CertManagerController, certManager+"/cmd/controller"),
	certManagerTool(CertManagerCAInjector, certManager+"/cmd/cainjector"),
	certManagerTool(CertManagerWebhook, certManager+"/cmd/webhook"),
	certManagerTool(certManagerManifests, ""),
	{
		name: Gatekeeper, pinnedIn: gatekeeperModule,
		module: "github.com/open-policy-agent/gatekeeper/v3", pkg: "github.com/open-policy-agent/gatekeeper/v3",
	},
	{
		name: Kyverno, pinnedIn: kyvernoModule,
		module: "github.com/kyverno/kyverno", pkg: "github.com/kyverno/kyverno/cmd/kyverno",
	},
}

func kubernetesTool(name string) tool {
	return tool{
		name: name, pinnedIn: kubernetesModule,
		module: "k8s.io/kubernetes", pkg: "k8s.io/kubernetes/cmd/" + name,
		versionLD: kubernetesVersionFlags,
	}
}

func knativeTool(name, pkg string) tool {
	return tool{name: name, pinnedIn: knativeModule, module: "knative.dev/serving", pkg: pkg}
}

// nodeTool is a Kubernetes program that runs on nodes.
func nodeTool(name string) tool {
	t := kubernetesTool(name)
	t.pinnedIn = nodeModule
	return t
}

const metricsServer = "sigs.k8s.io/metrics-server"

const containerd = "github.com/containerd/containerd/v2"

// containerdTool leaves out the snapshotters that need libraries of C.
func containerdTool(name string) tool {
	return tool{
		name: name, pinnedIn: containerdModule, module: containerd, pkg: containerd + "/cmd/" + name,
		tags: "no_btrfs no_zfs no_aufs no_devmapper",
	}
}

// servingTool is one of Knative's programs as a release has it, for pods; those of
// knativeTool listen on loopback addresses only.
func servingTool(name string) tool {
	return tool{name: name, pinnedIn: servingModule, module: "knative.dev/serving", pkg: "knative.dev/serving/cmd/" + name}
}

const certManager = "github.com/cert-manager/cert-manager"

func certManagerTool(name, pkg string) tool {
	return tool{name: name, pinnedIn: certManagerModule, module: certManager, pkg: pkg}
}

// kubernetesVersionFlags stamps the version that Kubernetes binaries report;
// without it they claim to be v0.0.0.
func kubernetesVersionFlags(version string) string {
	const pkg = "k8s.io/component-base/version"
	number := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	for len(number) < 2 {
		number = append(number, "0")
	}
	set := []string{
		"gitVersion=" + version,
		"gitMajor=" + number[0],
		"gitMinor=" + number[1],
		"gitTreeState=clean",
		"gitCommit=" + strings.Repeat("0", 40),
		"buildDate=1970-01-01T00:00:00Z",
	}
	return "-X " + pkg + "." + strings.Join(set, " -X "+pkg+".")
}

// cacheEntry is a tool resolved to its pinned version and place in the cache.
type cacheEntry struct {
	tool
	version string
	dir     string // folder of the entry
	path    string // the binary, or dir itself for manifests
	modDir  string // folder of the module that pins it
}

func (e cacheEntry) exists() bool {
	_, err := os.Stat(e.path)
	return err == nil
}

// ldflags are the linker flags the tool is built with.
func (e cacheEntry) ldflags() string {
	flags := "-s -w"
	if e.versionLD != nil {
		flags += " " + e.versionLD(e.version)
	}
	return flags
}

// resolve finds the cache entry of each named tool without building anything.
// The entry's name changes with everything that goes into the build.
func resolve(root string, names []string) ([]cacheEntry, error) {
	entries := make([]cacheEntry, 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(tools, func(t tool) bool { return t.name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown tool %q", name)
		}
		entry := cacheEntry{tool: tools[i]}
		entry.modDir = filepath.Join(root, filepath.FromSlash(entry.pinnedIn))

		goMod, err := os.ReadFile(filepath.Join(entry.modDir, "go.mod"))
		if err != nil {
			return nil, fmt.Errorf("reading the pins of %s: %w", name, err)
		}
		goSum, err := os.ReadFile(filepath.Join(entry.modDir, "go.sum"))
		if err != nil {
			return nil, fmt.Errorf("reading the pins of %s: %w", name, err)
		}
		entry.version = requiredVersion(goMod, entry.module)
		if entry.version == "" {
			return nil, fmt.Errorf("%s/go.mod does not require %s", entry.modDir, entry.module)
		}

		hash := sha256.New()
		for _, part := range []string{
			string(goMod), string(goSum), entry.pkg, entry.ldflags(),
			runtime.Version(), runtime.GOOS, runtime.GOARCH,
		} {
			fmt.Fprintf(hash, "%d:%s", len(part), part)
		}
		if entry.pinnedIn == knativeModule {
			fmt.Fprintf(hash, "%q%q", loopbackPatches, manifestSources)
		}
		switch entry.name {
		case servingManifests:
			fmt.Fprintf(hash, "%q", servingManifestSources)
		case metricsManifests:
			fmt.Fprintf(hash, "%q", metricsManifestSources)
		}
		if entry.tags != "" {
			fmt.Fprintf(hash, "%q", entry.tags)
		}
		id := fmt.Sprintf("%s-%s-%s", name, entry.version, hex.EncodeToString(hash.Sum(nil))[:12])
		entry.dir = filepath.Join(root, ".cache", "bin", id)
		entry.path = filepath.Join(entry.dir, name)
		if entry.pkg == "" {
			entry.path = entry.dir
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// requiredVersion returns the version go.mod requires of a module, or "".
func requiredVersion(goMod []byte, module string) string {
	lines := bufio.NewScanner(bytes.NewReader(goMod))
	for lines.Scan() {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(lines.Text()), "require "))
		if len(fields) >= 2 && fields[0] == module && strings.HasPrefix(fields[1], "v") {
			return fields[1]
		}
	}
	return ""
}

// EnsureTools builds the named tools that are not in the cache yet, writing
// progress to log, and returns the path of each. A first build takes several
// minutes and downloads the tools' modules; afterwards it returns at once.
// Several processes may call it at the same time.
func EnsureTools(ctx context.Context, log io.Writer, names ...string) (map[string]string, error) {
	root, err := RepositoryRoot()
	if err != nil {
		return nil, err
	}
	paths, err := assets()
	if err != nil {
		return nil, err
	}
	entries, err := resolve(root, slices.DeleteFunc(slices.Clone(names), func(name string) bool { return paths[name] != "" }))
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(entries, func(e cacheEntry) bool { return !e.exists() }) {
		if err := buildMissing(ctx, log, root, entries); err != nil {
			return nil, err
		}
	}
	if paths == nil {
		paths = make(map[string]string, len(entries))
	}
	for _, e := range entries {
		paths[e.name] = e.path
	}
	return paths, nil
}

// RepositoryRoot finds the root of this repository from the working directory,
// which is the package folder in a test and usually the root in a command.
func RepositoryRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository root: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		goMod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(goMod, []byte("module github.com/kubetorch/webhook\n")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside the github.com/kubetorch/webhook repository", start)
		}
	}
}

// requiredToolVersion is the pinned version of a tool, or "" if it is none.
func requiredToolVersion(name string) string {
	root, err := RepositoryRoot()
	if err != nil {
		return ""
	}
	entries, err := resolve(root, []string{name})
	if err != nil {
		return ""
	}
	return entries[0].version
}
