package expand_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// later is an update of a Service that was created and that Knative then filled in.
type later struct {
	stored *manifestBuilder
	at     cluster
	// then is the cluster at the time of the update; the same one unless it is given.
	then *cluster
	// change is what the update does to the stored object; put starts from the manifest
	// that was created instead, as kubectl replace does.
	change func(*manifestBuilder)
	put    bool

	// unchanged expects an empty patch. Else want are all annotations of the template,
	// pod its pod spec before Knative's defaulting (the manifest's unless given).
	unchanged bool
	want      map[string]string
	pod       string
	refused   []string
	code      int32
	warnings  []string
}

// asStored is an object as it stands in the API server after Knative has seen it.
func (c cluster) asStored(t *testing.T, w *manifestBuilder) manifest.Object {
	t.Helper()
	out := c.create(t, w.object)
	require.Empty(t, out.refused)
	o := c.defaulted(t, out.object)
	o["metadata"].(manifest.Object)["generation"] = int64(1)
	o["status"] = read(`{observedGeneration: 1, latestCreatedRevisionName: inference-00001, traffic: [{latestRevision: true, revisionName: inference-00001, percent: 100}]}`)
	return o
}

func (l later) run(t *testing.T) {
	t.Helper()
	old := l.at.asStored(t, l.stored)
	then := l.at
	if l.then != nil {
		then = *l.then
	}
	now := &manifestBuilder{clone(old)}
	if l.put {
		now = l.stored.copied()
		now.put(old["metadata"].(manifest.Object)["generation"], "metadata", "generation").put(old["status"], "status")
	}
	if l.change != nil {
		l.change(now)
	}
	out := then.update(t, old, now.object)
	assert.Equal(t, l.refused, out.refused)
	if l.refused != nil && l.code == 0 {
		l.code = 422
	}
	assert.Equal(t, l.code, out.code)
	assert.ElementsMatch(t, l.warnings, out.warnings)
	if out.object == nil {
		return
	}
	if l.unchanged {
		assert.Empty(t, out.patch)
		return
	}
	got, pod := templateOf(then.defaulted(t, out.object))
	assert.Equal(t, l.want, got)
	expected := clone(l.stored.object)
	if l.pod != "" {
		expected["spec"].(manifest.Object)["template"].(manifest.Object)["spec"] = map[string]any(read(l.pod))
	}
	_, wantPod := templateOf(then.defaulted(t, expected))
	assert.Equal(t, wantPod, pod)
	again := then.update(t, old, then.defaulted(t, out.object))
	assert.Empty(t, again.refused, "reinvoked after Knative's defaulting")
	assert.Empty(t, again.patch, "reinvoked after Knative's defaulting")
	stored := then.defaulted(t, out.object)
	again = then.update(t, stored, touched(stored))
	assert.Empty(t, again.refused, "another update")
	assert.Empty(t, again.patch, "another update")
}

func runLater(t *testing.T, updates map[string]later) {
	t.Helper()
	for name, l := range updates {
		t.Run(name, l.run)
	}
}

// setImage is the change of somebody who releases a new version.
func setImage(w *manifestBuilder) {
	manifest.Objects(w.object, "spec", "template", "spec", "containers")[0]["image"] = "ghcr.io/acme/inference:v2"
}

const releasedPod = `{containers: [{image: "ghcr.io/acme/inference:v2"}]}`

func defaultPolicy(settings string) string {
	return `{metadata: {name: platform}, spec: {defaults: {autoscale: ` + settings + `}}}`
}

func under(texts ...string) *cluster { c := inCluster().under(texts...); return &c }

