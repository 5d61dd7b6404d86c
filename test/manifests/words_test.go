package manifests

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// kubectl explain has words for every field.
func TestEveryFieldIsExplained(t *testing.T) {
	kinds := 0
	for _, o := range load(t, root) {
		if o.GetKind() != "CustomResourceDefinition" {
			continue
		}
		kinds++
		versions, _, _ := unstructured.NestedSlice(o.Object, "spec", "versions")
		for _, version := range versions {
			schema, _, _ := unstructured.NestedMap(version.(map[string]any), "schema", "openAPIV3Schema")
			explained(t, o.GetName(), schema)
		}
	}
	assert.Equal(t, 2, kinds)
}

func explained(t *testing.T, path string, schema map[string]any) {
	t.Helper()
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		p := property.(map[string]any)
		if name != "metadata" || path == "" {
			assert.NotEmpty(t, p["description"], "%s.%s", path, name)
		}
		explained(t, path+"."+name, p)
	}
	if items, ok := schema["items"].(map[string]any); ok {
		explained(t, path+"[]", items)
	}
}
