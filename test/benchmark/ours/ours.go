// Package ours is the webhook as the benchmark runs it in process: its own handlers, with
// the policy that the peers are given in their terms.
package ours

import (
	_ "embed"
	"fmt"
	"net/http"

	"github.com/go-logr/logr"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/serve"
)

var (
	//go:embed policy.yaml
	policyFile []byte
	//go:embed budget.yaml
	budgetFile []byte
)

// Handlers are /mutate and /validate with the three bounds, and with a GPU budget that
// selects every workload if budgeted is set.
func Handlers(budgeted bool) (map[string]http.Handler, error) {
	inputs := offline.Inputs{Knative: knative.Default(), Policies: make([]v1alpha1.ComputePolicy, 1)}
	if err := yaml.UnmarshalStrict(policyFile, &inputs.Policies[0]); err != nil {
		return nil, fmt.Errorf("policy.yaml: %w", err)
	}
	if errs := policy.Validate(&inputs.Policies[0]); len(errs) > 0 {
		return nil, fmt.Errorf("policy.yaml: %w", errs.ToAggregate())
	}
	if budgeted {
		inputs.Budgets = make([]v1alpha1.GPUBudget, 1)
		if err := yaml.UnmarshalStrict(budgetFile, &inputs.Budgets[0]); err != nil {
			return nil, fmt.Errorf("budget.yaml: %w", err)
		}
	}
	return serve.StandaloneHandlers(inputs, logr.Discard())
}