func TestUpdatesThatChangeNothing(t *testing.T) {
	named := func() *manifestBuilder {
		return autoscaled("max-scale", "4").put("inference-blue", "spec", "template", "metadata", "name")
	}
	runLater(t, map[string]later{
		"M1 the same object": {stored: autoscaled("max-scale", "4"), unchanged: true},
		"M9 an empty patch by Knative's storage migration": {stored: autoscaled("max-scale", "30"), then: under(house), unchanged: true},
		"H8 a label of the Service alone": {stored: autoscaled("max-scale", "4"), unchanged: true,
			change: func(w *manifestBuilder) { w.label("team", "vision") }},
		"a policy's new default alone": {stored: autoscaled(), then: under(defaultPolicy("{maxScale: 5, window: 2m}")), unchanged: true},
		"a policy's bound alone": {stored: autoscaled(), unchanged: true,
			then: under(`{spec: {bounds: {maxScale: {max: 3, enforcement: Clamp}, scaleDownDelay: {max: 5s, enforcement: Clamp}}}}`)},
		"a policy that is gone": {stored: autoscaled(), at: *under(defaultPolicy("{maxScale: 5}")), then: under(), unchanged: true},
		"M2 a label of the Service beside a revision name of the user's": {stored: named(), unchanged: true,
			change: func(w *manifestBuilder) { w.label("team", "vision") }},
		"M3 and a policy's new default": {stored: named(), then: under(defaultPolicy("{window: 2m}")), unchanged: true,
			change: func(w *manifestBuilder) { w.label("team", "vision") }},
		"M7 a creator that a PUT drops is Knative's business": {stored: autoscaled("serving.knative.dev/creator", "somebody"), unchanged: true,
			change: func(w *manifestBuilder) { w.drop("metadata", "annotations", "serving.knative.dev/creator") }},
		"M8 so is a forged modifier": {stored: autoscaled(), unchanged: true,
			change: func(w *manifestBuilder) { w.params("serving.knative.dev/lastModifier", "eve") }},
		"traffic alone": {stored: autoscaled(), unchanged: true,
			change: func(w *manifestBuilder) { w.with(`[{revisionName: inference-00001, percent: 100}]`, "spec", "traffic") }},
	})
}

func TestUpdatesOfNamedRevisions(t *testing.T) {
	named := func(name string, parameters ...string) *manifestBuilder {
		return autoscaled(parameters...).put(name, "spec", "template", "metadata", "name")
	}
	t.Run("M5 a name without the Service's as its prefix is refused", func(t *testing.T) {
		for _, name := range []string{"v1", "inference", "other-v1"} {
			out := cluster{}.create(t, named(name).object)
			assert.Equal(t, []string{`spec.template.metadata.name: Invalid value: invalid value: "` + name + `" must have prefix "inference-"`}, out.refused)
		}
	})
	runLater(t, map[string]later{
		"M4 a new name rolls out changed parameters": {stored: named("inference-blue", "max-scale", "4"), want: kpa("max-scale", "6"),
			change: func(w *manifestBuilder) {
				w.put("inference-green", "spec", "template", "metadata", "name").params("max-scale", "6")
			}},
		"M3 an unchanged name keeps the template, with a warning about the parameters": {stored: named("inference-blue", "max-scale", "4"), unchanged: true,
			change:   func(w *manifestBuilder) { w.params("max-scale", "6") },
			warnings: []string{"spec.template.metadata.name is still inference-blue, so changed parameters have no effect; choose a new name to roll them out"}},
		"M3 the label added to a Service with a name keeps the template": {
			stored: plain().put("inference-blue", "spec", "template", "metadata", "name"), unchanged: true,
			change:   func(w *manifestBuilder) { w.label("kubetorch.com/autoscale", "true") },
			warnings: []string{"spec.template.metadata.name is still inference-blue, so changed parameters have no effect; choose a new name to roll them out"}},
		"M3 a bad parameter is refused all the same": {stored: named("inference-blue", "max-scale", "4"),
			change:   func(w *manifestBuilder) { w.params("max-scale", "six") },
			refused:  []string{param("max-scale", "six", "invalid value: six"+scaleAllowed)},
			warnings: []string{"spec.template.metadata.name is still inference-blue, so changed parameters have no effect; choose a new name to roll them out"}},
	})
}

