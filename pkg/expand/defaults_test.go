package expand_test

import "testing"

// withGPUs is a pod of the serving container with some GPUs, tolerations and fields of
// the pod besides.
func withGPUs(n, fields string) string {
	return `{` + fields + `tolerations: ` + gpuTolerations + `, containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/gpu: "` + n + `"}, limits: {nvidia.com/gpu: "` + n + `"}}}]}`
}

// TestDefaultsUnderBounds: a default that a bound would refuse is lowered or left out.
func TestDefaultsUnderBounds(t *testing.T) {
	compute := func(defaults, bounds string) cluster {
		return gpuCluster().under(`{metadata: {name: p}, spec: {defaults: {compute: ` + defaults + `}, bounds: ` + bounds + `}}`)
	}
	gpus := func(from, to, bound string) string {
		return loweredDefault("gpus", from, "policy p", to, "policy p (bounds."+bound+")")
	}
	const workload64 = `{gpusPerWorkload: {max: 64}}`
	sidecar := func(resources string) string {
		return `{containers: [{image: "a/b:v1", name: main, ports: [{containerPort: 8080}], resources: ` + resources + `}, {image: "c/d:v1", name: side, resources: {requests: {cpu: "60", memory: 500Gi}}}]}`
	}
	rows := map[string]row{
		"default GPUs go by an explicit max-scale": {in: autoscaled("max-scale", "20"), at: compute(`{gpus: 4}`, workload64), want: kpa("max-scale", "20"), pod: withGPUs("3", ""),
			warnings: []string{gpus("4", "3", "gpusPerWorkload.max")}},
		"by one on the template": {in: autoscaled().native("maxScale", "20"), at: compute(`{gpus: 4}`, workload64), want: minus(kpa("maxScale", "20"), "max-scale"), pod: withGPUs("3", ""),
			warnings: []string{gpus("4", "3", "gpusPerWorkload.max")}},
		"by an explicit min-scale, and max-scale by them": {in: autoscaled("min-scale", "5"), at: compute(`{gpus: 4}`, `{gpusPerWorkload: {max: 16}}`), want: kpa("max-scale", "5", "min-scale", "5", "initial-scale", "5"), pod: withGPUs("3", ""),
			warnings: []string{gpus("4", "3", "gpusPerWorkload.max"), loweredDefault("max-scale", "10", "built-in", "5", "policy p (bounds.gpusPerWorkload.max)")}},
		"where one pod is enough a default max-scale gives way": {in: autoscaled(), at: compute(`{gpus: 8}`, workload64), want: kpa("max-scale", "8"), pod: withGPUs("8", ""),
			warnings: []string{loweredDefault("max-scale", "10", "built-in", "8", "policy p (bounds.gpusPerWorkload.max)")}},
		"they go by what is allowed as well": {in: autoscaled("max-scale", "20"), at: compute(`{gpus: 4}`, `{gpusPerWorkload: {max: 64}, gpusPerPod: {allowed: [0, 1, 2, 4]}}`), want: kpa("max-scale", "20"), pod: withGPUs("2", ""),
			warnings: []string{gpus("4", "2", "gpusPerWorkload.max")}},
		"where not even one fits there is none":          {in: autoscaled("max-scale", "100"), at: compute(`{gpus: 4}`, workload64), want: kpa("max-scale", "100"), warnings: []string{gpus("4", "0", "gpusPerWorkload.max")}},
		"where no type of them is allowed there is none": {in: autoscaled(), at: compute(`{gpus: 1}`, `{gpuTypes: {allowed: [NVIDIA-L4]}}`), want: kpa(), warnings: []string{gpus("1", "0", "gpuTypes.allowed")}},
		"what Warn and Audit bound is lowered too": {in: autoscaled("max-scale", "20"), at: compute(`{gpus: 4}`, `{gpusPerWorkload: {max: 64, enforcement: Warn}}`), want: kpa("max-scale", "20"), pod: withGPUs("3", ""),
			warnings: []string{gpus("4", "3", "gpusPerWorkload.max")}},
		"a clamped max-scale counts as it is lowered": {in: autoscaled("max-scale", "20"), at: compute(`{gpus: 4}`, `{maxScale: {max: 10, enforcement: Clamp}, gpusPerWorkload: {max: 40}}`), want: kpa("max-scale", "10"), pod: withGPUs("4", ""),
			warnings: []string{"max-scale 20 lowered to 10 by policy p (bounds.maxScale.max)"}},
		"the compute label alone goes by the template's max-scale": {in: plain().label("kubetorch.com/compute", "true").native("max-scale", "20"), at: compute(`{gpus: 4}`, workload64), want: annotations(map[string]string{"max-scale": "20"}, nil), pod: withGPUs("3", ""),
			warnings: []string{gpus("4", "3", "gpusPerWorkload.max")}},
		"GPUs that are stated are never lowered for a bound that denies": {in: autoscaled("gpus", "4", "max-scale", "20"), at: compute(`{gpus: 1}`, workload64), code: 403,
			refused: []string{"spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for 80 GPUs (4 x 20 pods); policy p allows at most 64 (bounds.gpusPerWorkload.max)"}},

		"default cpus get what the other containers leave": {in: autoscaled().pod(sidecar("{}")), at: compute(`{cpus: 8}`, `{cpusPerPod: {max: "64"}}`), want: kpa(), pod: sidecar(`{requests: {cpu: "4"}}`),
			warnings: []string{loweredDefault("cpus", "8", "policy p", "4", "policy p (bounds.cpusPerPod.max)")}},
		"default memory does": {in: autoscaled().pod(sidecar("{}")), at: compute(`{memory: 16Gi}`, `{memoryPerPod: {max: 512Gi}}`), want: kpa(), pod: sidecar(`{requests: {memory: 12Gi}}`),
			warnings: []string{loweredDefault("memory", "16Gi", "policy p", "12Gi", "policy p (bounds.memoryPerPod.max)")}},
		"where they leave nothing the default is left out": {in: autoscaled().pod(sidecar("{}")), at: compute(`{cpus: 8}`, `{cpusPerPod: {max: "60"}}`), want: kpa(),
			warnings: []string{"cpus 8 (policy p) is left out: policy p (bounds.cpusPerPod.max) leaves nothing to it"}},
		"what fits stays": {in: autoscaled().pod(sidecar("{}")), at: compute(`{cpus: 4}`, `{cpusPerPod: {max: "64"}}`), want: kpa(), pod: sidecar(`{requests: {cpu: "4"}}`)},

		"a default class that no bound allows is passed over": {in: autoscaled("cpus", "1"), at: inCluster().under(`{metadata: {name: p}, spec: {defaults: {autoscale: {autoscalerClass: hpa}}, bounds: {autoscalerClasses: {allowed: [kpa]}}}}`),
			want: kpa(), pod: onePod(`resources: {requests: {cpu: "1"}}`)},
		"the built-in class gives way to the only one allowed": {in: autoscaled("cpus", "1"), at: inCluster().under(`{metadata: {name: p}, spec: {bounds: {autoscalerClasses: {allowed: [hpa]}}}}`),
			want: hpa(), pod: onePod(`resources: {requests: {cpu: "1"}}`)},
		"where that does not fit it stays, and is refused": {in: autoscaled(), at: inCluster().under(`{metadata: {name: p}, spec: {bounds: {autoscalerClasses: {allowed: [hpa]}}}}`), code: 403,
			refused: []string{"spec.template.metadata.annotations[autoscaling.knative.dev/class]: Forbidden: asks for autoscaler class kpa.autoscaling.knative.dev; policy p allows only hpa.autoscaling.knative.dev (bounds.autoscalerClasses.allowed)"}},

		"a default GPU type is for workloads with GPUs": {in: autoscaled(), at: compute(`{gpuType: NVIDIA-L4, gpuMemory: 20Gi}`, `{}`), want: kpa()},
		"those that state some get it": {in: autoscaled("gpus", "1"), at: compute(`{gpuType: NVIDIA-L4, gpuMemory: 20Gi}`, `{}`), want: withKey(kpa(), "gpu-memory", "20Gi"),
			pod: withGPUs("1", `nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, `)},
		"those with some on the pod do": {in: autoscaled().pod(gpuPod("limits", "1")), at: compute(`{gpuType: NVIDIA-L4}`, `{}`), want: kpa(),
			pod: `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{image: "ghcr.io/acme/inference:v1", resources: {limits: {nvidia.com/gpu: "1"}}}]}`},
		"those with some by default do": {in: autoscaled(), at: compute(`{gpus: 1, gpuType: NVIDIA-L4}`, `{gpuTypes: {allowed: [NVIDIA-L4]}}`), want: kpa(), pod: withGPUs("1", `nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, `)},
		"those pinned already do not": {in: autoscaled("gpus", "1").pod(`{nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}, containers: [{image: "ghcr.io/acme/inference:v1"}]}`), at: compute(`{gpuType: A100}`, `{}`), want: kpa(),
			pod: withGPUs("1", `nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}, `)},
		"one that no bound allows is left out": {in: autoscaled("gpus", "1"), at: compute(`{gpuType: A100}`, `{gpuTypes: {allowed: [NVIDIA-L4], enforcement: Audit}}`), want: kpa(), pod: withGPUs("1", ""),
			warnings: []string{"gpu-type A100 (policy p) is left out: bounds.gpuTypes does not allow it"}},
		"a GPU memory that is stated asks for a GPU all the same": {in: autoscaled("gpu-memory", "10Gi"), at: compute(`{gpuType: NVIDIA-L4, gpuMemory: 20Gi}`, `{}`), want: withKey(kpa(), "gpu-memory", "10Gi"),
			pod: withGPUs("1", `nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, `)},
	}
	runRows(t, rows)
}

