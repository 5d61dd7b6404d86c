package main

import (
	"context"
	"embed"

	"github.com/kubetorch/webhook/bench/comparison/install"
	"github.com/kubetorch/webhook/test/controlplane"
)

// ruleFiles hold the same rule, a sum of at most 64 GPUs, as each contender writes it.
//
//go:embed rules
var ruleFiles embed.FS

// contender is a webhook that can hold the rule.
type contender interface {
	// Name is what the table calls it.
	Name() string
	// Tools are the programs to build for it, beside the control plane's.
	Tools() []string
	// Options are those of its control plane.
	Options() controlplane.Options
	// Install starts it on a control plane and puts the rule of a folder in force. It returns the
	// version that runs.
	Install(ctx context.Context, cluster *controlplane.ControlPlane, tools map[string]string, rules string) (version string, err error)
}

// The folders of rules: over Knative Services, and over everything that makes pods.
const (
	serviceRules = "rules"
	kindRules    = "rules/kinds"
)

// applyRule applies one of the files in a folder of rules.
func applyRule(ctx context.Context, cluster *controlplane.ControlPlane, folder, name string) error {
	text, err := ruleFiles.ReadFile(folder + "/" + name)
	if err != nil {
		return err
	}
	return install.ApplyText(ctx, cluster, text)
}
