package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/pager"

	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/cmd/options"
	"github.com/kubetorch/webhook/pkg/diagnose"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// traced are the kinds that a tree may have in it.
var traced = []schema.GroupVersionResource{cluster.Services, cluster.Configurations, cluster.Routes, cluster.Revisions, cluster.PodAutoscalers, cluster.Deployments,
	cluster.ReplicaSets, cluster.Pods}

func newTrace() *cobra.Command {
	var o options.Diagnose
	c := &cobra.Command{
		Use:   "trace KIND/NAME",
		Short: "Show what there is of a workload of a cluster, down to its pods, with claims, budgets and conditions",
		Long: `Show the tree of a Deployment or a Knative Service: the objects that were made from it, by
their owners' UIDs, each with the GPUs that it claims and whether it is well, and the budgets that it
is charged to. It uses the rights of the kubeconfig: list in the workload's namespace, and as audit does.

The exit code is 2 if the workload or the cluster cannot be read.`,
		Example: `  kubetorch-webhook trace ksvc/inference -n ml`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.Complete(args).ToAggregate(); err != nil {
				return err
			}
			return runTrace(c.Context(), &o, c.OutOrStdout())
		},
	}
	o.AddFlags(c.Flags(), false)
	return c
}

func runTrace(ctx context.Context, o *options.Diagnose, out io.Writer) error {
	s, err := readState(ctx, o)
	if err != nil {
		return err
	}
	root, err := s.live(ctx, o.Kind, o.Namespace, o.Name)
	if err != nil {
		return fmt.Errorf("reading %s/%s: %w", o.Kind, o.Name, err)
	}
	var objects []manifest.Object
	for _, kind := range traced {
		listed, err := listAll(ctx, s.client, kind, o.Namespace)
		if err != nil {
			return fmt.Errorf("listing %s: %w", kind.Resource, err)
		}
		objects = append(objects, listed...)
	}
	tree := diagnose.Tree(root, objects, s.input.Knative, s.input.GPUResources())
	budgets := chargedTo(tree, o.Namespace, s.uses)
	if o.Output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return Failed(encoder.Encode(struct {
			*diagnose.Node
			Budgets []charged `json:"budgets"`
		}{tree, budgets}))
	}
	if err := tree.Write(out); err != nil {
		return Failed(err)
	}
	for _, c := range budgets {
		fmt.Fprintf(out, "\nBudget %s: %s %s holds %d of %d GPUs", c.Budget, c.Kind, c.Name, c.GPUs, c.Of)
	}
	if len(budgets) > 0 {
		fmt.Fprintln(out)
	}
	return nil
}

// charged is what an object of the tree holds of a budget.
type charged struct {
	Budget string `json:"budget"`
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	GPUs   int64  `json:"gpus"`
	Of     int64  `json:"of"`
}

// chargedTo are the budgets that objects of a tree are charged to.
func chargedTo(tree *diagnose.Node, namespace string, uses []audit.BudgetUse) []charged {
	in := map[[2]string]bool{}
	var walk func(n *diagnose.Node)
	walk = func(n *diagnose.Node) {
		in[[2]string{n.Kind, n.Name}] = true
		for _, c := range n.Children {
			walk(c)
		}
	}
	walk(tree)
	all := []charged{}
	for _, u := range uses {
		for _, h := range u.Holders {
			if h.Namespace == namespace && in[[2]string{h.Kind, h.Name}] {
				all = append(all, charged{u.Name, h.Kind, h.Name, h.GPUs, u.Max})
			}
		}
	}
	return all
}

// listAll lists a kind in a namespace; a kind that is not served has no objects.
func listAll(ctx context.Context, client dynamic.Interface, kind schema.GroupVersionResource, namespace string) ([]manifest.Object, error) {
	var all []manifest.Object
	p := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return client.Resource(kind).Namespace(namespace).List(ctx, o)
	})
	err := p.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
		if u, ok := o.(*unstructured.Unstructured); ok {
			all = append(all, u.Object)
		}
		return nil
	})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return all, err
}
