package expand_test

import (
	"strconv"
	"strings"
	"testing"
)

// gpuPod is a pod whose container states GPUs in one list of its resources.
func gpuPod(list, quantity string) string {
	return onePod(`resources: {` + list + `: {nvidia.com/gpu: ` + strconv.Quote(quantity) + `}}`)
}

func TestCasesGPUs(t *testing.T) {
	const container = "spec.template.spec.containers[0].resources."
	const countAllowed = "; allowed: a whole number from 0 to 2147483647"
	rows := map[string]row{
		"NVIDIA-L4 a thousand GPUs are a thousand, however they are written": {in: autoscaled().pod(gpuPod("limits", "1k")), at: inCluster().under(house), code: 403,
			refused: []string{
				"spec.template.spec.containers: Forbidden: asks for 1000 GPUs per pod; policy house allows at most 8 (bounds.gpusPerPod.max)",
				"spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for 1000 GPUs (1000 x 1 pod); policy house allows at most 32 (bounds.gpusPerWorkload.max)"},
			warnings: []string{loweredDefault("max-scale", "10", "built-in", "1", "policy house (bounds.gpusPerWorkload.max)")}},
		"L8 a limit below the request is refused": {in: autoscaled().pod(onePod(`resources: {limits: {nvidia.com/gpu: 1}, requests: {nvidia.com/gpu: 2}}`)),
			refused: []string{container + "requests[nvidia.com/gpu]: Invalid value: 2: must equal the limit 1: GPUs cannot be overcommitted"}},
		"a request without a limit is refused": {in: autoscaled().pod(gpuPod("requests", "1")),
			refused: []string{container + "limits[nvidia.com/gpu]: Required value: GPUs need a limit equal to the request"}},
		"a limit alone is its own request, and stays": {in: autoscaled().pod(gpuPod("limits", "1")), want: kpa()},
		"L10 slices and other vendors' GPUs count too": {in: autoscaled().pod(onePod(`resources: {limits: {nvidia.com/mig-1g.5gb: 4, amd.com/gpu: 3, nvidia.com/gpu.shared: 2}}`)),
			at: inCluster().under(house), code: 403,
			refused: []string{
				"spec.template.spec.containers: Forbidden: asks for 9 GPUs per pod; policy house allows at most 8 (bounds.gpusPerPod.max)"},
			warnings: []string{loweredDefault("max-scale", "10", "built-in", "3", "policy house (bounds.gpusPerWorkload.max)")}},
		"L10 what looks like GPUs and cannot be counted is refused under a bound": {in: autoscaled().pod(onePod(`resources: {limits: {acme.example/gpu-slice: 1}}`)),
			at: inCluster().under(house), code: 403,
			refused: []string{container + "limits[acme.example/gpu-slice]: Forbidden: looks like a GPU resource that no policy's gpuResources lists, so it cannot be counted; the platform team lists it there, or in notGPUResources if it is no number of GPUs; policy house bounds GPUs (bounds.gpusPerPod.max)"}},
		"L12 a GPU type names its own node label": {in: autoscaled("gpus", "1", "gpu-type", "cloud.google.com/gke-accelerator: nvidia-l4"), at: gpuCluster(), want: kpa(),
			pod: `{nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}, tolerations: ` + gpuTolerations + `,
				containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/gpu: "1"}, limits: {nvidia.com/gpu: "1"}}}]}`},
		"L12 N2 such a text as a label, which the API server refuses later, does no harm": {
			in: autoscaled().label("compute.kubetorch.com/gpu-type", "nvidia.com/gpu.product: NVIDIA-L4"), at: gpuCluster(), want: kpa(),
			refused: nil, pod: `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{image: "ghcr.io/acme/inference:v1"}]}`},
		"L12 a GPU type with an equals sign is refused": {in: autoscaled("gpu-type", "nvidia.com/gpu.product=NVIDIA-L4"),
			refused: []string{param("gpu-type", "nvidia.com/gpu.product=NVIDIA-L4", "invalid value: nvidia.com/gpu.product=NVIDIA-L4; allowed: a GPU product such as NVIDIA-L4, or label/key: value (in an annotation)")}},
		"no GPUs need no tolerations": {in: autoscaled("gpus", "0"), want: kpa()},
		"the policy's first GPU resource is asked for": {in: autoscaled("gpus", "2"), want: kpa(),
			at: inCluster("features", "kubernetes.podspec-tolerations", "enabled").under(`{metadata: {name: amd}, spec: {gpuResources: ["amd.com/mig-*", amd.com/gpu]}}`),
			pod: `{tolerations: [{key: amd.com/gpu, operator: Exists, effect: NoSchedule}, {key: dedicated, operator: Equal, value: gpu, effect: NoSchedule}], containers: [{image: "ghcr.io/acme/inference:v1",
				resources: {requests: {amd.com/gpu: "2"}, limits: {amd.com/gpu: "2"}}}]}`},
		"its type is in its vendor's words": {in: autoscaled("gpus", "1", "gpu-type", "AMD_Instinct_MI300X_OAM"), want: kpa(),
			at: gpuCluster().under(`{metadata: {name: amd}, spec: {gpuResources: [amd.com/gpu]}}`),
			pod: `{nodeSelector: {amd.com/gpu.product-name: AMD_Instinct_MI300X_OAM}, tolerations: [{key: amd.com/gpu, operator: Exists, effect: NoSchedule}, {key: dedicated, operator: Equal, value: gpu, effect: NoSchedule}],
				containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {amd.com/gpu: "1"}, limits: {amd.com/gpu: "1"}}}]}`},
		"the vendor of the GPUs that the pod has": {in: autoscaled("gpu-type", "Max_1100").pod(`{containers: [{image: "ghcr.io/acme/inference:v1", resources: {limits: {gpu.intel.com/i915: 1}}}]}`), want: kpa(), at: gpuCluster(),
			pod: `{nodeSelector: {gpu.intel.com/product: Max_1100}, containers: [{image: "ghcr.io/acme/inference:v1", resources: {limits: {gpu.intel.com/i915: 1}}}]}`},
		"a vendor without a known label needs it named": {in: autoscaled("gpus", "1", "gpu-type", "C500"), at: gpuCluster().under(`{metadata: {name: metax}, spec: {gpuResources: [metax-tech.com/gpu]}}`),
			refused: []string{param("gpu-type", "C500", `no node label is known that names the products behind metax-tech.com/gpu; name the label too, in an annotation: compute.kubetorch.com/gpu-type: "label/key: C500"`)}},
		"a vendor without a known label, and a product of one that has": {in: autoscaled("gpus", "1", "gpu-type", "NVIDIA-L4"), want: kpa(),
			at: gpuCluster().under(`{metadata: {name: renamed}, spec: {gpuResources: [acme.com/gpu]}}`),
			pod: `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, tolerations: [{key: acme.com/gpu, operator: Exists, effect: NoSchedule}, {key: dedicated, operator: Equal, value: gpu, effect: NoSchedule}],
				containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {acme.com/gpu: "1"}, limits: {acme.com/gpu: "1"}}}]}`},
		"a vendor without a known label, and the label": {in: autoscaled("gpus", "1", "gpu-type", "metax-tech.com/gpu.product: C500"), want: kpa(),
			at: gpuCluster().under(`{metadata: {name: metax}, spec: {gpuResources: [metax-tech.com/gpu]}}`),
			pod: `{nodeSelector: {metax-tech.com/gpu.product: C500}, tolerations: [{key: metax-tech.com/gpu, operator: Exists, effect: NoSchedule}, {key: dedicated, operator: Equal, value: gpu, effect: NoSchedule}],
				containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {metax-tech.com/gpu: "1"}, limits: {metax-tech.com/gpu: "1"}}}]}`},
		"a default without a known label is left out": {in: autoscaled("gpus", "1"), want: kpa(),
			at: gpuCluster().under(`{metadata: {name: metax}, spec: {gpuResources: [metax-tech.com/gpu], defaults: {compute: {gpuType: C500}}}}`),
			pod: `{tolerations: [{key: metax-tech.com/gpu, operator: Exists, effect: NoSchedule}, {key: dedicated, operator: Equal, value: gpu, effect: NoSchedule}],
				containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {metax-tech.com/gpu: "1"}, limits: {metax-tech.com/gpu: "1"}}}]}`,
			warnings: []string{`gpu-type C500 (policy metax) is left out: no node label is known that names the products behind metax-tech.com/gpu; name the label too, in an annotation: compute.kubetorch.com/gpu-type: "label/key: C500"`}},
		"memory of GPUs asks for none beside an accelerator": {in: autoscaled("gpu-memory", "16Gi").pod(onePod(`resources: {limits: {google.com/tpu: 4}}`)), want: withKey(kpa(), "gpu-memory", "16Gi"), at: gpuCluster(),
			warnings: []string{"gpu-memory 16Gi asks for no GPU: the pod has google.com/tpu"}},
		"slices of a GPU are on the nodes of whole ones": {in: autoscaled("gpus", "1"), want: kpa(),
			at: gpuCluster().under(`{metadata: {name: mig}, spec: {gpuResources: [{name: nvidia.com/mig-1g.10gb, gpus: "1/7"}]}}`),
			pod: `{tolerations: [{key: nvidia.com/mig-1g.10gb, operator: Exists, effect: NoSchedule}, {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}, {key: dedicated, operator: Equal, value: gpu, effect: NoSchedule}],
				containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/mig-1g.10gb: "1"}, limits: {nvidia.com/mig-1g.10gb: "1"}}}]}`},
		"a pod keeps the pin that means the same": {in: autoscaled("gpus", "1", "gpu-type", "NVIDIA-L4").pod(`{nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}, containers: [{image: "ghcr.io/acme/inference:v1"}]}`), want: kpa(), at: gpuCluster(),
			pod: `{nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}, tolerations: ` + gpuTolerations + `, containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/gpu: "1"}, limits: {nvidia.com/gpu: "1"}}}]}`},
		"a pin to shared ones too": {in: autoscaled("gpus", "1", "gpu-type", "NVIDIA-L4").pod(`{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4-SHARED}, containers: [{image: "ghcr.io/acme/inference:v1"}]}`), want: kpa(), at: gpuCluster(),
			pod: `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4-SHARED}, tolerations: ` + gpuTolerations + `, containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/gpu: "1"}, limits: {nvidia.com/gpu: "1"}}}]}`},
		"a pin in another vendor's words that contradicts is refused": {in: autoscaled("gpus", "1", "gpu-type", "NVIDIA-L4").pod(`{nodeSelector: {karpenter.k8s.aws/instance-gpu-name: h100}, containers: [{image: "ghcr.io/acme/inference:v1"}]}`), at: gpuCluster(),
			refused: []string{`metadata.annotations[compute.kubetorch.com/gpu-type]: Invalid value: "NVIDIA-L4": differs from spec.template.spec.nodeSelector[karpenter.k8s.aws/instance-gpu-name]: h100; state it once`}},
		"a type that no node is labelled with": {in: autoscaled("gpus", "1", "gpu-type", "l4"), want: kpa(), at: gpuCluster(),
			pod:      `{nodeSelector: {nvidia.com/gpu.product: l4}, tolerations: ` + gpuTolerations + `, containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/gpu: "1"}, limits: {nvidia.com/gpu: "1"}}}]}`,
			warnings: []string{`gpu-type l4 (annotation compute.kubetorch.com/gpu-type: l4): feature discovery labels nodes with such a GPU nvidia.com/gpu.product: NVIDIA-L4`}},
		"the same number of GPUs in both places is fine": {in: autoscaled("gpus", "1").pod(gpuPod("limits", "1")), want: kpa()},
		"two numbers of GPUs are refused": {in: autoscaled("gpus", "2").pod(gpuPod("limits", "1")),
			refused: []string{param("gpus", "2", "differs from "+container+"limits[nvidia.com/gpu]: 1; state it once")}},
		"GPUs of another resource are not doubled": {in: autoscaled("gpus", "2").pod(onePod(`resources: {limits: {amd.com/gpu: 2}}`)),
			refused: []string{param("gpus", "2", "the serving container asks for amd.com/gpu already; state its GPUs once")}},
		"a toleration of the user's is enough": {in: autoscaled("gpus", "1").pod(`{tolerations: [{operator: Exists, key: nvidia.com/gpu}, {key: dedicated, value: gpu}],
			containers: [{image: "ghcr.io/acme/inference:v1"}]}`), at: gpuCluster(), want: kpa(),
			pod: `{tolerations: [{operator: Exists, key: nvidia.com/gpu}, {key: dedicated, value: gpu}],
				containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/gpu: "1"}, limits: {nvidia.com/gpu: "1"}}}]}`},
		"a node selector of the user's that says the same is kept": {in: autoscaled("gpu-type", "NVIDIA-L4").pod(`{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{image: "ghcr.io/acme/inference:v1"}]}`),
			at: gpuCluster(), want: kpa()},
		"one that differs is refused": {in: autoscaled("gpu-type", "A100").pod(`{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{image: "ghcr.io/acme/inference:v1"}]}`),
			at: gpuCluster(), refused: []string{param("gpu-type", "A100", "differs from spec.template.spec.nodeSelector[nvidia.com/gpu.product]: NVIDIA-L4; state it once")}},
	}
	for _, q := range []string{"500m", "0.5", "1e100", "9223372036854775808", "-1", "2147483648"} {
		rows["L2 L6 what is no number of GPUs is refused/"+q] = row{in: autoscaled().pod(gpuPod("limits", q)),
			refused: []string{container + "limits[nvidia.com/gpu]: Invalid value: " + strconv.Quote(q) + ": must be a whole number of GPUs from 0 to 2147483647"}}
	}
	for q, words := range map[string]string{"1k": "invalid value: 1k" + countAllowed, "1000m": "invalid value: 1000m" + countAllowed, "0.5": "invalid value: 0.5" + countAllowed,
		"-1": "expected 0 <= -1 <= 2147483647", "9223372036854775808": "expected 0 <= 9223372036854775808 <= 2147483647"} {
		rows["L the parameter takes plain numbers only/"+q] = row{in: autoscaled("gpus", q), refused: []string{param("gpus", q, words)}}
	}
	runRows(t, rows)
}

