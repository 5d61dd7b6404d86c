// Package cluster reads all objects of a cluster that policies and budgets are about.
package cluster

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/jsonscan"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Resource is a kind of objects, as the API server serves it.
type Resource = schema.GroupVersionResource

// The kinds there are to list.
var (
	Deployments    = workload.MustResource(workload.DeploymentKind)
	Services       = workload.MustResource(workload.ServiceKind)
	Configurations = workload.MustResource(workload.ConfigurationKind)
	Routes         = workload.MustResource(workload.RouteKind)
	Revisions      = workload.MustResource(workload.RevisionKind)
	PodAutoscalers = workload.MustResource(workload.PodAutoscalerKind)

	CronJobs               = workload.MustResource(workload.CronJobKind)
	Jobs                   = workload.MustResource(workload.JobKind)
	ReplicaSets            = workload.MustResource(workload.ReplicaSetKind)
	ReplicationControllers = workload.MustResource(workload.ReplicationControllerKind)
	StatefulSets           = workload.MustResource(workload.StatefulSetKind)
	DaemonSets             = workload.MustResource(workload.DaemonSetKind)
	Pods                   = workload.MustResource(workload.PodKind)

	HorizontalPodAutoscalers = workload.MustResource(workload.HorizontalPodAutoscalerKind)
	LimitRanges              = workload.MustResource(workload.LimitRangeKind)

	ResourceClaims         = workload.MustResource(workload.ResourceClaimKind)
	ResourceClaimTemplates = workload.MustResource(workload.ResourceClaimTemplateKind)

	namespaces = Resource{Version: "v1", Resource: "namespaces"}
)

// Objects are the objects of a cluster, by kind, as far as counts and audits look at them. Of those
// of Kubernetes' own kinds, Deployments apart, only the ones are kept whose pods ask for devices, or
// that such a pod belongs to.
type Objects struct {
	Deployments, Services, Configurations, Revisions, Routes, PodAutoscalers []Item

	CronJobs, Jobs, ReplicaSets, ReplicationControllers, StatefulSets, DaemonSets, Pods []Item

	HorizontalPodAutoscalers []Item
	// ResourceClaims, and the ResourceClaimTemplates that pods name.
	ResourceClaims, ResourceClaimTemplates []Item
	// LimitRanges are those that give devices to containers that ask for none.
	LimitRanges []Item
	// Operated are those of the kinds of operators.
	Operated []Item
	// Knative is whether the API server serves Knative Services, if they were asked for.
	Knative bool
	// Namespaces are the labels of all namespaces, by name.
	Namespaces map[string]map[string]string
}

// All are the objects of all kinds.
func (o *Objects) All() []Item {
	var all []Item
	for _, l := range o.lists() {
		all = append(all, *l.into...)
	}
	return append(all, o.Operated...)
}

// Of are the objects of one kind; nil for a kind that is not listed.
func (o *Objects) Of(kind schema.GroupKind) *[]Item {
	for _, l := range o.lists() {
		if kinds[l.kind].GroupKind == kind {
			return l.into
		}
	}
	return nil
}

// Claims are what resource claims of pods are counted by, for as long as the objects are used.
func (o *Objects) Claims() *workload.ClaimIndex {
	c := workload.NewClaims(objectsOf(o.ResourceClaimTemplates), objectsOf(o.ResourceClaims))
	c.AdminAccess = func(namespace string) bool { return workload.AdminAccess(o.Namespaces[namespace]) }
	return c
}

func objectsOf(items []Item) []manifest.Object {
	objects := make([]manifest.Object, len(items))
	for i := range items {
		objects[i] = items[i].Object()
	}
	return objects
}

// list is where the objects of a kind go.
type list struct {
	kind Resource
	into *[]Item
}

