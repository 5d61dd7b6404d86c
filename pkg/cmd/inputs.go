package cmd

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/cmd/options"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// readInputs reads from a cluster what no files were named for.
func readInputs(ctx context.Context, o *options.Expand, in *offline.Inputs) error {
	config, err := clusterConfig(o.Cluster)
	if err != nil {
		return err
	}
	config.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	if len(o.Policies) == 0 {
		if err := readPolicies(ctx, config, client, in); err != nil {
			return err
		}
	}
	if len(o.KnativeConfigs) == 0 {
		if in.Knative, err = cluster.Knative(ctx, client, o.KnativeNamespace); err != nil {
			return err
		}
	}
	if _, err := mapper.RESTMapping(review.ServiceKind); meta.IsNoMatchError(err) {
		in.NoKnative = true
	} else if err != nil {
		return fmt.Errorf("looking for Knative: %w", err)
	}
	if in.Classes, err = cluster.DeviceClasses(ctx, client); err != nil {
		return err
	}
	namespaces, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing Namespaces: %w", err)
	}
	in.Cluster = &offline.ClusterState{Namespaces: map[string]map[string]string{}}
	for i := range namespaces.Items {
		in.Cluster.Namespaces[namespaces.Items[i].GetName()] = namespaces.Items[i].GetLabels()
	}
	in.Cluster.UID = func(kind schema.GroupKind, namespace, name string) (string, error) {
		return uidOf(ctx, client, mapper, kind, namespace, name)
	}
	return nil
}

// readPolicies reads policies and budgets. One that is invalid is an error: what it would do is
// not known.
func readPolicies(ctx context.Context, config *rest.Config, client dynamic.Interface, in *offline.Inputs) error {
	source, err := cluster.NewSource(config, nil)
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	stored, err := cluster.Policies(ctx, source)
	if err != nil {
		return fmt.Errorf("reading the policies (is the webhook installed?): %w", err)
	}
	for _, o := range stored {
		var p v1alpha1.ComputePolicy
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o, &p); err != nil {
			if _, errs := policy.Decode(o); len(errs) > 0 {
				err = errs.ToAggregate()
			}
			return offline.Within("ComputePolicy "+manifest.Text(o, "metadata", "name"), err)
		}
		in.Policies = append(in.Policies, p)
	}
	in.Budgets, err = (&charge.API{Client: client, Bases: &charge.Bases{Client: client}}).Flat(ctx)
	return err
}

// uidOf is the UID of a stored object, empty if there is none.
func uidOf(ctx context.Context, client dynamic.Interface, mapper meta.RESTMapper, kind schema.GroupKind, namespace, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	mapping, err := mapper.RESTMapping(kind)
	if meta.IsNoMatchError(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for %s: %w", kind, err)
	}
	o, err := client.Resource(mapping.Resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading %s %s/%s: %w", kind.Kind, namespace, name, err)
	}
	return string(o.GetUID()), nil
}
