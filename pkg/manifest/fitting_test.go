package manifest_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/manifest"
)

func TestWhatDoesNotFitIsTakenOutAlone(t *testing.T) {
	for name, c := range map[string]struct{ given, want string }{
		"a field":                       {`{spec: {nodeName: 5, hostname: a}}`, `{spec: {hostname: a}}`},
		"a field of an entry":           {`{spec: {containers: [{name: 5, image: a}, {name: b}]}}`, `{spec: {containers: [{image: a}, {name: b}]}}`},
		"an entry that is no object":    {`{spec: {containers: [x, {name: b}]}}`, `{spec: {containers: [{name: "", resources: {}}, {name: b}]}}`},
		"a text of a list":              {`{spec: {containers: [{command: [a, 5, b]}]}}`, `{spec: {containers: [{command: [a, "", b]}]}}`},
		"a key with dots and a slash":   {`{spec: {nodeSelector: {a.b/c: 5, d: e}}}`, `{spec: {nodeSelector: {d: e}}}`},
		"a key with brackets":           {`{spec: {nodeSelector: {"a]b[c": 5, "a]": 5, d: e}}}`, `{spec: {nodeSelector: {d: e}}}`},
		"a list that is none":           {`{spec: {containers: 5, hostname: a}}`, `{spec: {hostname: a}}`},
		"below a pointer":               {`{spec: {securityContext: {runAsUser: x, fsGroup: 1}}}`, `{spec: {securityContext: {fsGroup: 1}}}`},
		"below entries of entries":      {`{spec: {containers: [{env: [{name: a}, {name: b, value: 1}]}]}}`, `{spec: {containers: [{env: [{name: a}, {name: b}]}]}}`},
		"what fits stays as it is":      {`{spec: {hostname: a}, more: 5}`, `{spec: {hostname: a}, more: 5}`},
		"of eleven entries, the second": {`{spec: {containers: [{name: 5}, {name: b}, {}, {}, {}, {}, {}, {}, {}, {}, {name: k}]}}`, `{spec: {containers: [{}, {name: b}, {}, {}, {}, {}, {}, {}, {}, {}, {name: k}]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			var given, want manifest.Object
			require.NoError(t, yaml.Unmarshal([]byte(c.given), &given))
			require.NoError(t, yaml.Unmarshal([]byte(c.want), &want))
			typ := reflect.TypeFor[corev1.Pod]()
			fitting := manifest.Fitting(given, typ, manifest.CheckType(given, typ, nil, nil))
			assert.Equal(t, want, fitting)
			assert.Empty(t, manifest.CheckType(fitting, typ, nil, nil), "nothing else is wrong")
		})
	}
}

func TestAPathIsBelowWhatHoldsIt(t *testing.T) {
	for _, c := range []struct {
		path, whole string
		want        bool
	}{{"a.b[1].c", "a.b[1]", true}, {"a.b[1]", "a.b", true}, {"a.b", "a.b", true}, {"a.b[10]", "a.b[1]", false}, {"a.bc", "a.b", false}, {"a", "a.b", false}} {
		assert.Equal(t, c.want, manifest.Below(c.path, c.whole), c.path+" in "+c.whole)
	}
}
