package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/audit/openreports"
	"github.com/kubetorch/webhook/pkg/manifest"
)

var clusterReports = schema.GroupVersionResource{Group: openreports.Group, Version: openreports.Version, Resource: openreports.Resource}

// report keeps a ClusterReport for each policy, and takes away those of policies that are gone.
// Where the API server serves no ClusterReports nothing is done.
func (a *Auditor) report(ctx context.Context, now time.Time, found audit.Report) error {
	if !a.OpenReports {
		return nil
	}
	client := a.Client.Resource(clusterReports)
	listed, err := client.List(ctx, metav1.ListOptions{LabelSelector: openreports.ManagedByLabel + "=" + openreports.Source})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing ClusterReports: %w", err)
	}
	stored := map[string]*unstructured.Unstructured{}
	for i := range listed.Items {
		stored[listed.Items[i].GetName()] = &listed.Items[i]
	}
	var failed []error
	for _, report := range openreports.Reports(found, nil, now) {
		name := manifest.Text(report, "metadata", "name")
		before := stored[name]
		delete(stored, name)
		if before != nil && openreports.Same(before.Object, report) {
			continue
		}
		var err error
		if o := (&unstructured.Unstructured{Object: report}); before == nil {
			_, err = client.Create(ctx, o, metav1.CreateOptions{})
		} else {
			o.SetResourceVersion(before.GetResourceVersion())
			_, err = client.Update(ctx, o, metav1.UpdateOptions{})
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("writing ClusterReport %s: %w", name, err))
		}
	}
	for name := range stored {
		if err := client.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			failed = append(failed, fmt.Errorf("deleting ClusterReport %s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}
