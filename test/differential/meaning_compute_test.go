package differential

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"slices"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// compute holds the pod against the compute parameters.
func (m *meaning) compute() {
	pod := m.service.Spec.Template.Spec.PodSpec
	serving := manifest.ServingContainer(manifest.Map(m.author, "spec", "template", "spec"))
	if serving < 0 {
		return
	}
	container := pod.Containers[serving]
	for p, name := range map[*parameter.Parameter]corev1.ResourceName{
		parameter.CPUs: corev1.ResourceCPU, parameter.Memory: corev1.ResourceMemory, parameter.DiskSize: corev1.ResourceEphemeralStorage,
	} {
		if text, ok := statedParameter(m.author, p); ok {
			m.quantity(p.Name, container.Resources.Requests[name], text)
		}
		if limit, ok := container.Resources.Limits[name]; ok {
			if q := container.Resources.Requests[name]; q.Cmp(limit) > 0 {
				m.fault("the request %s of %s is above the limit %s", q.String(), name, limit.String())
			}
		}
	}
	const gpu = corev1.ResourceName("nvidia.com/gpu")
	gpus, ok := statedParameter(m.author, parameter.GPUs)
	elsewhere := false // a pod has its GPUs wherever they stand
	for i, c := range pod.Containers {
		_, limited := c.Resources.Limits[gpu]
		elsewhere = elsewhere || (i != serving && (limited || len(otherGPUs(c)) > 0))
	}
	if ok && number(gpus) > 0 && !elsewhere {
		m.quantity("the GPU request", request(container, gpu), gpus)
		m.quantity("the GPU limit", container.Resources.Limits[gpu], gpus)
	}
	if text, stated := statedParameter(m.author, parameter.GPUMemory); stated {
		m.equal("the annotation gpu-memory", m.service.Spec.Template.Annotations["gpu-memory"], text)
		if _, limited := container.Resources.Limits[gpu]; !ok && !limited && !elsewhere && len(otherGPUs(container)) == 0 && !unlistedGPUs(pod) {
			m.fault("GPU memory without a GPU") // a limit of 0 is the author's own word
		}
	}
	for name, request := range container.Resources.Requests {
		if limit, found := container.Resources.Limits[name]; name == gpu && (!found || request.Cmp(limit) != 0 || request.MilliValue()%1000 != 0) {
			m.fault("%s GPUs are requested, with a limit of %s", request.String(), limit.String())
		}
	}
	if text, ok := statedParameter(m.author, parameter.GPUType); ok {
		label, value, _ := gpuTypeLabel(m.author, text)
		m.equal("the node label of the GPU type", pod.NodeSelector[label], value)
	}
	same := func(p *parameter.Parameter, got string) {
		if text, ok := statedParameter(m.author, p); ok {
			m.equal(p.Name, got, text)
		}
	}
	same(parameter.PriorityClassName, pod.PriorityClassName)
	same(parameter.ServiceAccountName, pod.ServiceAccountName)
	same(parameter.QueueName, m.service.Spec.Template.Labels["kueue.x-k8s.io/queue-name"])
	same(parameter.InactivityTTL, m.service.Annotations["kubetorch.com/inactivity-ttl"])
	if text, ok := statedParameter(m.author, parameter.SharedMemoryLimit); ok {
		m.sharedMemory(pod, container, text)
	}
	if text, ok := statedParameter(m.author, parameter.Concurrency); ok {
		m.equal("the concurrency limit", m.pa.Spec.ContainerConcurrency, number(text))
	}
}

// unlistedGPUs tells whether a pod has what looks like a GPU and counts as none: none is added for its memory.
func unlistedGPUs(pod corev1.PodSpec) bool {
	return slices.ContainsFunc(slices.Concat(pod.Containers, pod.InitContainers), func(c corev1.Container) bool {
		limit, request := c.Resources.Limits["example.com/gpu"], c.Resources.Requests["example.com/gpu"]
		return limit.Sign() > 0 || request.Sign() > 0
	})
}

func otherGPUs(c corev1.Container) (names []corev1.ResourceName) {
	for name, q := range c.Resources.Limits {
		if (name == "amd.com/gpu" || name == "nvidia.com/mig-1g.5gb") && q.Sign() > 0 {
			names = append(names, name)
		}
	}
	return names
}

func (m *meaning) quantity(what string, got resource.Quantity, want string) {
	q, err := resource.ParseQuantity(want)
	if err != nil || got.Cmp(q) != 0 {
		m.fault("%s is %s, and should be %s", what, got.String(), want)
	}
}

func (m *meaning) sharedMemory(pod corev1.PodSpec, container corev1.Container, size string) {
	for _, mount := range container.VolumeMounts {
		if mount.MountPath != "/dev/shm" && mount.MountPath != "/dev/shm/" {
			continue
		}
		for _, v := range pod.Volumes {
			if v.Name == mount.Name && v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumMemory && v.EmptyDir.SizeLimit != nil {
				m.quantity("the size of /dev/shm", *v.EmptyDir.SizeLimit, size)
				return
			}
		}
	}
	m.fault("nothing limits /dev/shm to %s", size)
}
