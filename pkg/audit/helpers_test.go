package audit_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
)

func object(t *testing.T, text string) manifest.Object {
	t.Helper()
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	require.NoError(t, err)
	o, err := manifest.Decode(raw)
	require.NoError(t, err)
	return o
}

func objects(t *testing.T, texts ...string) []manifest.Object {
	t.Helper()
	all := make([]manifest.Object, len(texts))
	for i, text := range texts {
		all[i] = object(t, text)
	}
	return all
}

// input is a cluster with Knative as it comes, and two namespaces.
func input(t *testing.T, policies []string, texts ...string) audit.Listing {
	t.Helper()
	return audit.Listing{
		Policies: policy.CompileStored(objects(t, policies...)), Knative: knative.Default(), Served: true, Objects: cluster.AllOf(objects(t, texts...)),
		Namespaces: map[string]map[string]string{
			"ml":  {"kubernetes.io/metadata.name": "ml", "team": "research"},
			"web": {"kubernetes.io/metadata.name": "web"},
		},
		Excluded: []string{"knative-serving"},
	}
}

// lines are the findings in short.
func lines(r audit.Report) []string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.Policy+" "+string(f.Enforcement)+" "+f.Bound+" "+f.Kind+" "+f.Namespace+"/"+f.Name)
	}
	return all
}
