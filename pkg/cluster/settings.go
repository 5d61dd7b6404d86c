package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// ComputePolicies are the policies of the cluster.
var ComputePolicies = Resource{Group: "policy.kubetorch.com", Version: "v1alpha1", Resource: "computepolicies"}

var configMaps = Resource{Version: "v1", Resource: "configmaps"}

// Policies reads all ComputePolicies as they are stored. It is an error if the API server
// does not serve them.
func Policies(ctx context.Context, source Source) ([]manifest.Object, error) {
	var policies []manifest.Object
	r := &reading{source: source}
	err := r.list(ctx, ComputePolicies, func() { policies = nil }, func(raw []byte) error {
		o, err := decode(raw)
		delete(manifest.Map(o, "metadata"), "managedFields")
		policies = append(policies, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	return policies, nil
}

// Knative reads how Knative is configured in a namespace. What is not there is Knative's
// default.
func Knative(ctx context.Context, client dynamic.Interface, namespace string) (*knative.Config, error) {
	get := func(kind Resource, name string) (manifest.Object, error) {
		o, err := client.Resource(kind).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("reading %s %s/%s: %w", kind.Resource, namespace, name, err)
		}
		return o.Object, nil
	}
	data, labels := map[string]map[string]string{}, map[string]string{}
	for _, name := range knative.ConfigMaps {
		o, err := get(configMaps, name)
		if err != nil {
			return nil, err
		}
		data[name] = manifest.Texts(o, "data")
		if o != nil && (name == knative.FeaturesConfig || len(labels) == 0) {
			labels = manifest.Texts(o, "metadata", "labels")
		}
	}
	config, err := knative.ParseConfig(data)
	if err != nil {
		return nil, err
	}
	hpa, err := get(Deployments, knative.HPADeploymentName)
	return config.OfRelease(labels).WithHPA(hpa != nil), err
}