func TestProfilesWhoseGPUsAreNotAllowed(t *testing.T) {
	at := func(bounds string) cluster {
		return gpuCluster().under(`{metadata: {name: profiles}, spec: {profiles: {compute: [{name: l4, gpus: 2, gpuType: NVIDIA-L4}, {name: memory, gpuMemory: 20Gi}]}}}`, `{metadata: {name: strict}, spec: {bounds: `+bounds+`}}`)
	}
	l4 := func() *manifestBuilder { return autoscaled("max-scale", "4").label("kubetorch.com/compute", "l4") }
	const label = "metadata.labels[kubetorch.com/compute]: Forbidden: profile l4 of policy profiles asks for "
	pinned := `nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, `
	runRows(t, map[string]row{
		"none per pod": {in: l4(), at: at(`{gpusPerPod: {max: 0}}`), code: 403, refused: []string{label + "2 GPUs per pod; policy strict allows at most 0 (bounds.gpusPerPod.max)"}},
		"none in all": {in: l4(), at: at(`{gpusPerWorkload: {max: 3, enforcement: Clamp}}`), want: kpa("max-scale", "3"), pod: withGPUs("1", pinned), warnings: []string{
			loweredDefault("gpus", "2", "profile l4 of policy profiles", "1", "policy strict (bounds.gpusPerWorkload.max)"), "max-scale 4 lowered to 3 by policy strict (bounds.gpusPerWorkload.max)"}},
		"none in all, denied": {in: l4(), at: at(`{gpusPerWorkload: {max: 3}}`), code: 403, refused: []string{label + "8 GPUs (2 x 4 pods); policy strict allows at most 3 (bounds.gpusPerWorkload.max)"}},
		"some in all": {in: l4(), at: at(`{gpusPerWorkload: {max: 4}}`), want: kpa("max-scale", "4"), pod: withGPUs("1", pinned),
			warnings: []string{loweredDefault("gpus", "2", "profile l4 of policy profiles", "1", "policy strict (bounds.gpusPerWorkload.max)")}},
		"none, and nobody enforces it":               {in: l4(), at: at(`{gpusPerPod: {max: 0, enforcement: Audit}}`), want: kpa("max-scale", "4"), pod: withGPUs("2", pinned)},
		"a profile with a GPU memory asks for a GPU": {in: autoscaled().label("kubetorch.com/compute", "memory"), at: at(`{}`), want: withKey(kpa(), "gpu-memory", "20Gi"), pod: withGPUs("1", "")},
	})
}

