// Labels that a policy goes by are set or taken away in the request that it judges.

package review_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestUpdatesAreJudgedByBothStates(t *testing.T) {
	gold := `{metadata: {name: gold}, spec: {workloadSelector: {matchLabels: {tier: gold}}, bounds: {maxScale: {max: 20}}}}`
	labelled := strings.Replace(big, "name: inference", "name: inference, labels: {tier: gold}", 1)
	small := strings.Replace(labelled, `"30"`, `"3"`, 1)
	const research = `{metadata: {name: research}, spec: {namespaceSelector: {matchLabels: {team: research}}, bounds: {maxScale: {max: 20}}}}`
	tests := map[string]struct {
		object, old, policy string
		allowed             bool
	}{
		"removing the label that a bound goes by opens nothing": {object: big, old: small, policy: gold},
		"adding it meets the bound":                             {object: labelled, old: strings.Replace(big, `"30"`, `"3"`, 1), policy: gold},
		"what was beyond the bound may stay":                    {object: labelled, old: labelled, policy: gold, allowed: true},
		"without it nothing holds":                              {object: big, old: big, policy: gold, allowed: true},
		"a namespace's label selects":                           {object: big, policy: research},
		"a user who is exempt":                                  {object: big, policy: strings.Replace(research, "bounds", "exempt: [{users: [ada]}], bounds", 1), allowed: true},
		"a user who is not":                                     {object: big, policy: strings.Replace(research, "bounds", "exempt: [{users: [bob]}], bounds", 1)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, validated := both(t, request(test.object, test.old), world(test.policy))
			assert.Equal(t, test.allowed, validated.Allowed)
		})
	}
}
