package expand_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

func TestPartsOfAByteStayWhereTheyWere(t *testing.T) {
	for kind, fill := range map[string]func(old, o manifest.Object) expand.Result{
		"Deployment": func(old, o manifest.Object) expand.Result {
			return expand.Deployment(expand.Input{Old: old, Object: o})
		},
		"Service": func(old, o manifest.Object) expand.Result {
			return expand.Service(expand.Input{Old: old, Object: o, Knative: knative.Default()})
		},
	} {
		read := func(image, memory string) (o manifest.Object) {
			require.NoError(t, yaml.Unmarshal([]byte(`{kind: `+kind+`, metadata: {name: a, labels: {kubetorch.com/compute: "true"}}, spec: {template: {spec: {containers: [{image: `+image+`, resources: {limits: {memory: `+memory+`}}}]}}}}`), &o))
			return runtime.DeepCopyJSON(o)
		}
		assert.NotEmpty(t, fill(nil, read("a/b:1", "512m")).Errors, kind)
		assert.Empty(t, fill(read("a/b:1", "512m"), read("a/b:2", "512m")).Errors, kind+" that has it already")
		assert.NotEmpty(t, fill(read("a/b:1", "512m"), read("a/b:2", "600m")).Errors, kind+" with another one")
		assert.Empty(t, fill(nil, read("a/b:1", `"1024"`)).Errors, kind+" in bytes")
		assert.Empty(t, fill(nil, read("a/b:1", "1073741824000m")).Errors, kind+" in thousandths that are whole bytes")
	}
}
