package install

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// inGroups is a client that acts as a user of some groups.
func inGroups(t *testing.T, user string, groups ...string) dynamic.Interface {
	t.Helper()
	config := cluster.RESTConfig()
	config.WarningHandler = rest.NoWarnings{}
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:authenticated")}
	c, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	return c
}

// TestViewersReadPoliciesAndBudgetsAndWriteNone: the group of the chart's value, bound to the shipped role. Who
// may edit in a namespace, or in all, reaches neither kind, and nor does anybody else.
func TestViewersReadPoliciesAndBudgetsAndWriteNone(t *testing.T) {
	installed(t)
	ns := newNamespace(t)
	named := storePolicy(t, ns, "{maxScale: {max: 4}}") // and a budget of the same name
	harness.NewBudget(t, client, named, harness.Named(ns), "  max: 8")
	upgrade := func(group string) {
		t.Helper()
		helm(t, "upgrade", release, chart(), "--namespace", namespace, "--reuse-values", "--force-conflicts", "--set", "viewers.group="+group) // with the port of this machine
		require.NoError(t, hook.Redirect(t.Context()))
	}
	upgrade("developers")
	defer upgrade("")
	store(t, roleBindings, ns, `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: editors}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: editor}]}`)
	store(t, clusterRoleBindings, "", `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: e2e-editors}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: editor-of-all}]}`)
	remove(t, clusterRoleBindings, "e2e-editors")

	editor := inGroups(t, "editor")
	harness.Eventually(t, "the right to edit", func() bool {
		_, err := editor.Resource(deployments).Namespace(ns).Create(t.Context(), parse(deployment("edited", "")), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil
	})
	viewer := inGroups(t, "viewer", "developers")
	harness.Eventually(t, "the right to read", func() bool {
		_, err := viewer.Resource(budgets).List(t.Context(), metav1.ListOptions{})
		return err == nil
	})
	for what, c := range map[string]struct {
		client dynamic.Interface
		reads  bool
	}{
		"a user of the group":        {viewer, true},
		"a user of another group":    {inGroups(t, "viewer", "developers-of-others"), false},
		"an editor of a namespace":   {editor, false},
		"an editor of all":           {inGroups(t, "editor-of-all"), false},
		"a user of both":             {inGroups(t, "editor", "developers"), true},
		"a service account of a pod": {inGroups(t, "system:serviceaccount:"+ns+":default", "system:serviceaccounts", "system:serviceaccounts:"+ns), false},
	} {
		t.Run(what, func(t *testing.T) {
			for _, gvr := range []schema.GroupVersionResource{policies, budgets} {
				for verb, try := range readsOf(c.client.Resource(gvr), named) {
					err := try(t.Context())
					if c.reads {
						assert.NoError(t, err, "%s %s", verb, gvr.Resource)
					} else {
						assert.True(t, apierrors.IsForbidden(err), "%s %s: %v", verb, gvr.Resource, err)
					}
				}
				for verb, try := range writesOf(c.client.Resource(gvr), named) {
					err := try(t.Context())
					assert.True(t, apierrors.IsForbidden(err), "%s %s: %v", verb, gvr.Resource, err)
					assert.ErrorContains(t, err, fmt.Sprintf("cannot %s resource", verb))
				}
			}
		})
	}
}

func readsOf(resource dynamic.ResourceInterface, name string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"get": func(ctx context.Context) error {
			_, err := resource.Get(ctx, name, metav1.GetOptions{})
			return err
		},
		"list": func(ctx context.Context) error {
			_, err := resource.List(ctx, metav1.ListOptions{})
			return err
		},
		"watch": func(ctx context.Context) error {
			w, err := resource.Watch(ctx, metav1.ListOptions{})
			if err == nil {
				w.Stop()
			}
			return err
		},
	}
}

// writesOf are dry runs, by their verbs: who may do one of them changes nothing here.
func writesOf(resource dynamic.ResourceInterface, name string) map[string]func(context.Context) error {
	dry := []string{metav1.DryRunAll}
	return map[string]func(context.Context) error{
		"create": func(ctx context.Context) error {
			_, err := resource.Create(ctx, parse(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: made}, spec: {max: 1}}`), metav1.CreateOptions{DryRun: dry})
			return err
		},
		"patch": func(ctx context.Context) error {
			_, err := resource.Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"priority":1}}`), metav1.PatchOptions{DryRun: dry})
			return err
		},
		"update": func(ctx context.Context) error { // of the status, which is a ledger
			_, err := resource.UpdateStatus(ctx, parse(fmt.Sprintf(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: %s}}`, name)), metav1.UpdateOptions{DryRun: dry})
			return err
		},
		"delete": func(ctx context.Context) error {
			return resource.Delete(ctx, name, metav1.DeleteOptions{DryRun: dry})
		},
		"deletecollection": func(ctx context.Context) error {
			return resource.DeleteCollection(ctx, metav1.DeleteOptions{DryRun: dry}, metav1.ListOptions{LabelSelector: "nobody=has"})
		},
	}
}
