package expand_test

import (
	"testing"

	"github.com/kubetorch/webhook/pkg/knative"
)

const (
	kpaTakes = " needs autoscaler-class hpa; kpa takes concurrency or rps"
	hpaTakes = " needs autoscaler-class kpa; hpa takes cpu, memory or the name of a custom pod metric"
	noServer = "no autoscaler serves this class; allowed: kpa.autoscaling.knative.dev, hpa.autoscaling.knative.dev"
)

func TestCasesMetric(t *testing.T) {
	hpaCluster := inCluster("autoscaler", "pod-autoscaler-class", "hpa.autoscaling.knative.dev")
	const cpuOnly = `{containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {cpu: "2"}}}]}`
	const memoryOnly = `{containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {memory: 4Gi}}}]}`
	runRows(t, map[string]row{
		"E2 kpa does not scale on cpu": {in: autoscaled("autoscaler-class", "kpa", "metric", "cpu"),
			refused: []string{param("metric", "cpu", "metric cpu"+kpaTakes)}},
		"E2 kpa is the class where none is named": {in: autoscaled("metric", "cpu"), refused: []string{param("metric", "cpu", "metric cpu"+kpaTakes)}},
		"E2 nor does it scale on memory":          {in: autoscaled("metric", "memory"), refused: []string{param("metric", "memory", "metric memory"+kpaTakes)}},
		"E2 nor on a metric of one's own": {in: autoscaled().native("metric", "queue_depth"),
			refused: []string{nativeCause("metric", "queue_depth", "metric queue_depth"+kpaTakes)}},
		"hpa does not scale on concurrency": {in: onHPA("metric", "concurrency"), refused: []string{param("metric", "concurrency", "metric concurrency"+hpaTakes)}},
		"hpa does not scale on requests":    {in: onHPA("metric", "rps"), refused: []string{param("metric", "rps", "metric rps"+hpaTakes)}},
		"E4 the cluster's default class is written out": {in: autoscaled("metric", "cpu", "cpus", "2"), at: hpaCluster,
			want: hpa(), pod: cpuOnly},
		"E4 a cluster's default class that does not fit is passed over": {in: autoscaled("metric", "rps"), at: hpaCluster,
			want: kpa("metric", "rps", "target", "200")},
		"E4 a cluster's default class never refuses what it cannot serve": {in: autoscaled("min-scale", "0"), at: hpaCluster, want: kpa()},
		"E6 hpa scales on the percentage of the cpu request":              {in: onHPA("metric", "cpu", "target", "80"), want: hpa(), pod: hpaResources},
		"E6 hpa on cpu needs a cpu request": {in: autoscaled("autoscaler-class", "hpa", "metric", "cpu", "target", "80"),
			refused: []string{param("metric", "cpu", "every container needs a cpu request, which the percentage is of; set compute.kubetorch.com/cpus")}},
		"E6 also where cpu is the default": {in: autoscaled("autoscaler-class", "hpa"),
			refused: []string{`spec.template.spec.containers: Invalid value: "cpu": hpa scales on cpu, and every container needs a cpu request, which the percentage is of; set compute.kubetorch.com/cpus`}},
		"E6 the cluster's default request will do": {in: autoscaled("autoscaler-class", "hpa"), at: inCluster("defaults", "revision-cpu-request", "400m"), want: hpa()},
		"E8 hpa on memory without a target aims at 70 percent, written in Mi": {in: autoscaled("autoscaler-class", "hpa", "metric", "memory", "memory", "4Gi"),
			want: hpa("metric", "memory", "target", "2867"), pod: memoryOnly},
		"E10 hpa on memory needs a memory request": {in: autoscaled("autoscaler-class", "hpa", "metric", "memory", "target", "70"),
			refused: []string{param("metric", "memory", "the pod needs a memory request, which the percentage is of; set compute.kubetorch.com/memory")}},
		"E12 a fraction of a Mi on the template, which Knative would drop, is refused": {in: onHPA("metric", "memory").native("target", "2867.9"),
			refused: []string{nativeCause("target", "2867.9", "invalid value: 2867.9; allowed with hpa: a whole number of Mi of at least 1")}},
		"E12 a whole number of Mi on the template is kept": {in: onHPA("metric", "memory").native("target", "2048"),
			want: hpa("metric", "memory", "target", "2048"), pod: hpaResources},
		"E14 hpa takes a metric of one's own": {in: autoscaled("autoscaler-class", "hpa", "metric", "DCGM_FI_DEV_GPU_UTIL", "target", "80"),
			want: hpa("metric", "DCGM_FI_DEV_GPU_UTIL")},
		"E14 which needs a target": {in: autoscaled("autoscaler-class", "hpa", "metric", "DCGM_FI_DEV_GPU_UTIL"),
			refused: []string{nativeCause("target", "", "the custom metric DCGM_FI_DEV_GPU_UTIL needs a target; set autoscale.kubetorch.com/target")}},
		"E14 a whole one": {in: autoscaled("autoscaler-class", "hpa", "metric", "queue_depth", "target", "0.5"),
			refused: []string{param("target", "0.5", "invalid value: 0.5; allowed with hpa: a whole number of at least 1")}},
		"E16 an empty metric is refused": {in: onHPA("metric", ""),
			refused: []string{param("metric", "", "may not be empty; allowed: concurrency or rps for kpa; cpu, memory or the name of a custom pod metric for hpa")}},
		"E18 a fraction of a percent is refused with hpa": {in: onHPA("target", "0.5"),
			refused: []string{param("target", "0.5", "invalid value: 0.5; allowed with hpa: a whole percentage of at least 1")}},
		"E20 hpa does not scale to zero": {in: onHPA("min-scale", "0"),
			refused: []string{param("min-scale", "0", "hpa does not scale to zero; allowed: 1 to 2147483647")}},
		"E22 hpa with GPUs is taken with a warning": {in: onHPA("gpus", "1"), at: inCluster("features", "kubernetes.podspec-tolerations", "enabled"), want: hpa(),
			pod: `{containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {cpu: "2", memory: 4Gi, nvidia.com/gpu: "1"}, limits: {nvidia.com/gpu: "1"}}}],
				tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}, {key: dedicated, operator: Equal, value: gpu, effect: NoSchedule}]}`,
			warnings: []string{"with autoscaler-class hpa every superseded revision keeps at least one pod, and its GPUs, until it is deleted"}},
		"E28 hpa is refused where nothing serves it": {in: onHPA(), at: cluster{knative: knative.Default().WithHPA(false)},
			refused: []string{param("autoscaler-class", "hpa", "the cluster does not run Knative's autoscaler-hpa, so nothing would serve this class; allowed: kpa")}},
		"a default target utilization has no part in hpa": {in: onHPA("target-utilization", "70"),
			refused: []string{param("target-utilization", "70", "target-utilization has no effect with autoscaler-class hpa; leave it out")}},
	})
}