func TestUpdatesOfParameters(t *testing.T) {
	remove := func(names ...string) func(*manifestBuilder) {
		return func(w *manifestBuilder) { w.without(names...) }
	}
	set := func(pairs ...string) func(*manifestBuilder) { return func(w *manifestBuilder) { w.params(pairs...) } }
	runLater(t, map[string]later{
		"a changed parameter is followed":              {stored: autoscaled("max-scale", "4"), change: set("max-scale", "6"), want: kpa("max-scale", "6")},
		"a changed parameter is followed by a replace": {stored: autoscaled("max-scale", "4"), put: true, change: set("max-scale", "6"), want: kpa("max-scale", "6")},
		"a removed parameter gives way to the default": {stored: autoscaled("max-scale", "4", "concurrency", "8"), change: remove("max-scale", "concurrency"), want: kpa()},
		"a removed compute parameter takes what it wrote along": {stored: autoscaled("cpus", "2", "shared-memory-limit", "1Gi", "service-account-name", "runner", "gpus", "1"), at: gpuCluster(),
			change: remove("cpus", "shared-memory-limit", "service-account-name", "gpus"), want: kpa()},
		"an added parameter is written": {stored: autoscaled(), change: set("window", "2m", "cpus", "2"), want: kpa("window", "2m"), pod: onePod(`resources: {requests: {cpu: "2"}}`)},
		"a changed size is followed": {stored: autoscaled("memory", "1Gi", "gpus", "1", "shared-memory-limit", "1Gi"), at: gpuCluster(), change: set("memory", "2Gi", "gpus", "2", "shared-memory-limit", "2Gi"), want: kpa(),
			pod: `{tolerations: ` + gpuTolerations + `, volumes: [{name: dshm, emptyDir: {medium: Memory, sizeLimit: 2Gi}}], containers: [{image: "ghcr.io/acme/inference:v1",
				volumeMounts: [{name: dshm, mountPath: /dev/shm}], resources: {requests: {memory: 2Gi, nvidia.com/gpu: "2"}, limits: {nvidia.com/gpu: "2"}}}]}`},
		"a changed GPU type is followed": {stored: autoscaled("gpu-type", "NVIDIA-L4"), at: gpuCluster(), change: set("gpu-type", "cloud.google.com/gke-accelerator: nvidia-l4"), want: kpa(),
			pod: `{nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}, containers: [{image: "ghcr.io/acme/inference:v1"}]}`},
		"a change of class drops what the other class used": {stored: onHPA("autoscaler-class", "kpa"), change: set("autoscaler-class", "hpa"), want: hpa(), pod: hpaResources},
		"and back": {stored: onHPA(), change: set("autoscaler-class", "kpa"), want: kpa(), pod: hpaResources},
		"hpa's memory target follows the memory": {stored: onHPA("metric", "memory"), change: set("memory", "8Gi"), want: hpa("metric", "memory", "target", "5734"),
			pod: onePod(`resources: {requests: {cpu: "2", memory: 8Gi}}`)},
		"the default target follows the concurrency limit": {stored: autoscaled("concurrency", "8"), change: set("concurrency", "4"), want: kpa("target", "4"),
			pod: `{containerConcurrency: 4, containers: [{image: "ghcr.io/acme/inference:v1"}]}`},
		"what the user set on the template never moves": {stored: autoscaled().native("window", "90s", "max-scale", "7"), change: set("min-scale", "1"),
			then: under(defaultPolicy("{window: 2m, maxScale: 3}")), want: kpa("window", "90s", "max-scale", "7", "min-scale", "1")},
		"the camelCase spelling stays": {stored: autoscaled().native("maxScale", "7"), change: set("min-scale", "1"),
			want: minus(kpa("maxScale", "7", "min-scale", "1"), "max-scale")},
		"an edit of an annotation that was a default becomes the user's": {stored: autoscaled(), change: func(w *manifestBuilder) { w.native("max-scale", "7") }, want: kpa("max-scale", "7")},
		"an edit of an annotation that a parameter states is refused": {stored: autoscaled("max-scale", "4"), change: func(w *manifestBuilder) { w.native("max-scale", "7") },
			refused: []string{param("max-scale", "4", "differs from spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: 7; state it once")}},
		"a deleted annotation comes back": {stored: autoscaled("max-scale", "4"), change: func(w *manifestBuilder) {
			w.drop("spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale")
		}, want: kpa("max-scale", "4")},
		"M6 a bound holds for an edit of the template alone": {stored: autoscaled(), at: inCluster().under(house), change: func(w *manifestBuilder) { w.native("max-scale", "30") }, code: 403,
			refused: []string{"spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for up to 30 pods; policy house allows at most 20 (bounds.maxScale.max)"}},
		"a limit where Knative had filled in none": {stored: autoscaled(), change: set("concurrency", "8"), want: kpa("target", "8"),
			pod: `{containerConcurrency: 8, containers: [{image: "ghcr.io/acme/inference:v1"}]}`},
		"a limit where Knative had filled in the cluster's": {stored: autoscaled(), at: inCluster("defaults", "container-concurrency", "7"), change: set("concurrency", "8"),
			want: kpa("target", "8"), pod: `{containerConcurrency: 8, containers: [{image: "ghcr.io/acme/inference:v1"}]}`},
		"a request where Knative had filled in the cluster's": {stored: autoscaled(), change: set("memory", "4Gi", "cpus", "2"), want: kpa(),
			at:  inCluster("defaults", "revision-memory-request", "1Gi", "defaults", "revision-cpu-request", "400m"),
			pod: onePod(`resources: {requests: {cpu: "2", memory: 4Gi}}`)},
		"a request removed again makes way for the cluster's": {stored: autoscaled("memory", "4Gi"), change: remove("memory"), want: kpa(),
			at: inCluster("defaults", "revision-memory-request", "1Gi")},
		"a parameter moved from an annotation to a label": {stored: autoscaled("max-scale", "4"), want: kpa("max-scale", "4"),
			change: func(w *manifestBuilder) { w.without("max-scale").label(key("max-scale"), "4") }},
	})
}

