package policy_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
)

// Policies that name namespaces are found by them, and stay in order with all others.
func TestPoliciesOfOtherNamespacesMakeNoDifference(t *testing.T) {
	selectors := []string{``, `matchLabels: {kubernetes.io/metadata.name: ml}`, `matchLabels: {kubernetes.io/metadata.name: web}`, `matchLabels: {team: a}`,
		`matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [web, ml]}]`, `matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [ml]}]`,
		`matchExpressions: [{key: kubernetes.io/metadata.name, operator: Exists}]`, `matchLabels: {kubernetes.io/metadata.name: ml, team: a}`,
		`matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [ml]}, {key: kubernetes.io/metadata.name, operator: In, values: [web]}]`}
	texts := make([]string, 2*len(selectors))
	for i := range texts {
		texts[i] = fmt.Sprintf(`{metadata: {name: p%02d}, spec: {priority: %d, namespaceSelector: {%s}, bounds: {maxScale: {max: %d}}, defaults: {autoscale: {maxScale: 1}}}}`,
			i, i, selectors[i%len(selectors)], i+1)
	}
	var subjects []policy.Subject
	for _, namespace := range []string{"ml", "web", "other", ""} {
		subjects = append(subjects, policy.Subject{Namespace: namespace}, policy.Subject{Namespace: namespace, NamespaceKnown: true},
			policy.Subject{Namespace: namespace, NamespaceKnown: true, NamespaceLabels: map[string]string{"kubernetes.io/metadata.name": namespace, "team": "a"}})
	}
	all := policy.Compile(policies(texts...))
	for _, first := range subjects {
		for _, second := range subjects {
			var layers []policy.Layer
			lowest := int64(1 << 30)
			for _, text := range slices.Backward(texts) { // the one of the highest priority is the last
				alone := policy.Compile(policies(text)).For(first, second)
				layers = append(layers, alone.Defaults(parameter.Autoscale)...)
				if c, ok := alone.Limit(policy.BoundMaxScale, policy.AllBounds); ok {
					lowest = min(lowest, c.Max.Value())
				}
			}
			together := all.For(first, second)
			assert.Equal(t, layers, together.Defaults(parameter.Autoscale))
			c, ok := together.Limit(policy.BoundMaxScale, policy.AllBounds)
			assert.True(t, ok)
			assert.Equal(t, lowest, c.Max.Value())
		}
	}
}
