package review

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// readClaims reads the ResourceClaimTemplates and the ResourceClaims of the request's namespace, once, if
// any of some objects has pods with resource claims. Both are read as they are stored: a verdict by a
// template of a moment ago would admit what the template of now does not.
func (r *Request) readClaims(ctx context.Context, w World, in inNamespace, objects ...manifest.Object) error {
	if r.gpus.Claims() != nil || !slices.ContainsFunc(objects, workload.NamesClaims) {
		return nil
	}
	return r.readAllClaims(ctx, w, in)
}

// readAllClaims reads them whatever the objects are.
func (r *Request) readAllClaims(ctx context.Context, w World, in inNamespace) error {
	templates, err := in.List(ctx, workload.ResourceClaimTemplateKind, in.namespace, labels.Everything())
	if err != nil {
		return err
	}
	claims, err := in.List(ctx, workload.ResourceClaimKind, in.namespace, labels.Everything())
	if err != nil {
		return err
	}
	r.countBy(w, workload.NewClaims(templates, claims))
	return nil
}

// countBy counts resource claims too.
func (r *Request) countBy(w World, claims *workload.ClaimIndex) {
	claims.AdminAccess = func(namespace string) bool { return adminAccess(w, namespace) }
	claims.Assume = w.Documents || w.Cluster == nil
	selected := r.selection(w).WithClaims(claims, r.raw.Namespace)
	r.selected, r.gpus = &selected, selected.GPUResources()
}

func adminAccess(w World, namespace string) bool {
	if w.NamespaceLabels == nil {
		return false
	}
	set, _ := w.NamespaceLabels(namespace)
	return workload.AdminAccess(set)
}
