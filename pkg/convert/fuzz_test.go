package convert_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// FuzzService looks for Deployments that the conversion cannot stand, or converts to
// something else once the API server has filled in its defaults.
func FuzzService(f *testing.F) {
	files, err := filepath.Glob("testdata/deployments/*.yaml")
	require.NoError(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		raw, err := yaml.YAMLToJSON(text)
		require.NoError(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := manifest.Decode(raw)
		if err != nil {
			return
		}
		service, notes, errs := convert.Service(o, convert.Surroundings{})
		notes.Relate(errs)
		convert.RevisionOwner(o)
		var typed appsv1.Deployment
		if service == nil || len(everyFlag.Validate(service, true)) > 0 || len(errs) > 0 || kjson.UnmarshalCaseSensitivePreserveInts(raw, &typed) != nil {
			return
		}
		again, _, errs := convert.Service(defaulted(t, o), convert.Surroundings{})
		assert.Empty(t, errs)
		assert.Equal(t, service["spec"], again["spec"])
	})
}