func TestDefaultsUnderBoundsOnUpdate(t *testing.T) {
	defaults := `{metadata: {name: p}, spec: {defaults: {autoscale: {autoscalerClass: hpa}, compute: {cpus: 8, gpus: 2, gpuType: NVIDIA-L4}}}}`
	open := gpuCluster().under(defaults)
	strict := gpuCluster().under(defaults, `{metadata: {name: strict}, spec: {bounds: {cpusPerPod: {max: "4"}, gpusPerPod: {max: 1}, gpuTypes: {allowed: [A100]}, autoscalerClasses: {allowed: [kpa]}}}}`)
	invalid := open
	others := gpuCluster().under(`{metadata: {name: p}, spec: {defaults: {compute: {cpus: 9, gpus: 3, gpuType: A100}}}}`)
	pod := func(image, gpus string) string {
		return `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, tolerations: ` + gpuTolerations + `, containers: [{image: "` + image + `", resources: {requests: {cpu: "8", nvidia.com/gpu: "` + gpus + `"}, limits: {nvidia.com/gpu: "` + gpus + `"}}}]}`
	}
	const v1, v2 = "ghcr.io/acme/inference:v1", "ghcr.io/acme/inference:v2"
	workload64 := gpuCluster().under(`{metadata: {name: p}, spec: {defaults: {compute: {gpus: 4}}, bounds: {gpusPerWorkload: {max: 64}}}}`)
	hpaGPUs := []string{"with autoscaler-class hpa every superseded revision keeps at least one pod, and its GPUs, until it is deleted"}
	runLater(t, map[string]later{
		"defaults that were there before the bounds stay": {stored: autoscaled(), at: open, then: &strict, change: setImage, want: hpa(), pod: pod(v2, "2"), warnings: hpaGPUs},
		"defaults of the same policy stay":                {stored: autoscaled("autoscaler-class", "hpa"), at: invalid, then: &others, change: setImage, want: hpa(), pod: pod(v2, "2"), warnings: hpaGPUs},
		"default GPUs go by a max-scale that grows": {stored: autoscaled("max-scale", "4"), at: workload64, change: func(w *manifestBuilder) { w.params("max-scale", "20") }, want: kpa("max-scale", "20"), pod: withGPUs("3", ""),
			warnings: []string{loweredDefault("gpus", "4", "policy p", "3", "policy p (bounds.gpusPerWorkload.max)")}},
		"a GPU that is no longer asked for takes its type and memory along": {stored: autoscaled("gpus", "1"), at: gpuCluster().under(`{metadata: {name: p}, spec: {defaults: {compute: {gpuType: NVIDIA-L4, gpuMemory: 20Gi}}}}`), want: kpa(),
			change: func(w *manifestBuilder) { w.without("gpus") }, pod: `{containers: [{image: "` + v1 + `"}]}`},
	})
}
