package expand_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// cluster is what surrounds a workload.
type cluster struct {
	knative   *knative.Config
	policies  []v1alpha1.ComputePolicy
	revisions workload.Revisions
}

// inCluster is a cluster with Knative ConfigMap keys (config map, key, value, ...).
func inCluster(triples ...string) cluster {
	data := map[string]map[string]string{}
	for i := 0; i < len(triples); i += 3 {
		name := "config-" + triples[i]
		if data[name] == nil {
			data[name] = map[string]string{}
		}
		data[name][triples[i+1]] = triples[i+2]
	}
	c, err := knative.ParseConfig(data)
	if err != nil {
		panic(err)
	}
	return cluster{knative: c}
}

// under adds policies.
func (c cluster) under(texts ...string) cluster {
	for i, text := range texts {
		var p v1alpha1.ComputePolicy
		if err := yaml.UnmarshalStrict([]byte(text), &p); err != nil {
			panic(err)
		}
		if p.Name == "" {
			p.Name = []string{"platform", "team", "third"}[i]
		}
		if errs := policy.Validate(&p); len(errs) > 0 {
			panic(errs.ToAggregate())
		}
		c.policies = append(c.policies, p)
	}
	return c
}

func (c cluster) world() review.World {
	w := review.World{Policies: policy.Compile(c.policies), Knative: c.knative, Revisions: c.revisions,
		NamespaceLabels: func(name string) (map[string]string, bool) {
			return map[string]string{"kubernetes.io/metadata.name": name}, true
		}}
	if w.Knative == nil {
		w.Knative = knative.Default()
	}
	return w
}

// outcome is all that becomes of a request.
type outcome struct {
	// object as it is stored.
	object manifest.Object
	// patch is what the mutating step changes.
	patch    []map[string]any
	warnings []string
	// refused holds the causes as "field: message"; nil for what is admitted.
	refused []string
	code    int32
}

func (c cluster) create(t *testing.T, o manifest.Object) outcome { return c.admit(t, nil, o) }

func (c cluster) update(t *testing.T, old, o manifest.Object) outcome {
	require.NotNil(t, old)
	return c.admit(t, old, o)
}

// admit sends an object through both steps, as the API server does.
func (c cluster) admit(t *testing.T, old, o manifest.Object) outcome {
	t.Helper()
	w := c.world()
	raw := &admissionv1.AdmissionRequest{UID: types.UID("u-1"), Operation: admissionv1.Create, Namespace: manifest.Text(o, "metadata", "namespace"),
		Name: manifest.Text(o, "metadata", "name"), Kind: metav1.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}}
	raw.Object.Raw = marshal(t, o)
	if old != nil {
		raw.Operation, raw.OldObject.Raw = admissionv1.Update, marshal(t, old)
	}
	out := outcome{}
	read := func() *review.Request {
		r, answer := review.Read(raw)
		require.Nil(t, answer)
		return r
	}
	answer, err := read().Mutate(t.Context(), w)
	require.NoError(t, err)
	out.warnings = answer.Warnings
	if !answer.Allowed {
		return out.refuse(answer)
	}
	if len(answer.Patch) > 0 {
		require.NoError(t, json.Unmarshal(answer.Patch, &out.patch))
		patch, err := jsonpatch.DecodePatch(answer.Patch)
		require.NoError(t, err)
		raw.Object.Raw, err = patch.Apply(raw.Object.Raw)
		require.NoError(t, err, "the patch does not apply: %s", answer.Patch)
	}
	out.object, err = manifest.Decode(raw.Object.Raw)
	require.NoError(t, err)
	answer, err = read().Validate(t.Context(), w)
	require.NoError(t, err)
	if !answer.Allowed {
		return out.refuse(answer)
	}
	for _, x := range answer.Warnings {
		if !slices.Contains(out.warnings, x) {
			out.warnings = append(out.warnings, x)
		}
	}
	return out
}

func (out outcome) refuse(a *admissionv1.AdmissionResponse) outcome {
	for _, cause := range a.Result.Details.Causes {
		out.refused = append(out.refused, cause.Field+": "+cause.Message)
	}
	out.object, out.patch, out.code = nil, nil, a.Result.Code
	return out
}

func marshal(t *testing.T, o manifest.Object) []byte {
	t.Helper()
	raw, err := json.Marshal(o)
	require.NoError(t, err)
	return raw
}

// defaulted is what Knative's own defaulting makes of a Service.
func (c cluster) defaulted(t *testing.T, o manifest.Object) manifest.Object {
	t.Helper()
	var s servingv1.Service
	require.NoError(t, json.Unmarshal(marshal(t, o), &s))
	ctx := c.world().Knative.Context(context.Background())
	s.SetDefaults(apis.WithinCreate(ctx))
	raw, err := json.Marshal(s)
	require.NoError(t, err)
	d, err := manifest.Decode(raw)
	require.NoError(t, err)
	return d
}