// lists are all kinds in the order in which they are read: see List.
func (o *Objects) lists() []list {
	return []list{
		{LimitRanges, &o.LimitRanges},
		{ResourceClaimTemplates, &o.ResourceClaimTemplates},
		{HorizontalPodAutoscalers, &o.HorizontalPodAutoscalers},
		{Deployments, &o.Deployments},
		{Services, &o.Services},
		{Configurations, &o.Configurations},
		{Routes, &o.Routes},
		{Revisions, &o.Revisions},
		{PodAutoscalers, &o.PodAutoscalers},
		{CronJobs, &o.CronJobs},
		{Jobs, &o.Jobs},
		{ReplicationControllers, &o.ReplicationControllers},
		{StatefulSets, &o.StatefulSets},
		{DaemonSets, &o.DaemonSets},
		{ReplicaSets, &o.ReplicaSets},
		{ResourceClaims, &o.ResourceClaims},
		{Pods, &o.Pods},
	}
}

// pageSize is how many objects one request asks for.
const pageSize = 500

// List reads all objects of the kinds, of all kinds and those of operators if none are named, and the
// labels of all namespaces. A kind that the API server does not serve has no objects; any other
// failure is an error, and then there is no result.
//
// Every kind is read as it is at one moment, not older than the call, but each at a moment
// of its own. Owners are read before their children. A count that leaves out a child because
// its owner, as listed, asks for as much is then never too low:
//   - a child that was made meanwhile belongs to an owner that was listed, or to one that
//     was made meanwhile too and is read then (see late), or counts by itself;
//   - an owner that was raised meanwhile has children that ask for more than it did when it
//     was listed, so that they count by themselves;
//   - a revision that a listed Service names was there before it, so that it is listed
//     too, or gone.
//
// Namespaces come first: an object is counted if its namespace was selected before it was
// listed.
//
// Deployments own Knative Services and belong to Revisions. They come first: a Deployment
// whose pods a Knative Service takes over meanwhile is listed with its pods. The other way
// round, a Deployment that gets its pods back meanwhile is an update that admission sees.
//
// ResourceClaims come before Pods: one that was made for a pod is listed with it, or counts by itself until
// it is gone too.
//
// Pods come last: whatever an owner was read to ask for, its pods are those of a later moment. A pod
// that its controller makes after that is within what its owner asked for then, or admission charged
// it.
//
// Objects of operators' kinds come before all others: what is made of them is listed later.
func List(ctx context.Context, source Source, kinds ...Resource) (*Objects, error) {
	return ListWith(ctx, source, workload.BuiltInOperators(), kinds...)
}

