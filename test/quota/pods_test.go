package quota

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/kubetorch/webhook/pkg/workload"
)

// names of resources: GPUs, aliases of classes, and others.
var names = map[corev1.ResourceName]bool{
	"nvidia.com/gpu": true, "nvidia.com/mig-1g.10gb": true, "amd.com/gpu": true, "gpu.intel.com/i915": true, "example.com/card": true,
	"deviceclass.resource.kubernetes.io/gpu.nvidia.com": true,
	"gpu.intel.com/millicores":                          false, "example.com/fpga": false, "deviceclass.resource.kubernetes.io/nic.example.com": false,
}

// TestPodsCountLikeAResourceQuota: the GPUs of a pod are what a ResourceQuota counts of all names of
// GPUs together, those that DeviceClasses claim among them.
func TestPodsCountLikeAResourceQuota(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	known := workload.NewGPUResources(workload.Counting{NotDeviceClasses: []string{"nic.example.com"},
		Classes: []workload.DeviceClass{{Name: "gpu.nvidia.com", ExtendedResource: "example.com/card"}}})
	clock := testingclock.NewFakeClock(time.Unix(0, 0))
	ordered := make([]corev1.ResourceName, 0, len(names))
	for name := range names {
		ordered = append(ordered, name)
	}
	some := 0
	for i := range rounds {
		pod := &corev1.Pod{}
		container := func() corev1.Container {
			c := corev1.Container{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{}, Requests: corev1.ResourceList{}}}
			for range r.IntN(3) {
				name, q := ordered[r.IntN(len(ordered))], *resource.NewQuantity(r.Int64N(9), resource.DecimalSI)
				c.Resources.Limits[name], c.Resources.Requests[name] = q, q
			}
			return c
		}
		always := corev1.ContainerRestartPolicyAlways
		for range r.IntN(3) {
			c := container()
			if r.IntN(2) == 0 {
				c.RestartPolicy = &always
			}
			pod.Spec.InitContainers = append(pod.Spec.InitContainers, c)
		}
		for range 1 + r.IntN(3) {
			pod.Spec.Containers = append(pod.Spec.Containers, container())
		}
		usage, err := core.PodUsageFunc(pod, clock)
		require.NoError(t, err)
		quota := int64(0)
		for name, gpu := range names {
			q := usage["requests."+name]
			if gpu {
				quota += q.Value()
			}
		}
		ours := workload.CountGPUs(toObject(t, pod.Spec), field.NewPath("spec"), known)
		require.Equal(t, quota, ours.PerPod, "input %d: %v", i, pod.Spec)
		require.Empty(t, ours.Unknown)
		if quota > 0 {
			some++
		}
	}
	t.Logf("%d of %d pods ask for GPUs", some, rounds)
}
