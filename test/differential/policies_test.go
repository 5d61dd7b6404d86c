package differential

import (
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/policy"
)

// policySet is what a platform team might have set up.
type policySet struct {
	name string
	// free is true where no policy changes or judges anything that the author states.
	free bool
	set  *policy.Set
}

const profiles = `
  profiles:
    autoscale: [{name: batch, metric: rps, target: "50", maxScale: 4, scaleToZeroPodRetentionPeriod: 2m}]
    compute: [{name: l4, gpus: 1, gpuType: NVIDIA-L4, cpus: "400m", memory: 100M}]
`

var policySets = func() []policySet {
	sets := []policySet{{name: "none", free: true, set: policy.Compile(nil)}}
	for _, p := range []struct{ name, text string }{
		{"defaults", `
metadata: {name: defaults}
spec:
  defaults:
    autoscale: {maxScale: 7, targetUtilization: 60, window: 2m, concurrency: 6, scaleDownDelay: 30s, initialScale: 2, minScale: 1, progressDeadline: 15m}
    compute: {cpus: "2", memory: 8Gi, diskSize: 10Gi, gpuType: NVIDIA-L4, priorityClassName: low, queueName: all, sharedMemoryLimit: 1Gi, inactivityTtl: 1h}` + profiles},
		{"hpa defaults", `
metadata: {name: hpa}
spec:
  defaults:
    autoscale: {autoscalerClass: hpa, metric: memory, target: 60, minScale: 2}
    compute: {memory: 1500M, gpus: 3, launchTimeout: 20m}` + profiles},
		{"clamps", `
metadata: {name: clamps}
spec:
  enforcement: Clamp
  bounds:
    maxScale: {max: 3}
    minScale: {max: 4}
    gpusPerPod: {max: 1}
    gpusPerWorkload: {max: 2}
    cpusPerPod: {max: "800m"}
    memoryPerPod: {max: 1Gi}
    scaleToZeroPodRetentionPeriod: {max: 5m}
    scaleDownDelay: {max: 45s}
    progressDeadline: {max: 12m}` + profiles},
		{"lowers min-scale", `
metadata: {name: pods}
spec:
  bounds:
    minScale: {max: 1, enforcement: Clamp}` + profiles},
		{"denies", `
metadata: {name: denies}
spec:
  bounds:
    maxScale: {max: 4}
    gpusPerPod: {max: 8, allowed: [0, 1, 2]}
    gpusPerWorkload: {max: 4}
    gpuTypes: {allowed: [NVIDIA-L4]}
    autoscalerClasses: {allowed: [kpa]}` + profiles},
	} {
		var cp v1alpha1.ComputePolicy
		if err := yaml.UnmarshalStrict([]byte(p.text), &cp); err != nil {
			panic(err)
		}
		compiled := policy.Compile([]v1alpha1.ComputePolicy{cp})
		if len(compiled.Invalid()) > 0 {
			panic(compiled.Invalid())
		}
		sets = append(sets, policySet{name: p.name, set: compiled})
	}
	return sets
}()
