package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Enforcement says what happens to a workload that breaks a bound.
//
// +kubebuilder:validation:Enum=Deny;Clamp;Warn;Audit
type Enforcement string

const (
	// Deny refuses the workload.
	Deny Enforcement = "Deny"
	// Clamp lowers the value to the bound, with a warning. It exists for the
	// maximum of numbers, quantities and durations; what cannot be lowered is refused.
	Clamp Enforcement = "Clamp"
	// Warn admits the workload with a warning.
	Warn Enforcement = "Warn"
	// Audit admits the workload and counts the violation.
	Audit Enforcement = "Audit"
)

// ComputePolicy sets defaults, profiles and bounds for the workloads that it selects.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=kubetorch,shortName=cpol
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Enforcement",type=string,JSONPath=`.status.enforcement`
// +kubebuilder:printcolumn:name="Violations",type=integer,JSONPath=`.status.violations.total`
// +kubebuilder:printcolumn:name="Advisory",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Advisory")].status`
// +kubebuilder:printcolumn:name="Priority",type=integer,priority=1,JSONPath=`.spec.priority`
// +kubebuilder:printcolumn:name="Max scale",type=integer,priority=1,JSONPath=`.spec.bounds.maxScale.max`
// +kubebuilder:printcolumn:name="GPUs per workload",type=integer,priority=1,JSONPath=`.spec.bounds.gpusPerWorkload.max`
// +kubebuilder:printcolumn:name="Checked",type=date,priority=1,JSONPath=`.status.checked`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ComputePolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:default={}
	Spec ComputePolicySpec `json:"spec,omitempty"`
	// +optional
	Status ComputePolicyStatus `json:"status,omitempty"`
}

// ComputePolicyList is a list of ComputePolicy.
//
// +kubebuilder:object:root=true
type ComputePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ComputePolicy `json:"items"`
}

// ComputePolicySpec is what a ComputePolicy sets.
type ComputePolicySpec struct {
	// Priority orders the policies that select one workload: for defaults, and for
	// profiles of one name, the higher priority wins; equal ones go by name.
	// Bounds of all of them hold.
	// +optional
	Priority int32 `json:"priority,omitempty"`

	// NamespaceSelector selects namespaces by their labels; empty selects all.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// WorkloadSelector selects workloads by their labels; empty selects all. Whoever
	// writes the workload also writes its labels, so bounds behind it are advisory.
	// +optional
	WorkloadSelector *metav1.LabelSelector `json:"workloadSelector,omitempty"`

	// Enforcement holds for every bound that names none of its own.
	// +kubebuilder:default=Deny
	// +optional
	Enforcement Enforcement `json:"enforcement,omitempty"`

	// Defaults apply to labelled workloads that leave a parameter out.
	// +optional
	Defaults *Settings `json:"defaults,omitempty"`

	// Profiles are named sets of defaults, chosen by the value of the labels
	// kubetorch.com/autoscale and kubetorch.com/compute.
	// +optional
	Profiles *Profiles `json:"profiles,omitempty"`

	// Bounds hold for every Knative Service, labelled or not.
	// +optional
	Bounds *Bounds `json:"bounds,omitempty"`

	// GPUResources are the resource names that count as GPUs beside the built-in
	// list: a name, or an object with a name and how many GPUs one of it stands for,
	// such as {name: nvidia.com/mig-1g.10gb, gpus: "1/7"}; 1 if it is left out. A
	// trailing * matches any suffix. The first one without a * is what the parameter
	// gpus asks for.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	GPUResources []GPUResource `json:"gpuResources,omitempty"`

	// NotGPUResources are resource names that say something of a GPU, or nothing at
	// all, and count as no GPUs. A trailing * matches any suffix.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=316
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/([A-Za-z0-9][-A-Za-z0-9_.]*\*?|\*)$`
	// +optional
	NotGPUResources []string `json:"notGPUResources,omitempty"`

	// GPUDeviceClasses are DeviceClasses of dynamic resource allocation whose devices
	// are GPUs, beside the built-in ones. A trailing * matches any suffix.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9][-a-z0-9.]*([a-z0-9]|\*)?$`
	// +optional
	GPUDeviceClasses []string `json:"gpuDeviceClasses,omitempty"`

	// NotGPUDeviceClasses are DeviceClasses whose devices are not GPUs. A trailing *
	// matches any suffix.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9][-a-z0-9.]*([a-z0-9]|\*)?$`
	// +optional
	NotGPUDeviceClasses []string `json:"notGPUDeviceClasses,omitempty"`

	// Exempt lists who and what the bounds do not stop.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Exempt []Exemption `json:"exempt,omitempty"`
}

