package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

func read(text string) manifest.Object {
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		panic(err)
	}
	o, err := manifest.Decode(raw)
	if err != nil {
		panic(err)
	}
	return o
}

func policies(texts ...string) []v1alpha1.ComputePolicy {
	all := make([]v1alpha1.ComputePolicy, len(texts))
	for i, text := range texts {
		if err := yaml.UnmarshalStrict([]byte(text), &all[i]); err != nil {
			panic(err)
		}
		if all[i].Name == "" {
			all[i].Name = "platform"
		}
	}
	return all
}

// service is a Service with annotations on its template and a pod spec.
func service(annotations, pod string) manifest.Object {
	return manifest.Object{"metadata": manifest.Object{"name": "inference"}, "spec": manifest.Object{"template": manifest.Object{
		"metadata": manifest.Object{"annotations": map[string]any(read(annotations))}, "spec": map[string]any(read(pod))}}}
}

func demand(o manifest.Object) workload.Usage {
	return workload.ServiceUsage(o, "", knative.Default(), policy.Compile(nil).GPUResources(), nil)
}

func config(t *testing.T, pairs ...string) *knative.Config {
	t.Helper()
	data := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		data[pairs[i]] = pairs[i+1]
	}
	c, err := knative.ParseConfig(map[string]map[string]string{knative.AutoscalerConfig: data})
	require.NoError(t, err)
	return c
}

func texts(errs field.ErrorList) []string {
	var all []string
	for _, e := range errs {
		all = append(all, e.Error())
	}
	return all
}
