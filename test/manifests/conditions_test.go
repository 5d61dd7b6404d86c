package manifests

import (
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
)

// matches evaluates an entry's conditions as the API server does: all must hold, and
// an error counts against the failurePolicy, so there must be none.
func matches(t *testing.T, e entry, object, oldObject any) bool {
	t.Helper()
	return matchesFor(t, e, "somebody", object, oldObject)
}

// matchesFor is matches for a request of one user.
func matchesFor(t *testing.T, e entry, user string, object, oldObject any) bool {
	t.Helper()
	return matchesOf(t, e, user, "", object, oldObject)
}

// matchesOf is matchesFor for a request about one resource, by its name, with a dot and its group if it has one.
func matchesOf(t *testing.T, e entry, user, resource string, object, oldObject any) bool {
	t.Helper()
	resource, group, _ := strings.Cut(resource, ".")
	env, err := cel.NewEnv(
		cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true), cel.DefaultUTCTimeZone(true), cel.OptionalTypes(),
		cel.Variable("object", cel.DynType), cel.Variable("oldObject", cel.DynType), cel.Variable("request", cel.DynType),
	)
	require.NoError(t, err)
	for _, condition := range e.Conditions {
		ast, issues := env.Compile(condition.Expression)
		require.NoError(t, issues.Err(), condition.Name)
		require.Equal(t, cel.BoolType, ast.OutputType(), condition.Name)
		program, err := env.Program(ast)
		require.NoError(t, err)
		result, _, err := program.Eval(map[string]any{"object": object, "oldObject": oldObject, "request": map[string]any{"userInfo": map[string]any{"username": user}, "resource": map[string]any{"group": group, "resource": resource}}})
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
	withSpec := func(o any) any {
		return map[string]any{"kind": "Service", "metadata": o.(map[string]any)["metadata"], "spec": map[string]any{"template": map[string]any{}}}
	}

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
		"an update of a labelled object":               {withSpec(autoscale), autoscale, true},
		"an update that adds the label":                {autoscale, bare, true},
		"an update that removes the label":             {other, autoscale, true},
		"an update that removes all labels":            {bare, compute, true},
		"an update of an object that never had either": {other, withSpec(bare), false},
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

func TestUpdatesThatChangeNeitherTheSpecNorAKeyOfOursAreNotMutated(t *testing.T) {
	service := func(labels, annotations map[string]any, image string) any {
		return map[string]any{"kind": "Service", "metadata": map[string]any{"name": "x", "labels": labels, "annotations": annotations},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"image": image}}}}}}
	}
	type texts = map[string]any
	const label, record, target = "kubetorch.com/autoscale", "kubetorch.com/expansion", "autoscale.kubetorch.com/target"
	labelled := service(texts{label: "true"}, texts{record: "{}", target: "1", "a": "b"}, "a")
	plain := service(texts{"a": "b"}, texts{"c": "d"}, "a")
	for name, test := range map[string]struct {
		object, oldObject any
		expand, clamp     bool
	}{
		"the same, labelled":                        {labelled, labelled, false, false},
		"the same without a label":                  {plain, plain, false, false},
		"other labels and annotations, labelled":    {service(texts{label: "true", "x": "y"}, texts{record: "{}", target: "1"}, "a"), labelled, false, false},
		"other labels and annotations":              {service(texts{}, texts{"x": "y"}, "a"), plain, false, false},
		"another image, labelled":                   {service(texts{label: "true"}, texts{record: "{}", target: "1", "a": "b"}, "b"), labelled, true, false},
		"another image":                             {service(texts{"a": "b"}, texts{"c": "d"}, "b"), plain, false, true},
		"another parameter":                         {service(texts{label: "true"}, texts{record: "{}", target: "2", "a": "b"}, "a"), labelled, true, false},
		"one parameter less":                        {service(texts{label: "true"}, texts{record: "{}", "a": "b"}, "a"), labelled, true, false},
		"without the record":                        {service(texts{label: "true"}, texts{target: "1", "a": "b"}, "a"), labelled, true, false},
		"with another profile":                      {service(texts{label: "batch"}, texts{record: "{}", target: "1", "a": "b"}, "a"), labelled, true, false},
		"with the label":                            {labelled, plain, true, false},
		"without the label":                         {plain, labelled, true, false},
		"a parameter without a label":               {service(texts{"a": "b"}, texts{"c": "d", target: "1"}, "a"), plain, false, true},
		"without any annotation, labelled":          {service(texts{label: "true"}, nil, "a"), labelled, true, false},
		"what was without a spec":                   {labelled, map[string]any{"metadata": labelled.(texts)["metadata"]}, true, false},
		"what is without metadata that it had once": {map[string]any{"metadata": texts{"name": "x"}, "spec": plain.(texts)["spec"]}, plain, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			all := entries(t)
			assert.Equal(t, test.expand, matches(t, all["expand.kubetorch.com"], test.object, test.oldObject), "expand")
			assert.Equal(t, test.clamp, matches(t, all["clamp.kubetorch.com"], test.object, test.oldObject), "clamp")
			assert.True(t, matches(t, all["validate.kubetorch.com"], test.object, test.oldObject), "validate covers all")
		})
	}
}