func TestCasesLabels(t *testing.T) {
	labelled := func(name, text string) *manifestBuilder { return autoscaled().label(key(name), text) }
	refusal := func(name, text, message string) []string {
		return []string{"metadata.labels[" + key(name) + "]: Invalid value: " + strconv.Quote(text) + ": " + message}
	}
	runRows(t, map[string]row{
		"N a duration fits in a label":                                                      {in: labelled("window", "1m5s"), want: kpa("window", "1m5s")},
		"N a decimal number does":                                                           {in: labelled("target", "0.5"), want: kpa("target", "0.5")},
		"N an exponent does":                                                                {in: labelled("target", "1e3"), want: kpa("target", "1e3")},
		"N a quantity does":                                                                 {in: labelled("memory", "16Gi"), want: kpa(), pod: onePod(`resources: {requests: {memory: 16Gi}}`)},
		"N a fraction of a CPU does":                                                        {in: labelled("cpus", "500m"), want: kpa(), pod: onePod(`resources: {requests: {cpu: 500m}}`)},
		"N the full name of a class does":                                                   {in: labelled("autoscaler-class", "kpa.autoscaling.knative.dev"), want: kpa()},
		"N a GPU product does":                                                              {in: labelled("gpu-type", "NVIDIA-A100-SXM4-80GB"), at: gpuCluster(), want: kpa(), pod: `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB}, containers: [{image: "ghcr.io/acme/inference:v1"}]}`},
		"N what is no number is refused in one too":                                         {in: labelled("target", "NaN"), refused: refusal("target", "NaN", "invalid value: NaN; allowed: a decimal number of at least 0.01")},
		"N underscores are refused":                                                         {in: labelled("target", "1_000"), refused: refusal("target", "1_000", "invalid value: 1_000; allowed: a decimal number of at least 0.01")},
		"N1 an empty label is refused, and no unset":                                        {in: labelled("max-scale", ""), refused: refusal("max-scale", "", "may not be empty"+scaleAllowed)},
		"N2 a label that the API server refuses later does no harm/-1":                      {in: labelled("max-scale", "-1"), refused: refusal("max-scale", "-1", "expected 0 <= -1 <= 2147483647")},
		"N2 a label that the API server refuses later does no harm/white space":             {in: labelled("target", " 10"), refused: refusal("target", " 10", "invalid value:  10; allowed: a decimal number of at least 0.01")},
		"N2 a label that the API server refuses later does no harm/64 characters":           {in: labelled("queue-name", strings.Repeat("a", 64)), refused: refusal("queue-name", strings.Repeat("a", 64), "invalid value: "+strings.Repeat("a", 64)+"; allowed: a label value: letters, digits, '-', '_' and '.', at most 63 characters")},
		"N2 a label that the API server refuses later does no harm/a metric with a colon":   {in: onHPA("target", "5").label(key("metric"), "vllm:num_requests_waiting"), want: hpa("metric", "vllm:num_requests_waiting", "target", "5"), pod: hpaResources},
		"N a metric's name with a colon fits in an annotation":                              {in: onHPA("target", "5", "metric", "vllm:num_requests_waiting"), want: hpa("metric", "vllm:num_requests_waiting", "target", "5"), pod: hpaResources},
		"an opt-in label without a value is refused":                                        {in: plain().label("kubetorch.com/autoscale", ""), refused: []string{`metadata.labels[kubetorch.com/autoscale]: Invalid value: "": may not be empty; allowed: "true", "false" or a profile's name`}},
		"True is no true":                                                                   {in: plain().label("kubetorch.com/autoscale", "True"), refused: []string{`metadata.labels[kubetorch.com/autoscale]: Invalid value: "True": unknown autoscale profile; write "true" to opt in`}},
		"nor is yes":                                                                        {in: plain().label("kubetorch.com/compute", "yes"), refused: []string{`metadata.labels[kubetorch.com/compute]: Invalid value: "yes": unknown compute profile; write "true" to opt in`}},
		"off is no false":                                                                   {in: plain().label("kubetorch.com/autoscale", "off"), refused: []string{`metadata.labels[kubetorch.com/autoscale]: Invalid value: "off": unknown autoscale profile; write "false" to opt out`}},
		"a class is no profile":                                                             {in: plain().label("kubetorch.com/autoscale", "hpa"), refused: []string{`metadata.labels[kubetorch.com/autoscale]: Invalid value: "hpa": unknown autoscale profile; write "true" to opt in, and choose the class by autoscale.kubetorch.com/autoscaler-class: hpa`}},
		"false leaves a Service alone":                                                      {in: plain().label("kubetorch.com/autoscale", "false").params("max-scale", "0")},
		"parameters without a label are admitted with a warning":                            {in: plain().params("max-scale", "0", "gpus", "1"), warnings: []string{`autoscale.kubetorch.com/max-scale: no effect without the label kubetorch.com/autoscale (set it to "true" or to a profile's name)`, `compute.kubetorch.com/gpus: no effect without the label kubetorch.com/compute (set it to "true" or to a profile's name)`}},
		"the compute label alone fills in resources and nothing of the autoscaler":          {in: plain().label("kubetorch.com/compute", "true").params("cpus", "2"), pod: onePod(`resources: {requests: {cpu: "2"}}`)},
		"with autoscale false it does too":                                                  {in: plain().label("kubetorch.com/compute", "true").label("kubetorch.com/autoscale", "false").params("cpus", "2"), pod: onePod(`resources: {requests: {cpu: "2"}}`)},
		"autoscaling parameters beside the compute label alone are admitted with a warning": {in: plain().label("kubetorch.com/compute", "true").params("max-scale", "3"), warnings: []string{`autoscale.kubetorch.com/max-scale: no effect without the label kubetorch.com/autoscale (set it to "true" or to a profile's name)`}},
		"an opt-in label as an annotation has no effect, and a warning says so":             {in: plain().params("kubetorch.com/autoscale", "true"), warnings: []string{"metadata.annotations[kubetorch.com/autoscale] has no effect: it must be a label"}},
		"copies of our keys on the template mean nothing":                                   {in: autoscaled("max-scale", "3").native("autoscale.kubetorch.com/max-scale", "9").with(`{kubetorch.com/autoscale: "true"}`, "spec", "template", "metadata", "labels"), want: withKey(kpa("max-scale", "3"), "autoscale.kubetorch.com/max-scale", "9")},
		"an unknown key under our prefixes is refused on a labelled Service":                {in: plain().label("kubetorch.com/compute", "true").params("compute.kubetorch.com/cpu", "2"), refused: []string{`metadata.annotations[compute.kubetorch.com/cpu]: Invalid value: "2": unknown key; the nearest known one is compute.kubetorch.com/cpus`}},
		"a queue's name lands on the template's labels, the time to live on the Service":    {in: autoscaled("queue-name", "research", "inactivity-ttl", "2h"), want: kpa()},
		"a service name is for Deployments and does nothing to a Service": {in: autoscaled("service-name", "other"), want: kpa(),
			warnings: []string{"autoscale.kubetorch.com/service-name has no effect: it names the Knative Service that a Deployment becomes, and this is one already"}},
		"the Service's own name is as good as none":      {in: autoscaled("service-name", "inference"), want: kpa()},
		"a service name that is no DNS label is refused": {in: autoscaled("service-name", "My.Service"), refused: []string{param("service-name", "My.Service", "invalid value: My.Service; allowed: a DNS-1035 label: lower-case letters, digits and '-', starting with a letter, at most 63 characters")}},
	})
}
