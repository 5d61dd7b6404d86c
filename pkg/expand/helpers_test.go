package expand_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// manifestBuilder builds a Knative Service the way a user would write it.
type manifestBuilder struct{ object manifest.Object }

// plain is a Service without labels of ours.
func plain() *manifestBuilder {
	return &manifestBuilder{read(`
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
func autoscaled(parameters ...string) *manifestBuilder {
	return plain().label(parameter.AutoscaleLabel, "true").params(parameters...)
}

// onHPA is an autoscaled Service of the class hpa that requests cpu and memory.
func onHPA(parameters ...string) *manifestBuilder {
	return autoscaled("autoscaler-class", "hpa", "cpus", "2", "memory", "4Gi").params(parameters...)
}

// hpaResources are the resources that onHPA ends up with.
const hpaResources = `{containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {cpu: "2", memory: 4Gi}}}]}`

func (w *manifestBuilder) put(value any, keys ...string) *manifestBuilder {
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

func (w *manifestBuilder) drop(keys ...string) *manifestBuilder {
	delete(manifest.Map(w.object, keys[:len(keys)-1]...), keys[len(keys)-1])
	return w
}

func (w *manifestBuilder) label(key, value string) *manifestBuilder {
	return w.put(value, "metadata", "labels", key)
}

// params sets parameters by name, or other annotations of the object by their full key.
func (w *manifestBuilder) params(pairs ...string) *manifestBuilder {
	for i := 0; i < len(pairs); i += 2 {
		w.put(pairs[i+1], "metadata", "annotations", key(pairs[i]))
	}
	return w
}

// without removes parameters.
func (w *manifestBuilder) without(names ...string) *manifestBuilder {
	for _, n := range names {
		w.drop("metadata", "annotations", key(n))
	}
	return w
}

// native sets annotations of the template: those of Knative's autoscaler by the last
// part of the key, others by the full one.
func (w *manifestBuilder) native(pairs ...string) *manifestBuilder {
	for i := 0; i < len(pairs); i += 2 {
		w.put(pairs[i+1], "spec", "template", "metadata", "annotations", nativeKey(pairs[i]))
	}
	return w
}

// pod replaces the pod spec.
func (w *manifestBuilder) pod(text string) *manifestBuilder {
	return w.put(map[string]any(read(text)), "spec", "template", "spec")
}

// with sets what a YAML text says at a path.
func (w *manifestBuilder) with(text string, keys ...string) *manifestBuilder {
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		panic(err)
	}
	return w.put(normalised(v), keys...)
}

func (w *manifestBuilder) copied() *manifestBuilder { return &manifestBuilder{clone(w.object)} }

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

// templateOf is the template of an object as a test states it: all annotations and the
// whole pod spec.
func templateOf(o manifest.Object) (map[string]string, manifest.Object) {
	return manifest.Texts(o, "spec", "template", "metadata", "annotations"), manifest.Map(o, "spec", "template", "spec")
}

// row is one case: a Service, where it is created, and all that comes of it.
type row struct {
	in *manifestBuilder
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
