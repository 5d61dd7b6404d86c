package app

import (
	"context"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/budget/usage"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// templateUsers counts what the objects of a namespace hold without a ResourceClaimTemplate, and with it,
// as the count of a whole cluster does.
func (e *requestHandler) templateUsers(ctx context.Context, r *review.Request, w review.World) (review.TemplateUsers, error) {
	var users review.TemplateUsers
	objects, err := e.inventory(ctx, r.Namespace(), w.Policies.Operators())
	if err != nil {
		return users, err
	}
	if w.NamespaceLabels != nil {
		set, _ := w.NamespaceLabels(r.Namespace())
		objects.Namespaces = map[string]map[string]string{r.Namespace(): set}
	}
	users.Objects = claimants(objects)
	users.Before = objects.Claims()
	before := usage.All(w, objects)

	template := stated(r.Object(), r.Namespace())
	others := slices.DeleteFunc(slices.Clone(objects.ResourceClaimTemplates), func(i cluster.Item) bool {
		return i.Name == manifest.Text(template, "metadata", "name")
	})
	objects.ResourceClaimTemplates = slices.Concat(others, []cluster.Item{cluster.Of(template)})
	users.After = objects.Claims()
	held := map[ledger.Key][]workload.Part{}
	for _, c := range before {
		held[c.Key] = append(held[c.Key], c.Parts...)
	}
	for _, c := range usage.All(w, objects) {
		holder := review.TemplateHolder{Key: c.Key, Kind: c.Kind, Name: c.Name, Before: held[c.Key], After: c.Parts}
		users.Holders = append(users.Holders, holder)
	}
	return users, nil
}

// operatedAtOnce bounds how many operators' kinds are read at the same time.
const operatedAtOnce = 8

// inventory reads all objects of a namespace that may have resource claims, as they are stored: those of
// operators' kinds that the cluster serves, before what is made of them.
func (e *requestHandler) inventory(ctx context.Context, namespace string, operators workload.Operators) (*cluster.Objects, error) {
	o := &cluster.Objects{}
	operated := make([][]manifest.Object, len(operators.Kinds))
	group, all := errgroup.WithContext(ctx)
	group.SetLimit(operatedAtOnce)
	for i := range operators.Kinds {
		group.Go(func() (err error) {
			operated[i], err = e.reader.List(all, operators.Kinds[i].GroupKind(), namespace, labels.Everything())
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	o.Operated = cluster.AllOf(slices.Concat(operated...))
	kinds := []schema.GroupKind{workload.ResourceClaimTemplateKind, workload.HorizontalPodAutoscalerKind}
	for _, k := range workload.Kinds() {
		if k.GroupKind != workload.PodKind {
			kinds = append(kinds, k.GroupKind)
		}
	}
	for _, kind := range append(kinds, workload.ResourceClaimKind, workload.PodKind) {
		listed, err := e.reader.List(ctx, kind, namespace, labels.Everything())
		if err != nil {
			return nil, err
		}
		*o.Of(kind) = cluster.AllOf(listed)
	}
	return o, nil
}

// claimants are the objects whose pods have resource claims, each by itself: whose an object says that it is
// does not tell that it asks for no more than that. An earlier ReplicaSet of a Deployment without pods, what is
// finished and pods that have ended get no claims any more.
func claimants(o *cluster.Objects) (found []manifest.Object) {
	lists := [][]cluster.Item{o.Operated}
	for _, k := range workload.Kinds() {
		lists = append(lists, *o.Of(k.GroupKind))
	}
	for _, items := range lists {
		for i := range items {
			object := items[i].Object()
			ref, _ := workload.Owner(object)
			earlier := ref.GroupKind == workload.DeploymentKind && workload.Replicas(object) == 0
			if workload.NamesClaims(object) && !workload.Over(object) && !earlier {
				found = append(found, object)
			}
		}
	}
	return found
}

// stated is an object that says in which namespace it is.
func stated(o manifest.Object, namespace string) manifest.Object {
	metadata := manifest.Object{}
	maps.Copy(metadata, manifest.Map(o, "metadata"))
	metadata["namespace"] = namespace
	copied := manifest.Object{}
	maps.Copy(copied, o)
	copied["metadata"] = metadata
	return copied
}