// Settings are parameters under the camelCase form of their keys.
type Settings struct {
	// +optional
	Autoscale *AutoscaleSettings `json:"autoscale,omitempty"`
	// +optional
	Compute *ComputeSettings `json:"compute,omitempty"`
}

// Profiles are named settings.
type Profiles struct {
	// Autoscale are profiles of autoscaling, chosen by the label kubetorch.com/autoscale.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Autoscale []AutoscaleProfile `json:"autoscale,omitempty"`
	// Compute are profiles of resources, chosen by the label kubetorch.com/compute.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Compute []ComputeProfile `json:"compute,omitempty"`
}

// ProfileName is a label value that names a profile.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
// +kubebuilder:validation:XValidation:rule="!(self in ['true','false'])",message="a profile may not be called true or false"
type ProfileName string

// AutoscaleProfile is chosen by the label kubetorch.com/autoscale: <name>.
type AutoscaleProfile struct {
	Name              ProfileName `json:"name"`
	AutoscaleSettings `json:",inline"`
}

// ComputeProfile is chosen by the label kubetorch.com/compute: <name>.
type ComputeProfile struct {
	Name            ProfileName `json:"name"`
	ComputeSettings `json:",inline"`
}

// AutoscaleSettings are the parameters under autoscale.kubetorch.com/.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minScale) || !has(self.maxScale) || self.minScale <= self.maxScale",message="minScale may not be above maxScale"
// +kubebuilder:validation:XValidation:rule="!has(self.initialScale) || !has(self.maxScale) || self.initialScale <= self.maxScale",message="initialScale may not be above maxScale"
type AutoscaleSettings struct {
	// AutoscalerClass is Knative's autoscaler: kpa by requests, hpa by CPU, memory or a pod metric.
	// +kubebuilder:validation:Enum=kpa;hpa;kpa.autoscaling.knative.dev;hpa.autoscaling.knative.dev
	// +optional
	AutoscalerClass *string `json:"autoscalerClass,omitempty"`
	// Metric is what is scaled by: concurrency or rps with kpa; cpu, memory or a pod metric with hpa.
	// +kubebuilder:validation:MinLength=1
	// +optional
	Metric *string `json:"metric,omitempty"`
	// Target is how much of the metric one pod is to have.
	// +kubebuilder:validation:XIntOrString
	// +optional
	Target *intstr.IntOrString `json:"target,omitempty"`
	// TargetUtilization is the percentage of the target that is aimed at, 1 to 100; kpa only.
	// +kubebuilder:validation:XIntOrString
	// +optional
	TargetUtilization *intstr.IntOrString `json:"targetUtilization,omitempty"`
	// MinScale is the number of pods that never go away.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinScale *int32 `json:"minScale,omitempty"`
	// MaxScale is the largest number of pods.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MaxScale *int32 `json:"maxScale,omitempty"`
	// InitialScale is the number of pods that a new revision starts with.
	// +kubebuilder:validation:Minimum=0
	// +optional
	InitialScale *int32 `json:"initialScale,omitempty"`
	// Concurrency is how many requests one pod gets at the same time.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Concurrency *int32 `json:"concurrency,omitempty"`
	// +optional
	Window *Duration `json:"window,omitempty"`
	// +optional
	ScaleDownDelay *Duration `json:"scaleDownDelay,omitempty"`
	// +optional
	ScaleToZeroPodRetentionPeriod *Duration `json:"scaleToZeroPodRetentionPeriod,omitempty"`
	// +optional
	ProgressDeadline *Duration `json:"progressDeadline,omitempty"`
}

