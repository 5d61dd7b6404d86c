// Bypass class: the controller's own account writes what its pods run.

package review_test

import (
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/review"
)

func TestTheControllerChangesNoTemplateButByFilling(t *testing.T) {
	const asks = on + `, annotations: {compute.kubetorch.com/gpus: "1", compute.kubetorch.com/cpus: "0.5", compute.kubetorch.com/service-account-name: worker}`
	evil := func(o string) string { return strings.Replace(o, "a/b:v1", "evil", 1) }
	gone, there := review.Cluster{}, knativeWith("")
	for name, test := range map[string]struct {
		user, object, old string
		cluster           review.Cluster
		filled, admit     bool
	}{
		"pods of its own, filled in":           {self, deployment("2", asks), deployment("0", asks), gone, true, true},
		"another image with them":              {self, evil(deployment("2", asks)), deployment("0", asks), gone, true, false},
		"another image while there is Knative": {self, evil(deployment("2", asks)), deployment("0", asks), there, false, false},
		"another image of one that has pods":   {self, evil(deployment("2", asks)), deployment("2", asks), gone, true, false},
		"replicas":                             {self, deployment("0", asks), deployment("2", asks), there, false, true},
		"the author's image":                   {"ada", evil(deployment("0", asks)), deployment("0", asks), gone, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := within(test.cluster)
			w.Self = self
			raw := as(test.user, test.object, test.old)
			mutated, _ := both(t, raw, w)
			require.True(t, mutated.Allowed)
			if len(mutated.Patch) > 0 {
				patch, err := jsonpatch.DecodePatch(mutated.Patch)
				require.NoError(t, err)
				raw.Object.Raw, err = patch.Apply(raw.Object.Raw)
				require.NoError(t, err)
				// As the API server stores it.
				raw.Object.Raw = []byte(strings.NewReplacer(`"0.5"`, `"500m"`, `"serviceAccountName":`, `"serviceAccount":"worker","serviceAccountName":`).Replace(string(raw.Object.Raw)))
			}
			assert.Equal(t, test.filled, strings.Contains(string(raw.Object.Raw), `"500m"`))
			_, validated := both(t, raw, w)
			assert.Equal(t, test.admit, validated.Allowed, "%+v", validated.Result)
		})
	}
}
