// A ReplicaSet that was admitted by itself is adopted by a Deployment that may scale it beyond a bound.

package app

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// A ReplicaSet that fits the bounds by itself is held against them with the pods that a Deployment which
// adopts it may scale it to, whichever of the two is there first.
func TestADeploymentAdoptsNoMoreGPUsThanItsBound(t *testing.T) {
	var p v1alpha1.ComputePolicy
	require.NoError(t, yaml.Unmarshal([]byte(`{metadata: {name: p}, spec: {bounds: {gpusPerWorkload: {max: 16}}}}`), &p))
	set := strings.ReplaceAll(strings.Replace(of("apps/v1", "ReplicaSet", "rs", "replicas: 1", 8), "name: rs", "name: evil", 1), "app: rs", "app: web")
	adopted := strings.Replace(set, "uid: rs-uid", "uid: rs-uid, ownerReferences: ["+ownerOf("apps/v1", "Deployment", "web")+"]", 1)
	paused := of("apps/v1", "Deployment", "web", "paused: true, replicas: 10", 0)
	const refused = "asks for 80 GPUs"
	const unasked = "a Deployment without GPUs of which API servers ask nobody"
	for name, steps := range map[string][]step{
		"the Deployment first": {{object: paused}, {object: set, refused: refused}},
		"the ReplicaSet first": {{object: set}, {what: unasked, object: paused}, {user: account("deployment-controller"), object: adopted, old: set, refused: refused}},
		"of two pods":          {{object: set}, {what: unasked, object: strings.Replace(paused, "10", "2", 1)}, {user: account("deployment-controller"), object: adopted, old: set}},
	} {
		t.Run(name, func(t *testing.T) {
			e := working()
			e.current.Store(&snapshot{policies: policy.Compile([]v1alpha1.ComputePolicy{p}), budgets: policy.CompileBudgets(nil), knative: knative.Default()})
			e.charging, e.remembered = &charging{}, newMemory()
			e.reader = e.remembered
			for _, s := range steps {
				if s.what == unasked {
					request, answer := review.Read(requestOf(t, s))
					require.Nil(t, answer)
					e.remembered.keep(request)
					continue
				}
				if answer := e.validate(t.Context(), requestOf(t, s)); s.refused == "" {
					require.True(t, answer.Allowed, "%+v", answer.Result)
				} else {
					require.False(t, answer.Allowed)
					assert.Contains(t, answer.Result.Message, s.refused)
				}
			}
		})
	}
}
