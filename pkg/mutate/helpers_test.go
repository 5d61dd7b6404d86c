package mutate_test

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// workload builds a Knative Service the way a user would write it.
type workload struct{ object manifest.Object }

// plain is a Service without labels of ours.
func plain() *workload {
	return &workload{read(`
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: inference, namespace: ml}
spec:
  template:
    spec:
      containers:
      - image: ghcr.io/acme/inference:v1
`)}
}

// autoscaled is a Service that opts in to autoscaling, with parameters (name, value, ...)
// as annotations.
func autoscaled(parameters ...string) *workload {
	return plain().label(parameter.AutoscaleLabel, "true").params(parameters...)
}

// onHPA is an autoscaled Service of the class hpa that requests cpu and memory.
func onHPA(parameters ...string) *workload {
	return autoscaled("autoscaler-class", "hpa", "cpus", "2", "memory", "4Gi").params(parameters...)
}

// hpaResources are the resources that onHPA ends up with.
const hpaResources = `{containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {cpu: "2", memory: 4Gi}}}]}`

func (w *workload) put(value any, keys ...string) *workload {
	o := w.object
	for _, k := range keys[:len(keys)-1] {
		if _, ok := o[k].(manifest.Object); !ok {
			o[k] = manifest.Object{}
		}
		o = o[k].(manifest.Object)
	}
	o[keys[len(keys)-1]] = value
	return w
}

func (w *workload) drop(keys ...string) *workload {
	delete(manifest.Map(w.object, keys[:len(keys)-1]...), keys[len(keys)-1])
	return w
}

func (w *workload) label(key, value string) *workload {
	return w.put(value, "metadata", "labels", key)
}

// params sets parameters by name, or other annotations of the object by their full key.
func (w *workload) params(pairs ...string) *workload {
	for i := 0; i < len(pairs); i += 2 {
		w.put(pairs[i+1], "metadata", "annotations", key(pairs[i]))
	}
	return w
}

// without removes parameters.
func (w *workload) without(names ...string) *workload {
	for _, n := range names {
		w.drop("metadata", "annotations", key(n))
	}
	return w
}

// native sets annotations of the template: those of Knative's autoscaler by the last
// part of the key, others by the full one.
func (w *workload) native(pairs ...string) *workload {
	for i := 0; i < len(pairs); i += 2 {
		w.put(pairs[i+1], "spec", "template", "metadata", "annotations", nativeKey(pairs[i]))
	}
	return w
}

// pod replaces the pod spec.
func (w *workload) pod(text string) *workload {
	return w.put(map[string]any(read(text)), "spec", "template", "spec")
}

// with sets what a YAML text says at a path.
func (w *workload) with(text string, keys ...string) *workload {
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		panic(err)
	}
	return w.put(normalised(v), keys...)
}

func (w *workload) copied() *workload { return &workload{clone(w.object)} }

func key(name string) string {
	for _, p := range parameter.Table {
		if p.Name == name {
			return p.Key()
		}
	}
	return name
}

func nativeKey(name string) string {
	switch {
	case name == "progress-deadline":
		return "serving.knative.dev/progress-deadline"
	case strings.Contains(name, "/"):
		return name
	}
	return "autoscaling.knative.dev/" + name
}

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

func normalised(v any) any {
	raw, err := json.Marshal(manifest.Object{"v": v})
	if err != nil {
		panic(err)
	}
	o, err := manifest.Decode(raw)
	if err != nil {
		panic(err)
	}
	return o["v"]
}

func clone(o manifest.Object) manifest.Object { return runtime.DeepCopyJSON(o) }

// kpa is the complete set of annotations of a kpa template: the built-in values, with
// some replaced.
func kpa(pairs ...string) map[string]string {
	m := map[string]string{"class": "kpa.autoscaling.knative.dev", "metric": "concurrency", "target": "100",
		"target-utilization-percentage": "70", "min-scale": "0", "max-scale": "10", "initial-scale": "1", "window": "60s",
		"scale-down-delay": "1m", "scale-to-zero-pod-retention-period": "10m", "progress-deadline": "10m"}
	return annotations(m, pairs)
}

// hpa is the same for the class hpa.
func hpa(pairs ...string) map[string]string {
	return annotations(map[string]string{"class": "hpa.autoscaling.knative.dev", "metric": "cpu", "target": "80",
		"min-scale": "1", "max-scale": "10", "initial-scale": "1", "window": "60s", "progress-deadline": "10m"}, pairs)
}

