package expand_test

import "testing"

// clamping is a policy that lowers whatever can be lowered.
const clamping = `
metadata: {name: clamp}
spec:
  enforcement: Clamp
  bounds:
    maxScale: {max: 5}
    minScale: {max: 2}
    gpusPerPod: {max: 2}
    cpusPerPod: {max: "4"}
    memoryPerPod: {max: 8Gi}
    scaleToZeroPodRetentionPeriod: {max: 5m}
    scaleDownDelay: {max: 90s}
    progressDeadline: {max: 15m}
`

// lowered is the warning about a value that the policy clamp lowers.
func lowered(name, from, to, bound string) string {
	return name + " " + from + " lowered to " + to + " by policy clamp (bounds." + bound + ".max)"
}

// loweredDefault is the warning about a default that a policy lowers.
func loweredDefault(name, from, source, to, by string) string {
	return name + " " + from + " (" + source + ") lowered to " + to + " by " + by
}

// clampedPeak is the one about the built-in max-scale under the policy clamp.
var clampedPeak = loweredDefault("max-scale", "10", "built-in", "5", "policy clamp (bounds.maxScale.max)")

func TestDefaults(t *testing.T) {
	low := `{metadata: {name: a-low}, spec: {priority: 1, defaults: {autoscale: {maxScale: 3, window: 30s, metric: rps, target: 20}, compute: {cpus: 1}}}}`
	high := `{metadata: {name: z-high}, spec: {priority: 2, defaults: {autoscale: {maxScale: 4}},
		profiles: {autoscale: [{name: batch, minScale: 1, metric: rps, target: "50", scaleToZeroPodRetentionPeriod: 2m}], compute: [{name: l4, gpus: 1, gpuType: NVIDIA-L4, cpus: "4", memory: 16Gi}]}}}`
	batch := func(parameters ...string) *manifestBuilder {
		return plain().label("kubetorch.com/autoscale", "batch").params(parameters...)
	}
	withPolicies := inCluster("autoscaler", "max-scale", "6", "autoscaler", "scale-down-delay", "15s",
		"features", "kubernetes.podspec-nodeselector", "enabled", "features", "kubernetes.podspec-tolerations", "enabled").under(low, high)
	oneCPU, l4 := onePod(`resources: {requests: {cpu: "1"}}`), `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, tolerations: `+gpuTolerations+`, containers: [{image: "ghcr.io/acme/inference:v1",
		resources: {requests: {cpu: "4", memory: 16Gi, nvidia.com/gpu: "1"}, limits: {nvidia.com/gpu: "1"}}}]}`
	runRows(t, map[string]row{
		"policies by priority, then the cluster, then built in": {in: autoscaled(), at: withPolicies, pod: oneCPU,
			want: kpa("max-scale", "4", "window", "30s", "metric", "rps", "target", "20", "scale-down-delay", "15s")},
		"a profile comes before every policy's defaults": {in: batch(), at: withPolicies, pod: oneCPU,
			want: kpa("max-scale", "4", "window", "30s", "metric", "rps", "target", "50", "scale-down-delay", "15s", "min-scale", "1", "scale-to-zero-pod-retention-period", "2m")},
		"a parameter comes before the profile": {in: batch("min-scale", "2", "target", "5"), at: withPolicies, pod: oneCPU,
			want: kpa("max-scale", "4", "window", "30s", "metric", "rps", "target", "5", "scale-down-delay", "15s", "min-scale", "2", "initial-scale", "2", "scale-to-zero-pod-retention-period", "2m")},
		"the profile's target is for its own metric alone": {in: batch("metric", "concurrency"), at: withPolicies, pod: oneCPU,
			want: kpa("max-scale", "4", "window", "30s", "scale-down-delay", "15s", "min-scale", "1", "scale-to-zero-pod-retention-period", "2m")},
		"a value on the template comes before the profile": {in: batch().native("min-scale", "3"), at: withPolicies, pod: oneCPU,
			want: kpa("max-scale", "4", "window", "30s", "metric", "rps", "target", "50", "scale-down-delay", "15s", "min-scale", "3", "initial-scale", "3", "scale-to-zero-pod-retention-period", "2m")},
		"both labels bring both profiles": {in: batch().label("kubetorch.com/compute", "l4"), at: withPolicies, pod: l4,
			want: kpa("max-scale", "4", "window", "30s", "metric", "rps", "target", "50", "scale-down-delay", "15s", "min-scale", "1", "scale-to-zero-pod-retention-period", "2m")},
		"the compute label alone brings its profile": {in: plain().label("kubetorch.com/compute", "l4"), at: withPolicies, pod: l4},
		"a profile that no policy has is refused": {in: plain().label("kubetorch.com/autoscale", "bath").label("kubetorch.com/compute", "h100"), at: withPolicies,
			refused: []string{`metadata.labels[kubetorch.com/autoscale]: Invalid value: "bath": unknown autoscale profile; there are batch`,
				`metadata.labels[kubetorch.com/compute]: Invalid value: "h100": unknown compute profile; there are l4`}},
		"the cluster's max-scale of 0 counts as absent":     {in: autoscaled(), at: inCluster("autoscaler", "max-scale", "0"), want: kpa()},
		"the cluster's limit lowers the built-in max-scale": {in: autoscaled(), at: inCluster("autoscaler", "max-scale-limit", "6", "autoscaler", "max-scale", "6").under(), want: kpa("max-scale", "6")},
		"the cluster's limit lowers a policy's max-scale": {in: autoscaled(), want: kpa("max-scale", "6"),
			at: inCluster("autoscaler", "max-scale-limit", "6", "autoscaler", "max-scale", "2").under(defaultPolicy("{maxScale: 9}"))},
		"an explicit max-scale lowers a default min- and initial-scale": {in: autoscaled("max-scale", "2"), want: kpa("max-scale", "2", "min-scale", "2", "initial-scale", "2"),
			at: inCluster().under(defaultPolicy("{minScale: 3, initialScale: 4}"))},
		"an initial-scale of 0 by default is passed over where the cluster forbids it": {in: autoscaled(), want: kpa(), at: inCluster().under(defaultPolicy("{initialScale: 0}"))},
		"a default class that does not fit is passed over":                             {in: autoscaled("scale-down-delay", "2m"), want: kpa("scale-down-delay", "2m"), at: inCluster().under(defaultPolicy("{autoscalerClass: hpa}"))},
		"a default class without a cpu request is passed over":                         {in: autoscaled(), want: kpa(), at: inCluster().under(defaultPolicy("{autoscalerClass: hpa}"))},
		"a default metric that the class does not take is passed over":                 {in: onHPA(), want: hpa(), pod: hpaResources, at: inCluster().under(defaultPolicy("{metric: rps, target: 50, minScale: 0}"))},
		"a default class brings its metric and target": {in: autoscaled("cpus", "2", "memory", "4Gi"), want: hpa("metric", "memory", "target", "2048"), pod: hpaResources,
			at: inCluster().under(defaultPolicy("{autoscalerClass: hpa, metric: memory, target: 50}"))},
		"a default concurrency is written and is the target": {in: autoscaled(), want: kpa("target", "6"), pod: `{containerConcurrency: 6, containers: [{image: "ghcr.io/acme/inference:v1"}]}`,
			at: inCluster().under(defaultPolicy("{concurrency: 6}"))},
		"a default concurrency above the cluster's limit is lowered": {in: autoscaled(), want: kpa("target", "4"), pod: `{containerConcurrency: 4, containers: [{image: "ghcr.io/acme/inference:v1"}]}`,
			at: inCluster("defaults", "container-concurrency-max-limit", "4").under(defaultPolicy("{concurrency: 6}"))},
		"defaults are lowered to bounds, whatever their enforcement": {in: autoscaled(), want: kpa("max-scale", "3", "scale-down-delay", "30s", "scale-to-zero-pod-retention-period", "5m", "min-scale", "1"),
			at:       inCluster().under(defaultPolicy("{minScale: 2}"), `{spec: {bounds: {maxScale: {max: 3}, minScale: {max: 1}, scaleDownDelay: {max: 30s, enforcement: Warn}, scaleToZeroPodRetentionPeriod: {max: 5m, enforcement: Audit}}}}`),
			warnings: []string{loweredDefault("max-scale", "10", "built-in", "3", "policy team (bounds.maxScale.max)")}},
		"default resources are lowered to bounds": {in: autoscaled(), want: kpa(), pod: onePod(`resources: {requests: {cpu: "4", memory: 8Gi}}`),
			at:       inCluster().under(`{spec: {defaults: {compute: {cpus: 8, memory: 16Gi}}}}`, `{spec: {bounds: {cpusPerPod: {max: 4}, memoryPerPod: {max: 8Gi}}}}`),
			warnings: []string{loweredDefault("cpus", "8", "policy platform", "4", "policy team (bounds.cpusPerPod.max)"), loweredDefault("memory", "16Gi", "policy platform", "8Gi", "policy team (bounds.memoryPerPod.max)")}},
		"default GPUs are lowered to what is allowed": {in: autoscaled(), want: kpa(), pod: onePod(`resources: {requests: {nvidia.com/gpu: "2"}, limits: {nvidia.com/gpu: "2"}}`),
			at:       inCluster().under(`{spec: {defaults: {compute: {gpus: 3}}, bounds: {gpusPerPod: {max: 8, allowed: [0, 1, 2, 4, 8]}}}}`),
			warnings: []string{noTolerations, loweredDefault("gpus", "3", "policy platform", "2", "policy platform (bounds.gpusPerPod.allowed)")}},
		"default resources above the manifest's limit are lowered to it": {in: autoscaled().pod(onePod(`resources: {limits: {cpu: "2"}, requests: {memory: 1Gi}}`)), want: kpa(),
			at: inCluster().under(`{spec: {defaults: {compute: {cpus: 8, memory: 16Gi}}}}`)},
		"a default that the cluster forbids is left out with a warning": {in: autoscaled().pod(gpuPod("limits", "1")), want: kpa(), at: inCluster().under(`{spec: {defaults: {compute: {gpuType: NVIDIA-L4, priorityClassName: high}}}}`),
			warnings: []string{"gpu-type (policy platform) is left out: the cluster's Knative has kubernetes.podspec-nodeselector disabled" + askAdmin,
				"priority-class-name (policy platform) is left out: the cluster's Knative has kubernetes.podspec-priorityclassname disabled" + askAdmin}},
		"a default deadline shorter than the startup probe is passed over": {in: autoscaled().pod(onePod(`startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 10, failureThreshold: 90}`)), want: kpa("progress-deadline", "1080s"),
			at: inCluster("deployment", "progress-deadline", "11m").under(defaultPolicy("{progressDeadline: 12m}"))},
		"the cluster's deadline is taken":               {in: autoscaled(), want: kpa("progress-deadline", "20m"), at: inCluster("deployment", "progress-deadline", "20m")},
		"a default launch timeout gives one":            {in: autoscaled(), want: kpa("progress-deadline", "1080s"), at: inCluster().under(`{spec: {defaults: {compute: {launchTimeout: 15m}}}}`)},
		"the cluster's delay beyond an hour is lowered": {in: autoscaled(), want: kpa("scale-to-zero-pod-retention-period", "1h"), at: inCluster("autoscaler", "scale-to-zero-pod-retention-period", "2h")},
		"the largest claim that fits is the default max-scale": {in: autoscaled("gpus", "8"), at: gpuCluster().under(house), want: kpa("max-scale", "4"),
			pod:      `{tolerations: ` + gpuTolerations + `, containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/gpu: "8"}, limits: {nvidia.com/gpu: "8"}}}]}`,
			warnings: []string{loweredDefault("max-scale", "10", "built-in", "4", "policy house (bounds.gpusPerWorkload.max)")}},
	})
}

