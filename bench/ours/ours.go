// Package ours is the webhook as the benchmark runs it in process: its own handlers, with
// the policy that the peers are given in their terms.
package ours

import (
	_ "embed"
	"fmt"
	"net/http"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/app"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/policy"
)

var (
	//go:embed policy.yaml
	policyFile []byte
	//go:embed budget.yaml
	budgetFile []byte
)

// Options say what the handlers go by beside the three bounds.
type Options struct {
	// Budgeted adds a GPU budget that selects every workload.
	Budgeted bool
	// Unrelated is a number of further policies, which select other workloads.
	Unrelated int
}

// Handlers are /mutate and /validate with the three bounds.
func Handlers(o Options) (map[string]http.Handler, error) {
	inputs := offline.Inputs{Knative: knative.Default(), Policies: make([]v1alpha1.ComputePolicy, 1)}
	if err := yaml.UnmarshalStrict(policyFile, &inputs.Policies[0]); err != nil {
		return nil, fmt.Errorf("policy.yaml: %w", err)
	}
	for i := range o.Unrelated {
		inputs.Policies = append(inputs.Policies, *Unrelated(&inputs.Policies[0], i))
	}
	for i := range inputs.Policies {
		if errs := policy.Validate(&inputs.Policies[i]); len(errs) > 0 {
			return nil, fmt.Errorf("policy.yaml: %w", errs.ToAggregate())
		}
	}
	if o.Budgeted {
		inputs.Budgets = make([]v1alpha1.GPUBudget, 1)
		if err := yaml.UnmarshalStrict(budgetFile, &inputs.Budgets[0]); err != nil {
			return nil, fmt.Errorf("budget.yaml: %w", err)
		}
	}
	return app.StandaloneHandlers(inputs, logr.Discard())
}

// Unrelated is the i-th policy that is like another one and selects other workloads.
func Unrelated(like *v1alpha1.ComputePolicy, i int) *v1alpha1.ComputePolicy {
	p := like.DeepCopy()
	p.Name = fmt.Sprintf("unrelated-%d", i)
	p.Spec.WorkloadSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": fmt.Sprintf("team-%d", i)}}
	return p
}

// Policy is the manifest of the bounds.
func Policy() []byte { return policyFile }

// Budget is the manifest of the budget.
func Budget() []byte { return budgetFile }
