// An object has no name yet when it is judged.

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestGeneratedNamesAreBounded(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, eachBound)
	for _, kind := range []string{"Service", "Configuration", "Revision", "Deployment"} {
		for gpus, want := range map[int]string{3: "bounds.gpusPerPod.max", 1: ""} {
			u := knativeObject(t, kind, "x", "2", gpus)
			unstructured.RemoveNestedField(u.Object, "metadata", "name")
			u.SetGenerateName("app-")
			err := made(t, ns, u)
			if want == "" {
				assert.NoError(t, err, kind)
				continue
			}
			assert.ErrorContains(t, err, want, kind)
			assert.Contains(t, err.Error(), "app-")
		}
	}
}