// ListWith reads as List does, with another table of the kinds of operators.
func ListWith(ctx context.Context, source Source, operators workload.Operators, kinds ...Resource) (*Objects, error) {
	r := &reading{source: source}
	o := &Objects{Namespaces: map[string]map[string]string{}}
	err := r.list(ctx, namespaces, func() { clear(o.Namespaces) }, func(raw []byte) error {
		text, _, ok := jsonscan.Prune(nil, raw, labeled)
		if !ok {
			text = raw
		}
		n, err := decode(text)
		if err == nil {
			o.Namespaces[manifest.Text(n, "metadata", "name")] = manifest.Texts(n, "metadata", "labels")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(kinds) == 0 {
		if o.Operated, err = r.operated(ctx, operators); err != nil {
			return nil, err
		}
	}
	for _, each := range o.lists() {
		if len(kinds) > 0 && !slices.Contains(kinds, each.kind) {
			continue
		}
		var err error
		*each.into, err = r.items(ctx, each.kind, false, func(*Item) bool { return true })
		switch {
		case err == nil:
			o.Knative = o.Knative || each.kind == Services
		case !apierrors.IsNotFound(err):
			return nil, err
		}
	}
	if err := r.late(ctx, o); err != nil {
		return nil, err
	}
	return o, nil
}

// late reads the owners that children name and that are not listed.
//
// Those that Kubernetes' own controllers work for were made after their kind was listed, or ask for no
// devices by themselves, though their pods have some, of a LimitRange or another webhook. Pods belong
// to them as they are now; whatever was raised meanwhile was charged meanwhile.
//
// Knative's were made meanwhile. Without them, whoever creates many Services sees their children
// counted a second time. Only those are taken that nobody has changed yet: an older template of
// theirs, or a revision that their traffic names, could have been missed.
func (r *reading) late(ctx context.Context, o *Objects) error {
	for _, l := range []list{{Jobs, &o.Jobs}, {ReplicationControllers, &o.ReplicationControllers},
		{StatefulSets, &o.StatefulSets}, {DaemonSets, &o.DaemonSets}, {ReplicaSets, &o.ReplicaSets}} {
		if _, err := r.missing(ctx, l, false, o.Pods); err != nil {
			return err
		}
	}
	deployments, err := r.missing(ctx, list{Deployments, &o.Deployments}, false, o.ReplicaSets)
	if err != nil {
		return err
	}
	if _, err := r.missing(ctx, list{Revisions, &o.Revisions}, true, o.PodAutoscalers, deployments); err != nil {
		return err
	}
	if _, err := r.missing(ctx, list{Configurations, &o.Configurations}, true, o.Revisions); err != nil {
		return err
	}
	_, err = r.missing(ctx, list{Services, &o.Services}, true, o.Configurations, o.Routes)
	return err
}

// missing reads the owners of one kind that children name and that are not listed, and adds them to
// the list; unchanged is whether only those are taken that nobody has changed since they were made.
func (r *reading) missing(ctx context.Context, l list, unchanged bool, children ...[]Item) ([]Item, error) {
	missing := map[string]bool{}
	for _, items := range children {
		for i := range items {
			child := &items[i]
			// Of a pod's owner, one kind of several is read.
			if child.Controller != "" && (child.kept != kinds[Pods] || child.controller == kinds[l.kind].GroupKind) {
				missing[child.Controller] = true
			}
		}
	}
	for i := range *l.into {
		delete(missing, (*l.into)[i].UID)
	}
	if len(missing) == 0 {
		return nil, nil
	}
	found, err := r.items(ctx, l.kind, true, func(owner *Item) bool {
		return missing[owner.UID] && (owner.generation == 1 || !unchanged)
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	*l.into = append(*l.into, found...)
	return found, nil
}

// items reads one kind, as far as they are wanted; those without devices only if all are.
func (r *reading) items(ctx context.Context, kind Resource, all bool, wanted func(*Item) bool) (items []Item, err error) {
	err = r.list(ctx, kind, func() { items = nil }, func(raw []byte) error {
		k := r.keptOf(kind)
		if !all && !r.concerns(raw, k) {
			return nil
		}
		i, err := r.item(raw, k)
		if err == nil && wanted(&i) {
			items = append(items, i)
		}
		if err == nil && r.most > 0 && r.taken > r.most {
			err = fmt.Errorf("%s hold more than %d MiB of what verdicts depend on, their labels included; delete some, or spread them over several namespaces",
				kind.GroupResource(), r.most>>20)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

// list reads one kind, page by page, and each object of a page as it comes. All are of the
// moment of the first page; again tells that they were not, and that all come once more.
func (r *reading) list(ctx context.Context, kind Resource, again func(), object func(raw []byte) error) error {
	options := metav1.ListOptions{Limit: pageSize} // no resourceVersion: not older than now
	for {
		next, err := r.page(ctx, kind, options, object)
		switch {
		case apierrors.IsResourceExpired(err) && options.Continue != "":
			// That moment is forgotten. Another one, at once.
			again()
			options = metav1.ListOptions{}
			continue
		case err != nil:
			return fmt.Errorf("listing %s: %w", kind.GroupResource(), err)
		case next == "":
			return nil
		}
		options.Continue = next
	}
}

// page reads one page, and tells how to go on.
func (r *reading) page(ctx context.Context, kind Resource, options metav1.ListOptions, object func(raw []byte) error) (next string, err error) {
	body, err := r.source.Read(ctx, kind, options)
	if err != nil {
		return "", err
	}
	defer body.Close()
	err = jsonscan.Items(body, "items", object, func(key string, raw []byte) error {
		if key != "metadata" {
			return nil
		}
		metadata, err := decode(raw)
		next = manifest.Text(metadata, "continue")
		return err
	})
	return next, err
}
