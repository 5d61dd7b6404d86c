package cmd

import (
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubetorch/webhook/pkg/cmd/options"
)

// clusterConfig reaches the cluster that flags name; without any, that of $KUBECONFIG or
// ~/.kube/config, or the one that this process is a pod of.
func clusterConfig(o options.Cluster) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.Context}).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no cluster is known: name a kubeconfig with --kubeconfig, or in the environment variable KUBECONFIG")
	}
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	return config, nil
}
