package v1alpha1

import "k8s.io/apimachinery/pkg/util/intstr"

// Bounds are limits on what one workload may ask for. A bound that is not set does
// not hold; the strictest of several policies wins.
type Bounds struct {
	// MaxScale bounds the peak pods: the largest of max-scale, initial-scale and
	// min-scale. Unbounded scale breaks every bound.
	// +optional
	MaxScale *NumberBound `json:"maxScale,omitempty"`
	// MinScale bounds min-scale, the pods that never go away.
	// +optional
	MinScale *NumberBound `json:"minScale,omitempty"`
	// GPUsPerPod bounds the GPUs of one pod.
	// +optional
	GPUsPerPod *GPUCountBound `json:"gpusPerPod,omitempty"`
	// GPUsPerWorkload bounds GPUs per pod times peak pods.
	// +optional
	GPUsPerWorkload *NumberBound `json:"gpusPerWorkload,omitempty"`
	// CPUsPerPod bounds the CPU requests and limits of one pod.
	// +optional
	CPUsPerPod *QuantityBound `json:"cpusPerPod,omitempty"`
	// MemoryPerPod bounds the memory requests and limits of one pod.
	// +optional
	MemoryPerPod *QuantityBound `json:"memoryPerPod,omitempty"`
	// ScaleToZeroPodRetentionPeriod bounds how long the last pod is kept.
	// +optional
	ScaleToZeroPodRetentionPeriod *DurationBound `json:"scaleToZeroPodRetentionPeriod,omitempty"`
	// ScaleDownDelay bounds the delay before scaling down.
	// +optional
	ScaleDownDelay *DurationBound `json:"scaleDownDelay,omitempty"`
	// ProgressDeadline bounds how long a revision may take to become ready.
	// +optional
	ProgressDeadline *DurationBound `json:"progressDeadline,omitempty"`
	// GPUTypes are the GPU types that may be asked for. Globs are allowed.
	// +optional
	GPUTypes *NameBound `json:"gpuTypes,omitempty"`
	// AutoscalerClasses are the autoscaler classes that may be used.
	// +optional
	AutoscalerClasses *NameBound `json:"autoscalerClasses,omitempty"`
}

// NumberBound is an upper limit on a whole number.
type NumberBound struct {
	// Max is the largest number that may be asked for.
	// +kubebuilder:validation:Minimum=0
	// +required
	Max *int64 `json:"max"`
	// +optional
	Enforcement Enforcement `json:"enforcement,omitempty"`
}

// GPUCountBound limits a number of GPUs.
//
// +kubebuilder:validation:XValidation:rule="has(self.max) || (has(self.allowed) && size(self.allowed) > 0)",message="give max, allowed or both"
// +kubebuilder:validation:XValidation:rule="has(self.max) || !has(self.enforcement) || self.enforcement != 'Clamp'",message="only a max can be clamped"
type GPUCountBound struct {
	// Max is the largest number of GPUs that may be asked for.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Max *int64 `json:"max,omitempty"`
	// Allowed are the only numbers that may be asked for. They are never clamped.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:Minimum=0
	// +optional
	Allowed []int64 `json:"allowed,omitempty"`
	// +optional
	Enforcement Enforcement `json:"enforcement,omitempty"`
}

// QuantityBound is an upper limit on a Kubernetes quantity.
type QuantityBound struct {
	// Max is the largest quantity that may be asked for: cores such as 64 or 500m, bytes such as 16Gi.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == string ? isQuantity(self) && quantity(self).isGreaterThan(quantity('0')) : self > 0",message="must be a quantity above 0"
	Max intstr.IntOrString `json:"max"`
	// +optional
	Enforcement Enforcement `json:"enforcement,omitempty"`
}

// DurationBound is an upper limit on a length of time.
type DurationBound struct {
	// Max is the longest time that may be asked for, such as 10m.
	Max Duration `json:"max"`
	// +optional
	Enforcement Enforcement `json:"enforcement,omitempty"`
}

// NameBound lists the only names that may be used.
//
// +kubebuilder:validation:XValidation:rule="!has(self.enforcement) || self.enforcement != 'Clamp'",message="a list of names cannot be clamped"
type NameBound struct {
	// Allowed are the only names that may be used; *, ? and [a-z] match as in shell patterns.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Allowed []string `json:"allowed"`
	// +optional
	Enforcement Enforcement `json:"enforcement,omitempty"`
}