func TestUpdatesOfTheSpec(t *testing.T) {
	five, seven := defaultPolicy("{maxScale: 5, window: 2m}"), defaultPolicy("{maxScale: 7, window: 3m}")
	runLater(t, map[string]later{
		"a new image keeps everything else": {stored: autoscaled("max-scale", "4"), change: setImage, want: kpa("max-scale", "4"), pod: releasedPod},
		"a new image keeps what the same policy had set": {stored: autoscaled(), at: *under(five), then: under(seven), change: setImage,
			want: kpa("max-scale", "5", "window", "2m"), pod: releasedPod},
		"a new image takes a default of another source": {stored: autoscaled(), at: *under(five), then: under(), change: setImage, want: kpa(), pod: releasedPod},
		"a new image takes the default of a new policy": {stored: autoscaled(), then: under(five), change: setImage, want: kpa("max-scale", "5", "window", "2m"), pod: releasedPod},
		"a kept default stays above a bound that came later": {stored: autoscaled(), at: *under(five), change: setImage, pod: releasedPod,
			then: under(five, `{metadata: {name: strict}, spec: {bounds: {maxScale: {max: 3}}}}`), want: kpa("max-scale", "5", "window", "2m")},
		"a replace by the manifest that was created gives the same template": {stored: autoscaled("max-scale", "4", "cpus", "2"), put: true, want: kpa("max-scale", "4"), pod: onePod(`resources: {requests: {cpu: "2"}}`)},
		"H9 also when the policy has other defaults by then": {stored: autoscaled("cpus", "2"), at: *under(five), then: under(seven), put: true,
			want: kpa("max-scale", "5", "window", "2m"), pod: onePod(`resources: {requests: {cpu: "2"}}`)},
		"a record that is no record is passed over": {stored: autoscaled("max-scale", "4"), want: kpa("max-scale", "6"),
			change: func(w *manifestBuilder) { w.params(expand.RecordAnnotation, "}", "max-scale", "6") }},
	})
}

