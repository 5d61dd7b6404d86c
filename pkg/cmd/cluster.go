package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api/v1"

	"github.com/kubetorch/webhook/pkg/cmd/options"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
)

// clusterConfig reaches the cluster that flags name; without any, that of $KUBECONFIG or
// ~/.kube/config, or the one that this process is a pod of.
func clusterConfig(o options.ClusterFlags) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.Context}).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no cluster is known: name a kubeconfig with --kubeconfig, or in the environment variable KUBECONFIG")
	}
	if err != nil {
		return nil, unusableKubeconfig(rules.GetLoadingPrecedence(), err)
	}
	return config, nil
}

// unusableKubeconfig names all that is wrong with the files of which one could not be read; without such a
// file, the error is about what they say.
func unusableKubeconfig(files []string, err error) error {
	var problems []error
	for _, file := range files {
		if _, err := clientcmd.LoadFromFile(file); err == nil || errors.Is(err, fs.ErrNotExist) && len(files) > 1 {
			continue
		}
		problems = append(problems, offline.Within("finding the cluster: "+file, kubeconfigProblems(file)))
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	return fmt.Errorf("finding the cluster: %w", err)
}

// kubeconfigProblems are what is wrong with a file that should be a kubeconfig.
func kubeconfigProblems(file string) error {
	raw, err := os.ReadFile(file)
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	o, err := offline.ParseObject("kubeconfig", raw)
	if err != nil {
		return err
	}
	apiVersion, kind := manifest.Text(o, "apiVersion"), manifest.Text(o, "kind")
	if (apiVersion != "" && apiVersion != "v1") || (kind != "" && kind != "Config") {
		return fmt.Errorf("is a %s of %s and no kubeconfig, which is a Config of v1; kubectl config view --raw prints one", cmp.Or(kind, "file"), cmp.Or(apiVersion, "no apiVersion"))
	}
	if errs := manifest.CheckType(o, reflect.TypeFor[clientcmdapi.Config](), nil, nil); len(errs) > 0 {
		return errs.ToAggregate()
	}
	return errors.New("is no kubeconfig that can be read; kubectl config view --raw prints one")
}