func TestClamps(t *testing.T) {
	at := inCluster().under(clamping)
	runRows(t, map[string]row{
		"a max-scale is lowered": {in: autoscaled("max-scale", "9"), at: at, want: kpa("max-scale", "5", "scale-to-zero-pod-retention-period", "5m"),
			warnings: []string{lowered("max-scale", "9", "5", "maxScale")}},
		"one on the template is": {in: autoscaled().native("max-scale", "9"), at: at, want: kpa("max-scale", "5", "scale-to-zero-pod-retention-period", "5m"),
			warnings: []string{lowered("max-scale", "9", "5", "maxScale")}},
		"one in camelCase is, in its place": {in: autoscaled().native("maxScale", "9"), at: at, want: minus(kpa("maxScale", "5", "scale-to-zero-pod-retention-period", "5m"), "max-scale"),
			warnings: []string{lowered("max-scale", "9", "5", "maxScale")}},
		"a lowered max-scale lowers initial-scale with it": {in: autoscaled("max-scale", "9", "initial-scale", "7"), at: at,
			want:     kpa("max-scale", "5", "initial-scale", "5", "scale-to-zero-pod-retention-period", "5m"),
			warnings: []string{lowered("max-scale", "9", "5", "maxScale"), lowered("initial-scale", "7", "5", "maxScale")}},
		"a min-scale is lowered": {in: autoscaled("min-scale", "4"), at: at, want: kpa("max-scale", "5", "min-scale", "2", "initial-scale", "2", "scale-to-zero-pod-retention-period", "5m"),
			warnings: []string{clampedPeak, lowered("min-scale", "4", "2", "minScale")}},
		"a min-scale above the lowered max-scale is refused": {in: autoscaled("min-scale", "7", "max-scale", "9"), at: inCluster().under(`{metadata: {name: clamp}, spec: {bounds: {maxScale: {max: 5, enforcement: Clamp}}}}`), code: 403,
			refused:  []string{"metadata.annotations[autoscale.kubetorch.com/min-scale]: Forbidden: min-scale 7 is above max-scale 5, to which policy clamp (bounds.maxScale.max) lowers it"},
			warnings: []string{lowered("max-scale", "9", "5", "maxScale")}},
		"durations are lowered": {in: autoscaled("scale-down-delay", "5m", "scale-to-zero-pod-retention-period", "20m", "progress-deadline", "1h"), at: at,
			want: kpa("max-scale", "5", "scale-down-delay", "90s", "scale-to-zero-pod-retention-period", "5m", "progress-deadline", "15m"),
			warnings: []string{clampedPeak, lowered("scale-down-delay", "5m", "90s", "scaleDownDelay"), lowered("scale-to-zero-pod-retention-period", "20m", "5m", "scaleToZeroPodRetentionPeriod"),
				lowered("progress-deadline", "1h", "15m", "progressDeadline")}},
		"a deadline that a launch timeout asks for is lowered": {in: autoscaled("launch-timeout", "20m"), at: at,
			want: kpa("max-scale", "5", "scale-to-zero-pod-retention-period", "5m", "progress-deadline", "15m"), warnings: []string{clampedPeak, lowered("progress-deadline", "1440s", "15m", "progressDeadline")}},
		"the resources of one pod are lowered": {in: autoscaled("cpus", "6", "memory", "16Gi", "gpus", "4"), at: gpuCluster().under(clamping),
			want: kpa("max-scale", "5", "scale-to-zero-pod-retention-period", "5m"),
			pod:  `{tolerations: ` + gpuTolerations + `, containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {cpu: "4", memory: 8Gi, nvidia.com/gpu: "2"}, limits: {nvidia.com/gpu: "2"}}}]}`,
			warnings: []string{clampedPeak, "cpu 6 per pod lowered to 4 by policy clamp (bounds.cpusPerPod.max)", "memory 16Gi per pod lowered to 8Gi by policy clamp (bounds.memoryPerPod.max)",
				"nvidia.com/gpu 4 per pod lowered to 2 by policy clamp (bounds.gpusPerPod.max)"}},
		"those on the template are": {in: autoscaled().pod(onePod(`resources: {limits: {cpu: "6", nvidia.com/gpu: "4"}, requests: {cpu: 5500m}}`)), at: at,
			want: kpa("max-scale", "5", "scale-to-zero-pod-retention-period", "5m"), pod: onePod(`resources: {limits: {cpu: "4", nvidia.com/gpu: "2"}, requests: {cpu: "4"}}`),
			warnings: []string{clampedPeak, "cpu 5500m per pod lowered to 4 by policy clamp (bounds.cpusPerPod.max)", "nvidia.com/gpu 4 per pod lowered to 2 by policy clamp (bounds.gpusPerPod.max)"}},
		"hpa's memory target is of the lowered memory": {in: onHPA("metric", "memory", "memory", "16Gi"), at: at,
			want: hpa("metric", "memory", "target", "5734", "max-scale", "5"), pod: onePod(`resources: {requests: {cpu: "2", memory: 8Gi}}`),
			warnings: []string{clampedPeak, "memory 16Gi per pod lowered to 8Gi by policy clamp (bounds.memoryPerPod.max)"}},
		"gpusPerWorkload lowers max-scale to what fits": {in: autoscaled("gpus", "3", "max-scale", "9"), at: gpuCluster().under(`{metadata: {name: clamp}, spec: {bounds: {gpusPerWorkload: {max: 10, enforcement: Clamp}}}}`),
			want: kpa("max-scale", "3"), pod: `{tolerations: ` + gpuTolerations + `, containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/gpu: "3"}, limits: {nvidia.com/gpu: "3"}}}]}`,
			warnings: []string{lowered("max-scale", "9", "3", "gpusPerWorkload")}},
		"gpusPerWorkload goes by the lowered GPUs of one pod": {in: autoscaled("gpus", "4", "max-scale", "5"),
			at:   gpuCluster().under(`{metadata: {name: clamp}, spec: {enforcement: Clamp, bounds: {gpusPerPod: {max: 2}, gpusPerWorkload: {max: 10}}}}`),
			want: kpa("max-scale", "5"), pod: `{tolerations: ` + gpuTolerations + `, containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/gpu: "2"}, limits: {nvidia.com/gpu: "2"}}}]}`,
			warnings: []string{"nvidia.com/gpu 4 per pod lowered to 2 by policy clamp (bounds.gpusPerPod.max)"}},
		"where not even one pod fits it is refused": {in: autoscaled("gpus", "3", "max-scale", "9"), at: gpuCluster().under(`{metadata: {name: clamp}, spec: {bounds: {gpusPerWorkload: {max: 2, enforcement: Clamp}}}}`), code: 403,
			refused: []string{"spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for 27 GPUs (3 x 9 pods); policy clamp allows at most 2 (bounds.gpusPerWorkload.max)"}},
		"a list of allowed GPUs is never clamped": {in: autoscaled("gpus", "3"), at: gpuCluster().under(`{metadata: {name: clamp}, spec: {enforcement: Clamp, bounds: {gpusPerPod: {allowed: [1, 2]}}}}`), code: 403,
			refused: []string{"spec.template.spec.containers: Forbidden: asks for 3 GPUs per pod; policy clamp allows only 1, 2 (bounds.gpusPerPod.allowed)"}},
		"a Service without our labels is clamped too": {in: plain().native("max-scale", "9", "initial-scale", "8", "min-scale", "3", "scale-down-delay", "5m"), at: at,
			want:     annotations(map[string]string{"max-scale": "5", "initial-scale": "5", "min-scale": "2", "scale-down-delay": "90s"}, nil),
			warnings: []string{"max-scale (9) lowered to 5 by policy clamp (bounds.maxScale.max)", "initial-scale (8) lowered to 5 by policy clamp (bounds.maxScale.max)", "min-scale (3) lowered to 2 by policy clamp (bounds.minScale.max)", "scale-down-delay (5m) lowered to 90s by policy clamp (bounds.scaleDownDelay.max)"}},
		"an absent max-scale becomes the bound": {in: plain(), at: at, want: annotations(map[string]string{"max-scale": "5"}, nil),
			warnings: []string{"max-scale (absent) lowered to 5 by policy clamp (bounds.maxScale.max)"}},
		"so does one of 0": {in: plain().native("maxScale", "0"), at: at, want: annotations(map[string]string{"maxScale": "5"}, nil),
			warnings: []string{"max-scale (0) lowered to 5 by policy clamp (bounds.maxScale.max)"}},
		"a max-scale of 0 is refused on a labelled Service all the same": {in: autoscaled("max-scale", "0"), at: at,
			refused: []string{param("max-scale", "0", "max-scale=0 is unlimited in Knative; allowed: 1 to 2147483647")}},
		"its pods are clamped too": {in: plain().native("max-scale", "1").pod(gpuPod("limits", "4")), at: at, want: annotations(map[string]string{"max-scale": "1"}, nil), pod: gpuPod("limits", "2"),
			warnings: []string{"nvidia.com/gpu 4 per pod lowered to 2 by policy clamp (bounds.gpusPerPod.max)"}},
	})
}