func TestMatchConditionsOfDeployments(t *testing.T) {
	deployment := func(labels map[string]any, pod map[string]any) any {
		metadata := map[string]any{"name": "x"}
		if labels != nil {
			metadata["labels"] = labels
		}
		return map[string]any{"kind": "Deployment", "metadata": metadata, "spec": map[string]any{"template": map[string]any{"spec": pod}}}
	}
	container := func(resources any) map[string]any {
		c := map[string]any{"name": "x", "image": "x"}
		if resources != nil {
			c["resources"] = resources
		}
		return c
	}
	pod := func(list string, resources any) map[string]any {
		p := map[string]any{"containers": []any{container(nil)}}
		p[list] = []any{container(resources)}
		return p
	}
	requests := func(list, name string) map[string]any {
		return map[string]any{list: map[string]any{name: "1", "cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi", "hugepages-2Mi": "2Mi"}}
	}
	plain := deployment(nil, pod("containers", map[string]any{}))
	labelled := deployment(map[string]any{"kubetorch.com/autoscale": "true"}, pod("containers", nil))
	annotated := func(o any, annotations map[string]any) any {
		o = runtime.DeepCopyJSONValue(o)
		o.(map[string]any)["metadata"].(map[string]any)["annotations"] = annotations
		return o
	}
	exempt := annotated(plain, map[string]any{"kubetorch.com/exempt-from": "platform"})
	gpu := deployment(nil, pod("containers", requests("limits", "nvidia.com/gpu")))
	all := entries(t)
	for name, test := range map[string]struct {
		object, oldObject any
		mutate, judge     bool
	}{
		"a plain one":                       {plain, nil, false, false},
		"a plain one with other labels":     {deployment(map[string]any{"app": "x"}, pod("containers", requests("requests", "cpu"))), nil, false, false},
		"an update of a plain one":          {plain, plain, false, false},
		"a labelled one":                    {labelled, nil, true, true},
		"one that loses its label":          {plain, labelled, true, true},
		"the compute label":                 {deployment(map[string]any{"kubetorch.com/compute": "true"}, pod("containers", nil)), nil, true, true},
		"a record of exemptions":            {exempt, nil, true, true},
		"one that is taken away":            {plain, exempt, true, true},
		"limits of GPUs":                    {gpu, nil, false, true},
		"requests of GPUs":                  {deployment(nil, pod("containers", requests("requests", "amd.com/gpu"))), nil, false, true},
		"GPUs of an init container":         {deployment(nil, pod("initContainers", requests("limits", "nvidia.com/mig-1g.5gb"))), nil, false, true},
		"GPUs of the pod":                   {deployment(nil, map[string]any{"containers": []any{container(nil)}, "resources": requests("requests", "nvidia.com/gpu")}), nil, false, true},
		"devices of a resource claim":       {deployment(nil, map[string]any{"containers": []any{container(nil)}, "resourceClaims": []any{}}), nil, false, true},
		"an update that takes the GPUs off": {plain, gpu, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.mutate, matches(t, all["expand-deployments.kubetorch.com"], test.object, test.oldObject), "expand")
			assert.Equal(t, test.judge, matches(t, all["validate-deployments.kubetorch.com"], test.object, test.oldObject), "validate")
		})
	}

	status := all["validate-status.kubetorch.com"]
	moved := annotated(exempt, map[string]any{"kubetorch.com/exempt-from": "platform", "a": "b"})
	assert.False(t, matches(t, status, exempt, exempt), "the status of one with a record")
	assert.False(t, matches(t, status, annotated(plain, map[string]any{"a": "b"}), plain), "annotations of one without")
	assert.True(t, matches(t, status, exempt, plain), "a record is added")
	assert.True(t, matches(t, status, plain, exempt), "and removed")
	assert.True(t, matches(t, status, moved, exempt), "another annotation changes")

	scale := func(replicas any) any {
		spec := map[string]any{}
		if replicas != nil {
			spec["replicas"] = replicas
		}
		return map[string]any{"kind": "Scale", "metadata": map[string]any{"name": "x"}, "spec": spec}
	}
	for _, name := range []string{"scale.kubetorch.com", "validate-scale.kubetorch.com"} {
		assert.True(t, matches(t, all[name], scale(3), scale(2)), name)
		assert.True(t, matches(t, all[name], scale(1), scale(nil)), name)
		assert.False(t, matches(t, all[name], scale(nil), scale(3)), "%s: scaling down needs no verdict", name)
		assert.False(t, matches(t, all[name], scale(2), scale(2)), name)
		assert.False(t, matchesFor(t, all[name], "system:serviceaccount:knative-serving:controller", scale(3), scale(2)), "%s: Knative scales its own", name)
	}
}

func TestMatchConditionsOfKindsThatCannotBeAutoscaled(t *testing.T) {
	job := func(labels map[string]any) any {
		metadata := map[string]any{"name": "x"}
		if labels != nil {
			metadata["labels"] = labels
		}
		return map[string]any{"kind": "Job", "metadata": metadata}
	}
	autoscale := func(value string) any { return job(map[string]any{"kubetorch.com/autoscale": value}) }
	e := entries(t)["kinds.kubetorch.com"]
	for name, test := range map[string]struct {
		object, oldObject any
		sent              bool
	}{
		"no labels":                       {job(nil), nil, false},
		"other labels":                    {job(map[string]any{"kubetorch.com/compute": "true"}), nil, false},
		"an opt-out":                      {autoscale("false"), nil, false},
		"a label":                         {autoscale("true"), nil, true},
		"a profile":                       {autoscale("batch"), nil, true},
		"an update that adds it":          {autoscale("true"), job(nil), true},
		"one beside others":               {autoscale("true"), job(map[string]any{"app": "x"}), true},
		"an update that changes it":       {autoscale("true"), autoscale("false"), true},
		"an update of one that had it":    {autoscale("true"), autoscale("true"), false},
		"an update that takes it away":    {job(nil), autoscale("true"), false},
		"an update of one that never had": {job(nil), job(nil), false},
		"an update that opts out":         {autoscale("false"), autoscale("true"), false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.sent, matches(t, e, test.object, test.oldObject))
		})
	}
}
