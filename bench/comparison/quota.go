package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kubetorch/webhook/bench/comparison/install"
	"github.com/kubetorch/webhook/test/controlplane"
)

// quota is Kubernetes' own ResourceQuota, one in each namespace of the comparison: it knows of no others.
type quota struct{}

func (quota) Name() string { return "ResourceQuota" }

func (quota) Tools() []string { return nil }

func (quota) Options() controlplane.Options { return controlplane.Options{} }

// Install makes the namespaces with their quotas.
func (quota) Install(ctx context.Context, cluster *controlplane.ControlPlane, _ map[string]string, rules string) (string, error) {
	text, err := ruleFiles.ReadFile(rules + "/quota.yaml")
	if err != nil {
		return "", err
	}
	objects, err := install.ParseObjects(text)
	if err != nil {
		return "", err
	}
	for _, team := range teams {
		for _, o := range objects {
			o["metadata"].(install.Object)["namespace"] = team
			if err := install.Apply(ctx, cluster, namespace(team), o); err != nil {
				return "", err
			}
		}
	}
	answer, _, err := cluster.Kubectl(ctx, nil, "get", "--raw", "/version")
	if err != nil {
		return "", err
	}
	var version struct{ GitVersion string }
	if err := json.Unmarshal([]byte(answer), &version); err != nil {
		return "", fmt.Errorf("the API server's version: %w", err)
	}
	return version.GitVersion, nil
}

func namespace(name string) install.Object {
	return install.Object{"apiVersion": "v1", "kind": "Namespace", "metadata": install.Object{"name": name}}
}
