package parameter

// Rows that other packages ask for by name.
var (
	AutoscalerClass  = &Parameter{Group: Autoscale, Name: "autoscaler-class", Seed: "autoscaler_class", Type: classType, Lands: "annotation autoscaling.knative.dev/class on the template, full name always", Default: "kpa"}
	Metric           = &Parameter{Group: Autoscale, Name: "metric", Seed: "metric", Type: metricType, Lands: "annotation autoscaling.knative.dev/metric", Default: "concurrency; cpu for hpa"}
	Target           = &Parameter{Group: Autoscale, Name: "target", Seed: "target", Type: targetType, Lands: "annotation autoscaling.knative.dev/target; hpa memory: percent of the pod's memory request, written in Mi", Default: "the concurrency limit if there is one, else 100; rps 200; hpa cpu 80, memory 70", Note: "an average that pods are held to, times target-utilization: with the default of 70, a target of 10 adds a pod above 7 per pod. One pod may hold more for a while"}
	Utilization      = &Parameter{Group: Autoscale, Name: "target-utilization", Seed: "target_utilization", Type: percentType, Lands: "annotation autoscaling.knative.dev/target-utilization-percentage (kpa)", Default: "70", Note: "100 aims at the target itself"}
	MinScale         = &Parameter{Group: Autoscale, Name: "min-scale", Seed: "min_scale", Type: scaleType, Lands: "annotation autoscaling.knative.dev/min-scale", Default: "0; 1 for hpa"}
	MaxScale         = &Parameter{Group: Autoscale, Name: "max-scale", Seed: "max_scale", Type: scaleType, Lands: "annotation autoscaling.knative.dev/max-scale", Default: "10"}
	InitialScale     = &Parameter{Group: Autoscale, Name: "initial-scale", Seed: "initial_scale", Type: scaleType, Lands: "annotation autoscaling.knative.dev/initial-scale", Default: "the larger of min-scale and 1", Note: "the Knative Service is Ready only once so many pods are; after that the load decides, and scale-down-delay does not keep the first half that no load asked for"}
	Concurrency      = &Parameter{Group: Autoscale, Name: "concurrency", Seed: "concurrency", Type: concurrencyType, Lands: "spec.template.spec.containerConcurrency", Default: "no limit", Note: "the only bound on what a container holds at the same time: the rest waits in Knative's queues. Pods are added above target-utilization of the target, which is the limit if no target is given"}
	Window           = &Parameter{Group: Autoscale, Name: "window", Seed: "window", Type: windowType, Lands: "annotation autoscaling.knative.dev/window", Default: "60s", Note: "pods are added by the last tenth of it where the load doubles, and go by the whole of it"}
	ScaleDownDelay   = &Parameter{Group: Autoscale, Name: "scale-down-delay", Seed: "scale_down_delay", Type: delayType, Lands: "annotation autoscaling.knative.dev/scale-down-delay (kpa)", Default: "1m", Note: "the number of pods is the largest that was wanted within the delay, and Knative never wants fewer than half of the ready ones: each halving waits for it"}
	Retention        = &Parameter{Group: Autoscale, Name: "scale-to-zero-pod-retention-period", Seed: "scale_to_zero_pod_retention_period", Type: retentionType, Lands: "annotation autoscaling.knative.dev/scale-to-zero-pod-retention-period (kpa)", Default: "10m", Note: "for the last pod only, and begins after window and scale-down-delay"}
	ProgressDeadline = &Parameter{Group: Autoscale, Name: "progress-deadline", Seed: "progress_deadline", Type: deadlineType, Lands: "annotation serving.knative.dev/progress-deadline on the template; progressDeadlineSeconds of a Deployment that stays one", Default: "10m, or what launch-timeout asks for", Note: "a revision whose pods are not ready by then fails, and the Knative Service says why; its pods go a minute or two later"}
	Port             = &Parameter{Group: Autoscale, Name: "port", Type: portType, Lands: "the port of the Knative Service made from a Deployment", Default: "the port that serves requests, where it is clear", NoDefault: true}
	ServiceName      = &Parameter{Group: Autoscale, Name: "service-name", Type: dns1035Type, Lands: "the name of the Knative Service made from a Deployment", Default: "the Deployment's name", NoDefault: true}

	CPUs               = &Parameter{Group: Compute, Name: "cpus", Seed: "cpus", Type: coresType, Lands: "resources.requests.cpu of the serving container"}
	Memory             = &Parameter{Group: Compute, Name: "memory", Seed: "memory", Type: bytesType, Lands: "resources.requests.memory of the serving container"}
	DiskSize           = &Parameter{Group: Compute, Name: "disk-size", Seed: "disk_size", Type: bytesType, Lands: "resources.requests.ephemeral-storage of the serving container"}
	GPUs               = &Parameter{Group: Compute, Name: "gpus", Seed: "gpus", Type: countType, Lands: "requests and limits of nvidia.com/gpu, or of the policy's first GPU resource; GPU tolerations where the cluster allows them; nowhere if another container of the pod asks for as many"}
	GPUType            = &Parameter{Group: Compute, Name: "gpu-type", Seed: "gpu_type", Type: gpuTypeType, Lands: "nodeSelector nvidia.com/gpu.product, or the label that the value names", Note: "a product alone stands for the label of its vendor's feature discovery: nvidia.com/gpu.product, amd.com/gpu.product-name or gpu.intel.com/product; for products of others name the label too"}
	GPUAntiAffinity    = &Parameter{Group: Compute, Name: "gpu-anti-affinity", Seed: "gpu_anti_affinity", Type: trueType, Lands: "a required node affinity away from nodes with GPUs, where the cluster allows affinity"}
	GPUMemory          = &Parameter{Group: Compute, Name: "gpu-memory", Seed: "gpu_memory", Type: bytesType, Lands: "annotation gpu-memory on the template; one GPU if none was asked for"}
	SharedMemoryLimit  = &Parameter{Group: Compute, Name: "shared-memory-limit", Seed: "shared_memory_limit", Type: bytesType, Lands: "a memory emptyDir of that size on /dev/shm"}
	PriorityClassName  = &Parameter{Group: Compute, Name: "priority-class-name", Seed: "priority_class_name", Type: subdomainType, Lands: "spec.template.spec.priorityClassName"}
	QueueName          = &Parameter{Group: Compute, Name: "queue-name", Seed: "queue_name", Type: labelType, Lands: "label kueue.x-k8s.io/queue-name on the template, where that of the object itself lands too"}
	ServiceAccountName = &Parameter{Group: Compute, Name: "service-account-name", Seed: "service_account_name", Type: subdomainType, Lands: "spec.template.spec.serviceAccountName"}
	LaunchTimeout      = &Parameter{Group: Compute, Name: "launch-timeout", Seed: "launch_timeout", Type: launchType, Lands: "progress-deadline, if none is given: the larger of t+60s and 1.2t, at least 10m"}
	InactivityTTL      = &Parameter{Group: Compute, Name: "inactivity-ttl", Seed: "inactivity_ttl", Type: ttlType, Lands: "annotation kubetorch.com/inactivity-ttl on the object"}
	Distribute         = &Parameter{Group: Compute, Name: "distribute", Seed: "distribute", Type: textType, Lands: "nowhere: refused together with autoscale", NoDefault: true}
)

// Table lists every parameter, in the order of the documentation.
var Table = []*Parameter{
	AutoscalerClass, Metric, Target, Utilization, MinScale, MaxScale, InitialScale, Concurrency,
	Window, ScaleDownDelay, Retention, ProgressDeadline, Port, ServiceName,
	CPUs, Memory, DiskSize, GPUs, GPUType, GPUAntiAffinity, GPUMemory, SharedMemoryLimit, PriorityClassName,
	QueueName, ServiceAccountName, LaunchTimeout, InactivityTTL, Distribute,
}
