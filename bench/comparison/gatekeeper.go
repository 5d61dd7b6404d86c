package main

import (
	"context"

	"github.com/kubetorch/webhook/bench/comparison/install"
	"github.com/kubetorch/webhook/test/controlplane"
)

// gatekeeper is OPA Gatekeeper with a Rego rule over replicated data.
type gatekeeper struct{}

func (gatekeeper) Name() string { return "Gatekeeper" }

func (gatekeeper) Tools() []string { return []string{controlplane.Gatekeeper} }

func (gatekeeper) Options() controlplane.Options { return controlplane.Options{} }

// Install starts Gatekeeper and applies the rule.
func (gatekeeper) Install(ctx context.Context, cluster *controlplane.ControlPlane, tools map[string]string, rules string) (string, error) {
	server, err := install.Gatekeeper(ctx, cluster, install.GatekeeperOptions{
		Binary: tools[controlplane.Gatekeeper], Pods: rules == kindRules,
	})
	if err != nil {
		return "", err
	}
	if err := applyRule(ctx, cluster, rules, "gatekeeper-template.yaml"); err != nil {
		return "", err
	}
	return server.Version, applyRule(ctx, cluster, rules, "gatekeeper-constraint.yaml")
}
