package differential

import (
	"encoding/json"
	"math/rand/v2"

	knconfig "knative.dev/serving/pkg/apis/config"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// object is decoded JSON as the generator builds it.
type object = map[string]any

// mood is how careful the imagined author of an object is.
type mood int

const (
	careful  mood = iota // everything holds together
	careless             // one or two values are odd
	wild                 // anything anywhere
)

// generator makes one random labelled Knative Service.
type generator struct {
	*rand.Rand
	mood    mood
	cluster *cluster
	service object
	labels  object
	notes   object // annotations of the object itself
	natives object // annotations of the template
	shm     bool   // a volume takes the name of the one for shared memory
}

func (g *generator) chance(p float64) bool { return g.Float64() < p }

// slip is chance for authors that are not careful.
func (g *generator) slip(p float64) bool { return g.mood != careful && g.chance(p) }

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

// generate makes the object with the given number, the same in every run of a seed.
func generate(r *rand.Rand, c *cluster) []byte {
	g := &generator{Rand: r, cluster: c, labels: object{}, notes: object{}, natives: object{}}
	switch n := g.IntN(10); {
	case n < 5:
		g.mood = careful
	case n < 9:
		g.mood = careless
	default:
		g.mood = wild
	}
	g.optIn()
	g.parameters()
	template := object{"metadata": object{"annotations": g.natives}, "spec": g.pod()}
	g.annotations()
	g.templateMetadata(template["metadata"].(object))
	metadata := object{"name": "svc", "namespace": "team", "labels": g.labels, "annotations": g.notes}
	if g.slip(0.03) {
		metadata["name"] = pick(g, "1svc", "My", "a.b", "a_b", "a-", "sixty-four-characters-are-one-more-than-a-dns-label-may-ever-have-")
	}
	if g.chance(0.02) {
		delete(metadata, "name")
		metadata["generateName"] = "svc-"
	}
	spec := object{"template": template}
	g.traffic(spec)
	g.service = object{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": metadata, "spec": spec}
	g.strange()
	raw, err := json.Marshal(g.service)
	if err != nil {
		panic(err)
	}
	return raw
}

func (g *generator) optIn() {
	g.labels[parameter.AutoscaleLabel] = "true"
	switch {
	case g.slip(0.02):
		g.labels[parameter.AutoscaleLabel] = pick(g, "", "unknown-profile", "True")
	case g.chance(0.05):
		g.labels[parameter.AutoscaleLabel] = "batch"
	case g.chance(0.02):
		g.labels[parameter.AutoscaleLabel] = "false"
	case g.chance(0.02):
		delete(g.labels, parameter.AutoscaleLabel)
	}
	if g.chance(0.1) {
		g.labels[parameter.ComputeLabel] = pick(g, "true", "true", "l4")
	}
}

// parameters states some parameters as labels, annotations or natively.
func (g *generator) parameters() {
	values := g.plan()
	changes := 0
	switch g.mood {
	case careless:
		changes = 1 + g.IntN(2)
	case wild:
		changes = 6
	}
	for range changes {
		p := pick(g, parameter.Table...)
		values[p] = pick(g, append(pools[p].good, pools[p].odd...)...)
	}
	if g.slip(0.04) {
		g.trap(values)
	}
	for _, p := range parameter.Table {
		if text, ok := values[p]; ok {
			g.state(p, text)
		}
	}
	if g.slip(0.02) {
		g.notes[pick(g, "autoscale.kubetorch.com/max_scale", "compute.kubetorch.com/gpu", "autoscale.kubetorch.com/")] = "1"
	}
}

// trap adds one of the combinations that Knative takes and that chance rarely makes.
func (g *generator) trap(v map[*parameter.Parameter]string) {
	switch g.IntN(10) {
	case 0:
		v[parameter.SharedMemoryLimit] = "1Gi"
		g.shm = true
	case 1:
		delete(v, parameter.AutoscalerClass)
		g.natives["autoscaling.knative.dev/metric-aggregation-algorithm"] = "foo"
	case 2:
		g.natives["queue.sidecar.serving.knative.dev/memory-resource-limit"] = "-1"
	case 3:
		v[parameter.AutoscalerClass], v[parameter.Metric], v[parameter.Target] = "hpa", "memory", "70"
		delete(v, parameter.Memory)
	case 4:
		v[parameter.MaxScale], v[parameter.InitialScale] = "2", "6"
		delete(v, parameter.MinScale)
	case 5, 8, 9:
		v[parameter.MaxScale], v[parameter.MinScale] = "9", "4"
	case 6:
		g.natives["autoscaling.knative.dev/target-burst-capacity"] = "NaN"
	case 7:
		g.natives["autoscaling.knative.dev/activation-scale"] = "50"
		delete(v, parameter.MaxScale)
	}
}

// plan is a set of values that go together.
func (g *generator) plan() map[*parameter.Parameter]string {
	v := map[*parameter.Parameter]string{}
	some := func(chance float64, parameters ...*parameter.Parameter) {
		for _, p := range parameters {
			if g.chance(chance) {
				v[p] = pick(g, pools[p].good...)
			}
		}
	}
	class := ""
	if g.chance(0.6) {
		class = pick(g, "kpa", parameter.KPA, "hpa", parameter.HPA)
		v[parameter.AutoscalerClass] = class
	}
	some(0.25, parameter.MaxScale, parameter.Window, parameter.ProgressDeadline)
	if _, ok := v[parameter.MaxScale]; ok {
		some(0.5, parameter.MinScale, parameter.InitialScale)
	}
	some(0.25, parameter.CPUs, parameter.Memory, parameter.Concurrency)
	some(0.08, parameter.DiskSize, parameter.SharedMemoryLimit, parameter.QueueName, parameter.ServiceAccountName, parameter.InactivityTTL, parameter.LaunchTimeout, parameter.GPUMemory)
	if g.mood != careful || g.cluster.features.PodSpecNodeSelector != knconfig.Disabled {
		some(0.15, parameter.GPUType)
	}
	if g.mood != careful || g.cluster.features.PodSpecPriorityClassName != knconfig.Disabled {
		some(0.1, parameter.PriorityClassName)
	}
	some(0.3, parameter.GPUs)
	if class == "hpa" || class == parameter.HPA {
		switch g.IntN(4) {
		case 0:
			v[parameter.Metric], v[parameter.CPUs] = "cpu", "500m"
		case 1:
			v[parameter.Metric], v[parameter.Memory] = "memory", pick(g, "150Mi", "100M", "1500M", "16Gi")
		case 2:
			v[parameter.Metric], v[parameter.Target] = pick(g, "queue_depth", "DCGM_FI_DEV_GPU_UTIL"), "7"
		default:
			v[parameter.CPUs] = "1"
		}
		if g.chance(0.5) {
			v[parameter.Target] = pick(g, "80", "70", "1", "99", "250", "33")
		}
		if v[parameter.MinScale] == "0" {
			v[parameter.MinScale] = "1"
		}
		return v
	}
	some(0.3, parameter.Target, parameter.Utilization, parameter.ScaleDownDelay, parameter.Retention)
	if class != "" || g.chance(0.3) {
		some(0.5, parameter.Metric)
	}
	return v
}

// state writes a value where an author might: as a label or annotation of the object, as
// Knative's own annotation in one of its spellings, or twice.
func (g *generator) state(p *parameter.Parameter, text string) {
	if keys := nativeKeys[p]; keys != nil && g.chance(0.3) {
		key := pick(g, keys...)
		native := text
		if class, err := parameter.ParseClass(text); p == parameter.AutoscalerClass && err == nil && !g.slip(0.1) {
			native = class
		}
		g.natives[key] = native
		if g.slip(0.05) {
			g.natives[pick(g, keys...)] = pick(g, append(pools[p].good, pools[p].odd...)...)
		}
		if !g.slip(0.2) {
			return
		}
	}
	if g.slip(0.1) {
		text = pick(g, append(pools[p].good, text)...)
	}
	if labelValue(text) && g.chance(0.5) || g.slip(0.02) {
		g.labels[p.Key()] = text
		if g.chance(0.05) {
			g.notes[p.Key()] = text
		}
		if g.slip(0.05) {
			g.notes[p.Key()] = pick(g, append(pools[p].good, pools[p].odd...)...)
		}
		return
	}
	g.notes[p.Key()] = text
}

// annotations adds keys of the template that no parameter lands in.
func (g *generator) annotations() {
	for _, a := range otherAnnotations {
		switch {
		case a.good != nil && g.chance(0.02):
			g.natives[a.key] = pick(g, a.good...)
		case g.slip(0.01):
			g.natives[a.key] = pick(g, append(a.good, a.odd...)...)
		}
	}
	if g.chance(0.1) {
		g.notes["team.example.com/owner"] = "somebody"
	}
	if g.slip(0.02) {
		g.notes[pick(g, knative.MaxScaleKey, knative.ProgressDeadlineKey, "serving.knative.dev/rollout-duration")] = pick(g, "3", "10m")
	}
}

func (g *generator) templateMetadata(metadata object) {
	if g.chance(0.2) {
		metadata["labels"] = object{"app": "model"}
	}
	if g.slip(0.02) {
		metadata["labels"] = object{pick(g, "app", "autoscaling.knative.dev/minScale", "kueue.x-k8s.io/queue-name"): pick(g, "has space!", "2", "team-b")}
	}
	if g.chance(0.05) {
		metadata["name"] = "svc-v1"
	}
	if g.slip(0.01) {
		metadata["name"] = pick(g, "v1", "svc", "other-v1", "svc-V1")
	}
	if g.chance(0.1) && len(g.natives) == 0 {
		delete(metadata, "annotations")
	}
}

func (g *generator) traffic(spec object) {
	switch {
	case g.chance(0.05):
		spec["traffic"] = []any{object{"latestRevision": true, "percent": 100}, object{"revisionName": "svc-00001", "tag": "old", "percent": 0}}
	case g.slip(0.02):
		spec["traffic"] = pick[any](g, []any{object{"latestRevision": true, "percent": 90}}, []any{object{"tag": "A!"}}, []any{})
	}
}

// strange leaves fields in the object that nobody knows, and values of odd types.
func (g *generator) strange() {
	if g.chance(0.2) {
		g.service["x-unknown"] = object{"number": json.Number("1234567890123456789012345678901234567890.50"), "list": []any{nil, object{}, []any{}}, "<html>&": "\u2028"}
		g.service["spec"].(object)["template"].(object)["spec"].(object)["x-more"] = json.Number("1.0")
	}
	if g.slip(0.02) {
		g.notes["compute.kubetorch.com/cpus"] = pick[any](g, 2, true, nil, object{}, []any{"1"})
	}
	if g.slip(0.01) {
		metadata := g.service["metadata"].(object)
		metadata[pick(g, "labels", "annotations")] = pick[any](g, nil, []any{}, "text", object{parameter.AutoscaleLabel: "true"})
	}
	if g.slip(0.01) {
		template := g.service["spec"].(object)["template"].(object)
		template[pick(g, "metadata", "spec")] = pick[any](g, nil, []any{}, "text", object{})
	}
}