func TestCasesClass(t *testing.T) {
	rows := map[string]row{
		"the full name of a class is taken": {in: onHPA("autoscaler-class", "hpa.autoscaling.knative.dev"), want: hpa(), pod: hpaResources},
		"also on the template":              {in: onHPA().without("autoscaler-class").native("class", "hpa.autoscaling.knative.dev"), want: hpa(), pod: hpaResources},
		"the short name on the template, which Knative takes and nothing serves, is refused": {in: autoscaled().native("class", "kpa"),
			refused: []string{nativeCause("class", "kpa", noServer)}},
		"short and full name mean the same": {in: autoscaled("autoscaler-class", "kpa").native("class", "kpa.autoscaling.knative.dev"), want: kpa()},
		"two classes are refused": {in: autoscaled("autoscaler-class", "kpa").native("class", "hpa.autoscaling.knative.dev"),
			refused: []string{param("autoscaler-class", "kpa", "differs from spec.template.metadata.annotations[autoscaling.knative.dev/class]: hpa.autoscaling.knative.dev; state it once")}},
		"a class that is refused does not make the metric one too": {in: onHPA("autoscaler-class", "HPA", "metric", "memory"),
			refused: []string{param("autoscaler-class", "HPA", "invalid value: HPA; allowed: kpa, hpa, kpa.autoscaling.knative.dev, hpa.autoscaling.knative.dev")}},
	}
	for _, class := range []string{"keda.autoscaling.knative.dev", "KPA.autoscaling.knative.dev", "", "kpa.autoscaling.knative.dev ", "keda.sh"} {
		rows["E24 E26 a class that nothing serves is refused/"+class+"."] = row{in: autoscaled().native("class", class), refused: []string{nativeCause("class", class, noServer)}}
	}
	for name, w := range map[string]*manifestBuilder{"with the class on the template": autoscaled().native("class", "kpa.autoscaling.knative.dev"), "without": autoscaled()} {
		rows["E30 an unknown algorithm is refused in Knative's words/"+name] = row{in: w.native("metric-aggregation-algorithm", "foo"),
			refused: []string{"spec.template.metadata.annotations[autoscaling.knative.dev/metric-aggregation-algorithm]: Invalid value: invalid value: foo"}}
	}
	runRows(t, rows)
}