func TestUpdatesOfTheLabel(t *testing.T) {
	for name, change := range map[string]func(*manifestBuilder){
		"removed":         func(w *manifestBuilder) { w.drop("metadata", "labels", "kubetorch.com/autoscale") },
		"set to false":    func(w *manifestBuilder) { w.label("kubetorch.com/autoscale", "false") },
		"gone with a PUT": func(w *manifestBuilder) { w.drop("metadata", "labels"); w.without("kubetorch.com/expansion") },
	} {
		t.Run("a label "+name+" leaves the template and keeps the record, inactive", func(t *testing.T) {
			old := cluster{}.asStored(t, autoscaled().label("team", "vision"))
			now := &manifestBuilder{clone(old)}
			change(now)
			out := cluster{}.update(t, old, now.object)
			assert.Empty(t, out.refused)
			assert.Equal(t, manifest.At(old, "spec"), manifest.At(out.object, "spec"))
			var record, before expand.Record
			require.NoError(t, json.Unmarshal([]byte(manifest.Text(out.object, "metadata", "annotations", expand.RecordAnnotation)), &record))
			require.NoError(t, json.Unmarshal([]byte(manifest.Text(old, "metadata", "annotations", expand.RecordAnnotation)), &before))
			for name, entry := range before {
				entry.State = expand.Inactive
				before[name] = entry
			}
			assert.Equal(t, before, record)
			again := cluster{}.update(t, out.object, (&manifestBuilder{clone(out.object)}).label("kubetorch.com/autoscale", "true").object)
			assert.Empty(t, again.refused)
			assert.Equal(t, manifest.At(old, "spec"), manifest.At(again.object, "spec"), "the label again gives the same")
			assert.Equal(t, manifest.Text(old, "metadata", "annotations", expand.RecordAnnotation), manifest.Text(again.object, "metadata", "annotations", expand.RecordAnnotation))
			more := cluster{}.update(t, out.object, (&manifestBuilder{clone(out.object)}).label("kubetorch.com/autoscale", "true").params("max-scale", "20").object)
			assert.Empty(t, more.refused)
			assert.Equal(t, "20", manifest.Text(more.object, "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale"), "and takes new parameters")
			edited := (&manifestBuilder{clone(out.object)}).label("kubetorch.com/autoscale", "true").params("max-scale", "20")
			manifest.Map(edited.object, "spec", "template", "metadata", "annotations")["autoscaling.knative.dev/max-scale"] = "7"
			assert.NotEmpty(t, cluster{}.update(t, out.object, edited.object).refused, "what the user changed meanwhile is the user's")
		})
	}
	runLater(t, map[string]later{
		"the label added expands": {stored: plain(), change: func(w *manifestBuilder) { w.label("kubetorch.com/autoscale", "true") }, want: kpa()},
		"M18 a bound holds without the label": {stored: autoscaled(), at: inCluster().under(house), code: 403,
			change: func(w *manifestBuilder) {
				w.drop("metadata", "labels", "kubetorch.com/autoscale").native("max-scale", "30")
			},
			refused: []string{"spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for up to 30 pods; policy house allows at most 20 (bounds.maxScale.max)"}},
		"from autoscale to compute keeps the autoscaler's annotations": {stored: autoscaled("max-scale", "4", "cpus", "2"), want: kpa("max-scale", "4"), pod: onePod(`resources: {requests: {cpu: "3"}}`),
			change: func(w *manifestBuilder) {
				w.drop("metadata", "labels", "kubetorch.com/autoscale").label("kubetorch.com/compute", "true").params("cpus", "3").without("max-scale")
			}},
	})
}
