package manifests

import (
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// matches evaluates an entry's conditions as the API server does: all must hold, and
// an error counts against the failurePolicy, so there must be none.
func matches(t *testing.T, e entry, object, oldObject any) bool {
	t.Helper()
	env, err := cel.NewEnv(
		cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true), cel.DefaultUTCTimeZone(true),
		cel.Variable("object", cel.DynType), cel.Variable("oldObject", cel.DynType), cel.Variable("request", cel.DynType),
	)
	require.NoError(t, err)
	for _, condition := range e.Conditions {
		ast, issues := env.Compile(condition.Expression)
		require.NoError(t, issues.Err(), condition.Name)
		require.Equal(t, cel.BoolType, ast.OutputType(), condition.Name)
		program, err := env.Program(ast)
		require.NoError(t, err)
		result, _, err := program.Eval(map[string]any{"object": object, "oldObject": oldObject, "request": map[string]any{}})
		require.NoError(t, err, "%s must not fail", condition.Name)
		if result.Value() != true {
			return false
		}
	}
	return true
}

func TestMatchConditions(t *testing.T) {
	labelled := func(labels map[string]any) any {
		return map[string]any{"kind": "Service", "metadata": map[string]any{"name": "x", "labels": labels}}
	}
	bare := map[string]any{"kind": "Service", "metadata": map[string]any{"name": "x"}}
	autoscale := labelled(map[string]any{"kubetorch.com/autoscale": "true"})
	compute := labelled(map[string]any{"kubetorch.com/compute": "l4"})
	other := labelled(map[string]any{"app": "x"})

	tests := map[string]struct {
		object, oldObject any
		expand            bool
	}{
		"a new object without labels":                  {bare, nil, false},
		"a new object with empty labels":               {labelled(map[string]any{}), nil, false},
		"a new object with other labels":               {other, nil, false},
		"a new object with the autoscale label":        {autoscale, nil, true},
		"a new object with the compute label":          {compute, nil, true},
		"a label of any value, since profiles differ":  {labelled(map[string]any{"kubetorch.com/autoscale": "false"}), nil, true},
		"an update of a labelled object":               {autoscale, autoscale, true},
		"an update that adds the label":                {autoscale, bare, true},
		"an update that removes the label":             {other, autoscale, true},
		"an update that removes all labels":            {bare, compute, true},
		"an update of an object that never had either": {other, bare, false},
	}
	all := entries(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.expand, matches(t, all["expand.kubetorch.com"], test.object, test.oldObject), "expand")
			assert.Equal(t, !test.expand, matches(t, all["clamp.kubetorch.com"], test.object, test.oldObject), "clamp covers the rest")
			assert.True(t, matches(t, all["validate.kubetorch.com"], test.object, test.oldObject), "validate covers all")
		})
	}
}
