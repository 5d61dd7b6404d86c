// Package v1alpha1 holds the cluster policy API: what a platform team sets for
// every workload that kubetorch-webhook admits.
//
// +kubebuilder:object:generate=true
// +groupName=policy.kubetorch.com
package v1alpha1

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/scheme"
)

// GroupVersion is the API group and version of this package.
var GroupVersion = schema.GroupVersion{Group: "policy.kubetorch.com", Version: "v1alpha1"}

var schemeBuilder = &scheme.Builder{GroupVersion: GroupVersion}

// AddToScheme registers the types of this package.
var AddToScheme = schemeBuilder.AddToScheme

func init() {
	schemeBuilder.Register(&ComputePolicy{}, &ComputePolicyList{})
}