func TestCasesSpellings(t *testing.T) {
	runRows(t, map[string]row{
		"F2 two spellings that differ are refused": {in: autoscaled().native("scale-down-delay", "1m", "scaleDownDelay", "90m"),
			refused: []string{nativeCause("scaleDownDelay", "90m", "differs from spec.template.metadata.annotations[autoscaling.knative.dev/scale-down-delay]: 1m, which is the one that Knative reads; state it once")}},
		"two spellings that say the same are kept": {in: autoscaled().native("scale-down-delay", "60s", "scaleDownDelay", "1m"),
			want: kpa("scale-down-delay", "60s", "scaleDownDelay", "1m")},
		"F4 a bad value in the spelling that Knative reads is refused": {in: autoscaled().native("max-scale", "abc", "maxScale", "2"),
			refused: []string{nativeCause("max-scale", "abc", "invalid value: abc"+scaleAllowed),
				nativeCause("maxScale", "2", "differs from spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: abc, which is the one that Knative reads; state it once")}},
		"F6 the other spelling is judged alike": {in: autoscaled().native("initialScale", "0"),
			refused: []string{nativeCause("initialScale", "0", "initial-scale=0 not allowed by cluster (allow-zero-initial-scale of config-autoscaler)")}},
		"F8 an autoscaler's key as a label of the template is refused": {in: autoscaled().with("{autoscaling.knative.dev/minScale: '2'}", "spec", "template", "metadata", "labels"),
			refused: []string{`spec.template.metadata.labels[autoscaling.knative.dev/minScale]: Invalid value: "2": Knative reads this as an annotation only; put it under spec.template.metadata.annotations`}},
		"the camelCase spelling stays, and the canonical key is not added": {in: autoscaled().native("minScale", "2", "maxScale", "4"),
			want: minus(kpa("minScale", "2", "maxScale", "4", "initial-scale", "2"), "min-scale", "max-scale")},
		"a parameter may say the same as the camelCase spelling": {in: autoscaled("max-scale", "4").native("maxScale", "4"),
			want: minus(kpa("maxScale", "4"), "max-scale")},
		"a parameter may not contradict it": {in: autoscaled("max-scale", "5").native("maxScale", "4"),
			refused: []string{param("max-scale", "5", "differs from spec.template.metadata.annotations[autoscaling.knative.dev/maxScale]: 4; state it once")}},
		"a parameter may say the same in other units": {in: autoscaled("window", "60s").native("window", "1m"), want: kpa("window", "1m")},
		"an autoscaler's key that Knative ignores is refused": {in: autoscaled().native("min_replicas", "1"),
			refused: []string{nativeCause("min_replicas", "1", "Knative does not know this key and would ignore it; the nearest known one is autoscaling.knative.dev/min-scale")}},
		"an unknown parameter is refused": {in: autoscaled("autoscale.kubetorch.com/max_scale", "3", "autoscale.kubetorch.com/minScale", "1", "compute.kubetorch.com/gpu", "1"),
			refused: []string{
				`metadata.annotations[autoscale.kubetorch.com/max_scale]: Invalid value: "3": unknown key; the nearest known one is autoscale.kubetorch.com/max-scale`,
				`metadata.annotations[autoscale.kubetorch.com/minScale]: Invalid value: "1": unknown key; the nearest known one is autoscale.kubetorch.com/min-scale`,
				`metadata.annotations[compute.kubetorch.com/gpu]: Invalid value: "1": unknown key; the nearest known one is compute.kubetorch.com/gpus`}},
		"a parameter as a label and an annotation alike is fine": {in: autoscaled("window", "60s").label("autoscale.kubetorch.com/window", "1m"), want: kpa("window", "1m")},
		"a parameter as a label and an annotation that differ is refused": {in: autoscaled("window", "90s").label("autoscale.kubetorch.com/window", "1m"),
			refused: []string{param("window", "90s", "differs from metadata.labels[autoscale.kubetorch.com/window]: 1m; state it once")}},
	})
}