// ComputeSettings are the parameters under compute.kubetorch.com/.
type ComputeSettings struct {
	// CPUs are requested for the serving container: cores, or millicores such as 500m.
	// +kubebuilder:validation:XIntOrString
	// +optional
	CPUs *intstr.IntOrString `json:"cpus,omitempty"`
	// Memory is requested for the serving container, in bytes, such as 16Gi.
	// +kubebuilder:validation:XIntOrString
	// +optional
	Memory *intstr.IntOrString `json:"memory,omitempty"`
	// DiskSize is the ephemeral storage that is requested, in bytes, such as 100Gi.
	// +kubebuilder:validation:XIntOrString
	// +optional
	DiskSize *intstr.IntOrString `json:"diskSize,omitempty"`
	// GPUs are requested for, and the limit of, the serving container: whole GPUs.
	// +kubebuilder:validation:Minimum=0
	// +optional
	GPUs *int32 `json:"gpus,omitempty"`
	// GPUType pins pods to nodes with one type of GPU, by its vendor's label, such as NVIDIA-L4.
	// +kubebuilder:validation:MinLength=1
	// +optional
	GPUType *string `json:"gpuType,omitempty"`
	// GPUAntiAffinity keeps pods off nodes with GPUs.
	// +optional
	GPUAntiAffinity *bool `json:"gpuAntiAffinity,omitempty"`
	// GPUMemory is the memory of a GPU that is needed, in bytes; it asks for one GPU if none is.
	// +kubebuilder:validation:XIntOrString
	// +optional
	GPUMemory *intstr.IntOrString `json:"gpuMemory,omitempty"`
	// SharedMemoryLimit is the size of /dev/shm, in bytes.
	// +kubebuilder:validation:XIntOrString
	// +optional
	SharedMemoryLimit *intstr.IntOrString `json:"sharedMemoryLimit,omitempty"`
	// PriorityClassName is the priority class of the pods.
	// +kubebuilder:validation:MinLength=1
	// +optional
	PriorityClassName *string `json:"priorityClassName,omitempty"`
	// QueueName is Kueue's queue.
	// +kubebuilder:validation:MinLength=1
	// +optional
	QueueName *string `json:"queueName,omitempty"`
	// ServiceAccountName is the service account of the pods.
	// +kubebuilder:validation:MinLength=1
	// +optional
	ServiceAccountName *string `json:"serviceAccountName,omitempty"`
	// LaunchTimeout is a duration such as 15m, or a number of whole seconds.
	// +kubebuilder:validation:XIntOrString
	// +optional
	LaunchTimeout *intstr.IntOrString `json:"launchTimeout,omitempty"`
	// +optional
	InactivityTTL *TimeToLive `json:"inactivityTtl,omitempty"`
}

// Duration is a length of time as Go's time.ParseDuration reads it, such as 90s or 10m.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]+$') ? self == '0' : self.matches('^([0-9]+([.][0-9]*)?(h|m|s|ms|us|ns))+$')",message="must be a duration such as 90s or 10m"
type Duration string

// TimeToLive is a Duration, or whole days such as 1d.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+d|([0-9]+([.][0-9]*)?(h|m|s|ms|us|ns))+)$')",message="must be a duration such as 90s or 10m, or days such as 1d"
type TimeToLive string

// Exemption names workloads that bounds do not stop. The fields of one entry all
// have to match, an empty field matches anything, and an entry without any field
// is invalid. What is exempt still counts as used.
//
// +kubebuilder:validation:XValidation:rule="(has(self.namespaces) && size(self.namespaces) > 0) || (has(self.users) && size(self.users) > 0) || (has(self.groups) && size(self.groups) > 0) || (has(self.serviceAccounts) && size(self.serviceAccounts) > 0)",message="an exemption names at least one namespace, user, group or service account"
type Exemption struct {
	// Namespaces of the workload.
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`
	// Users by name.
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Users []string `json:"users,omitempty"`
	// Groups of which the user is in at least one.
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Groups []string `json:"groups,omitempty"`
	// ServiceAccounts as namespace/name.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:Pattern=`^[^/]+/[^/]+$`
	// +kubebuilder:validation:items:MaxLength=318
	// +optional
	ServiceAccounts []string `json:"serviceAccounts,omitempty"`

	// Until is when the exemption ends: from then on the bounds hold again. What it let in
	// stays, and may not grow. Absent is without end.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
	// Reason is why there is the exemption, for people.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Reason string `json:"reason,omitempty"`
}