func TestClampsOnUpdate(t *testing.T) {
	at := *under(`{metadata: {name: clamp}, spec: {bounds: {maxScale: {max: 5, enforcement: Clamp}, cpusPerPod: {max: 4, enforcement: Clamp}}}}`)
	looser := under(`{metadata: {name: clamp}, spec: {bounds: {maxScale: {max: 8, enforcement: Clamp}, cpusPerPod: {max: 6, enforcement: Clamp}}}}`)
	warnings := []string{lowered("max-scale", "9", "5", "maxScale")}
	release := func(pairs ...string) func(*manifestBuilder) {
		return func(w *manifestBuilder) { setImage(w); w.params(pairs...) }
	}
	runLater(t, map[string]later{
		"a lowered parameter stays where it is":               {stored: autoscaled("max-scale", "9"), at: at, unchanged: true},
		"with a new image it does, with the warning":          {stored: autoscaled("max-scale", "9"), at: at, change: release(), want: kpa("max-scale", "5"), pod: releasedPod, warnings: warnings},
		"it does not grow with the bound":                     {stored: autoscaled("max-scale", "9"), at: at, then: looser, change: release(), want: kpa("max-scale", "5"), pod: releasedPod, warnings: warnings},
		"a changed parameter is lowered anew":                 {stored: autoscaled("max-scale", "9"), at: at, then: looser, change: release("max-scale", "10"), want: kpa("max-scale", "8"), pod: releasedPod, warnings: []string{lowered("max-scale", "10", "8", "maxScale")}},
		"a parameter within the bound is taken":               {stored: autoscaled("max-scale", "9"), at: at, change: release("max-scale", "3"), want: kpa("max-scale", "3"), pod: releasedPod},
		"a lowered annotation applied again is lowered again": {stored: autoscaled().native("max-scale", "9"), at: at, change: func(w *manifestBuilder) { w.native("max-scale", "9") }, want: kpa("max-scale", "5"), warnings: warnings},
		"it stays lowered after the bound grew":               {stored: autoscaled().native("max-scale", "9"), at: at, then: looser, change: func(w *manifestBuilder) { w.native("max-scale", "9") }, want: kpa("max-scale", "5"), warnings: warnings},
		"a replace by the original manifest is lowered again": {stored: autoscaled().native("max-scale", "9"), at: at, put: true, want: kpa("max-scale", "5"), warnings: warnings},
		"a lowered cpu stays where it is with a new image":    {stored: autoscaled("cpus", "9"), at: at, then: looser, change: release(), want: kpa("max-scale", "5"), pod: `{containers: [{image: "ghcr.io/acme/inference:v2", resources: {requests: {cpu: "4"}}}]}`, warnings: []string{clampedPeak}},
		"a lowered request on the template applied again stays": {stored: autoscaled().pod(onePod(`resources: {requests: {cpu: "9"}}`)), at: at, want: kpa("max-scale", "5"), pod: onePod(`resources: {requests: {cpu: "4"}}`),
			change: func(w *manifestBuilder) {
				w.with(`[{image: "ghcr.io/acme/inference:v1", resources: {requests: {cpu: "9"}}}]`, "spec", "template", "spec", "containers")
			},
			warnings: []string{clampedPeak, "cpu 9 per pod lowered to 4 by policy clamp (bounds.cpusPerPod.max)"}},
		"what was there before the bound stays with a new image": {stored: autoscaled("max-scale", "9"), then: &at, change: release(), want: kpa("max-scale", "9"), pod: releasedPod},
		"it may come down a little":                              {stored: autoscaled("max-scale", "9"), then: &at, change: release("max-scale", "7"), want: kpa("max-scale", "7"), pod: releasedPod},
		"it may not grow":                                        {stored: autoscaled("max-scale", "9"), then: &at, change: release("max-scale", "11"), want: kpa("max-scale", "5"), pod: releasedPod, warnings: []string{lowered("max-scale", "11", "5", "maxScale")}},
		"a default stays lowered when the bound grows":           {stored: autoscaled(), at: at, then: looser, change: release(), want: kpa("max-scale", "5"), pod: releasedPod, warnings: []string{clampedPeak}},
	})
}