func annotations(m map[string]string, pairs []string) map[string]string {
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	full := map[string]string{}
	for k, v := range m {
		full[nativeKey(k)] = v
	}
	return full
}

// minus removes annotations from a set.
func minus(m map[string]string, names ...string) map[string]string {
	m = maps.Clone(m)
	for _, n := range names {
		delete(m, nativeKey(n))
	}
	return m
}

// cluster is what surrounds a workload.
type cluster struct {
	knative   *knative.Config
	policies  []v1alpha1.ComputePolicy
	revisions policy.Revisions
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
	answer := read().Mutate(w)
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
	var err error
	out.object, err = manifest.Decode(raw.Object.Raw)
	require.NoError(t, err)
	if answer = read().Validate(w); !answer.Allowed {
		return out.refuse(answer)
	}
	for _, x := range answer.Warnings {
		if !contains(out.warnings, x) {
			out.warnings = append(out.warnings, x)
		}
	}
	return out
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
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

// templateOf is the template of an object as a test states it: all annotations and the
// whole pod spec.
func templateOf(o manifest.Object) (map[string]string, manifest.Object) {
	return manifest.Texts(o, "spec", "template", "metadata", "annotations"), manifest.Map(o, "spec", "template", "spec")
}

// row is one case: a Service, where it is created, and all that comes of it.
type row struct {
	in *workload
	at cluster
	// want are all annotations of the template; pod is its pod spec where that changes.
	want map[string]string
	pod  string
	// refused are all causes; code is 422 unless it says otherwise.
	refused  []string
	code     int32
	warnings []string
}

// run checks one row, and of what is admitted that nothing more happens to it when it is
// sent again: as it is, and as Knative's own defaulting leaves it.
func (r row) run(t *testing.T) {
	t.Helper()
	before := clone(r.in.object)
	out := r.at.create(t, r.in.object)
	assert.Equal(t, before, r.in.object, "the request itself is left alone")
	if r.code == 0 && r.refused != nil {
		r.code = 422
	}
	assert.Equal(t, r.refused, out.refused)
	assert.Equal(t, r.code, out.code)
	assert.ElementsMatch(t, r.warnings, out.warnings)
	if out.object == nil {
		return
	}
	got, pod := templateOf(out.object)
	assert.Equal(t, r.want, got)
	wantPod := manifest.Map(before, "spec", "template", "spec")
	if r.pod != "" {
		wantPod = read(r.pod)
	}
	assert.Equal(t, wantPod, pod)
	r.at.settled(t, out.object)
}

// settled checks that sending an admitted object again changes nothing: offline, on
// CREATE and on UPDATE, before and after Knative's own defaulting.
func (c cluster) settled(t *testing.T, o manifest.Object) {
	t.Helper()
	again := c.create(t, o)
	assert.Empty(t, again.refused, "expanding twice")
	assert.Empty(t, again.patch, "expanding twice")
	defaulted := c.defaulted(t, o)
	again = c.update(t, defaulted, touched(defaulted))
	assert.Empty(t, again.refused, "expanding after Knative's defaulting")
	assert.Empty(t, again.patch, "expanding after Knative's defaulting")
	again = c.create(t, defaulted)
	assert.Empty(t, again.refused, "reinvoked after Knative's defaulting")
	assert.Empty(t, again.patch, "reinvoked after Knative's defaulting")
}

// touched is an object with another image, so that an update is expanded anew.
func touched(o manifest.Object) manifest.Object {
	o = clone(o)
	for _, c := range manifest.Objects(o, "spec", "template", "spec", "containers") {
		c["image"] = manifest.Text(c, "image") + "-touched"
	}
	return o
}

// runRows runs a table.
func runRows(t *testing.T, rows map[string]row) {
	t.Helper()
	for name, r := range rows {
		t.Run(name, r.run)
	}
}

// param is a cause at a parameter, nativeCause one at a template annotation.
func param(name, value, message string) string {
	return "metadata.annotations[" + key(name) + `]: Invalid value: "` + value + `": ` + message
}

func nativeCause(name, value, message string) string {
	return "spec.template.metadata.annotations[" + nativeKey(name) + `]: Invalid value: "` + value + `": ` + message
}

// withKey adds an annotation by its full key.
func withKey(m map[string]string, key, value string) map[string]string {
	m[key] = value
	return m
}
