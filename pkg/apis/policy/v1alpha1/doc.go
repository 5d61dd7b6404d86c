// Package v1alpha1 holds the cluster policy API: what a platform team sets for
// every workload that kubetorch-webhook admits.
//
// +kubebuilder:object:generate=true
// +groupName=policy.kubetorch.com
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of this package.
var GroupVersion = schema.GroupVersion{Group: "policy.kubetorch.com", Version: "v1alpha1"}

// AddToScheme registers the types of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &ComputePolicy{}, &ComputePolicyList{}, &GPUBudget{}, &GPUBudgetList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
