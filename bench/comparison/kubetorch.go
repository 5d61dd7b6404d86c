package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/kubetorch/webhook/test/controlplane"
)

// requestTimeout is that of the API server under our webhook, which frees what was deleted
// only after it.
const requestTimeout = 5 * time.Second

// kubetorch is this repository's webhook.
type kubetorch struct {
	binary   string
	replicas int
}

func (k kubetorch) Name() string { return fmt.Sprintf("kubetorch-webhook, %d replicas", k.replicas) }

func (kubetorch) Tools() []string { return nil }

func (kubetorch) Options() controlplane.Options {
	return controlplane.Options{RequestTimeout: requestTimeout}
}

func (k kubetorch) Install(ctx context.Context, cluster *controlplane.ControlPlane, _ map[string]string, rules string) (string, error) {
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		return "", err
	}
	_, err = cluster.InstallWebhook(ctx, controlplane.WebhookOptions{
		Binary: k.binary, Manifests: filepath.Join(root, "deploy"), Replicas: k.replicas,
		ExtraArgs: []string{"--api-request-timeout", requestTimeout.String()},
	})
	if err != nil {
		return "", err
	}
	if err := applyRule(ctx, cluster, rules, "kubetorch.yaml"); err != nil {
		return "", err
	}
	_, _, err = cluster.Kubectl(ctx, nil, "wait", "gpubudget/comparison", "--for=condition=Counted", "--timeout=2m")
	if err != nil {
		return "", err
	}
	version, err := exec.CommandContext(ctx, k.binary, "version").Output()
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", k.binary, err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	return strings.TrimPrefix(first, "kubetorch-webhook "), nil
}
