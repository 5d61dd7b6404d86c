package controlplane

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// assetsVariable names the folder of Kubernetes' programs that envtest uses, too.
const assetsVariable = "KUBEBUILDER_ASSETS"

// assets are the programs that the user has already, by name. A folder that lacks one of the
// three that belong there is an error: others would take their place unseen.
func assets() (map[string]string, error) {
	folder := os.Getenv(assetsVariable)
	if folder == "" {
		return nil, nil
	}
	found := map[string]string{}
	for _, name := range []string{Etcd, KubeAPIServer, Kubectl} {
		path, err := filepath.Abs(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		if info, err := os.Stat(path); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return nil, fmt.Errorf("%s is %s, and there is no program %s in it: unset it to have all programs built", assetsVariable, folder, name)
		}
		found[name] = path
	}
	return found, nil
}

// cost is how long two quiet cores take to build a program with empty caches, after those
// before it in the table of tools.
var cost = map[string]time.Duration{
	Etcd: 40 * time.Second, KubeAPIServer: 220 * time.Second, KubeControllerManager: 80 * time.Second, KubeScheduler: 10 * time.Second,
	Kubectl: 20 * time.Second, Kustomize: 10 * time.Second, Kwok: 15 * time.Second, Helm: 40 * time.Second,
	KnativeWebhook: 80 * time.Second, KnativeController: 20 * time.Second, KnativeAutoscalerHPA: 20 * time.Second,
}

// announce says what is going to be built, and how long that takes.
func announce(log io.Writer, missing []cacheEntry) {
	var names []string
	var total time.Duration
	for _, e := range missing {
		if e.pkg == "" {
			continue
		}
		names = append(names, e.name)
		if cost[e.name] == 0 {
			total += time.Minute
		}
		total += cost[e.name]
	}
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(log, "building %d programs into .cache, once: %s\n", len(names), strings.Join(names, ", "))
	fmt.Fprintf(log, "that takes about %d minutes on two quiet cores, and the download of their modules; later runs start at once\n",
		int((total+time.Minute-1)/time.Minute))
}
