package convert_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// The API server drops what the schema of Knative's CRD does not have before any webhook
// sees it, so nothing of the kind may be left in a Knative Service.
func TestNothingIsPrunedByTheCRD(t *testing.T) {
	schema := manifest.Map(manifest.Objects(knativeCRD(t), "spec", "versions")[0], "schema", "openAPIV3Schema")
	require.Equal(t, []string{"spec.template.spec.hostname"}, pruned(parse(t, `{template: {spec: {hostname: a, containers: [{image: a}]}}}`), manifest.Map(schema, "properties", "spec"), field.NewPath("spec")))
	files, err := filepath.Glob("testdata/services/*.yaml")
	require.NoError(t, err)
	checked := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if !strings.Contains(string(text), "\nkind:") {
			continue // refused
		}
		checked++
		assert.Empty(t, pruned(parse(t, string(text))["spec"], manifest.Map(schema, "properties", "spec"), field.NewPath("spec")), file)
	}
	assert.Greater(t, checked, 25)
}

// newer are volumes that versions of Knative after the one compiled in have.
var newer = map[string]bool{"hostPath": true, "csi": true, "ephemeral": true, "image": true, "hostIPC": true}

// pruned lists the paths that a structural schema does not have.
func pruned(v any, schema manifest.Object, at *field.Path) (paths []string) {
	if preserve, _ := schema["x-kubernetes-preserve-unknown-fields"].(bool); preserve {
		return nil
	}
	switch v := v.(type) {
	case manifest.Object:
		if schema["additionalProperties"] != nil {
			return nil
		}
		properties := manifest.Map(schema, "properties")
		for k, x := range v {
			if newer[k] {
				continue
			}
			next, ok := properties[k].(manifest.Object)
			if !ok {
				paths = append(paths, at.Child(k).String())
				continue
			}
			paths = append(paths, pruned(x, next, at.Child(k))...)
		}
	case []any:
		for i, x := range v {
			paths = append(paths, pruned(x, manifest.Map(schema, "items"), at.Index(i))...)
		}
	}
	return paths
}

// knativeCRD is the CRD of Services in the version of Knative that go.mod names.
func knativeCRD(t *testing.T) manifest.Object {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "knative.dev/serving").Output()
	require.NoError(t, err)
	return read(t, filepath.Join(strings.TrimSpace(string(dir)), "config/core/300-resources/service.yaml"))
}
