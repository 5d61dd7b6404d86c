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
)

// Kind is a kind of objects, as the API server serves it.
type Kind = schema.GroupVersionResource

// The kinds there are to list.
var (
	Deployments    = Kind{Group: "apps", Version: "v1", Resource: "deployments"}
	Services       = Kind{Group: "serving.knative.dev", Version: "v1", Resource: "services"}
	Configurations = Kind{Group: "serving.knative.dev", Version: "v1", Resource: "configurations"}
	Routes         = Kind{Group: "serving.knative.dev", Version: "v1", Resource: "routes"}
	Revisions      = Kind{Group: "serving.knative.dev", Version: "v1", Resource: "revisions"}
	PodAutoscalers = Kind{Group: "autoscaling.internal.knative.dev", Version: "v1alpha1", Resource: "podautoscalers"}

	namespaces = Kind{Version: "v1", Resource: "namespaces"}
)

// Objects are the objects of a cluster, by kind, as far as counts and audits look at them.
type Objects struct {
	Deployments, Services, Configurations, Revisions, Routes, PodAutoscalers []Item
	// Knative is whether the API server serves Knative Services, if they were asked for.
	Knative bool
	// Namespaces are the labels of all namespaces, by name.
	Namespaces map[string]map[string]string
}

// All are the objects of all kinds.
func (o *Objects) All() []Item {
	return slices.Concat(o.Deployments, o.Services, o.Configurations, o.Routes, o.Revisions, o.PodAutoscalers)
}

// pageSize is how many objects one request asks for.
const pageSize = 500

// List reads all objects of the kinds, of all kinds if none are named, and the labels of
// all namespaces. A kind that the API server does not serve has no objects; any other
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
func List(ctx context.Context, source Source, kinds ...Kind) (*Objects, error) {
	r := &reading{source: source}
	o := &Objects{Namespaces: map[string]map[string]string{}}
	err := r.list(ctx, namespaces, func() { clear(o.Namespaces) }, func(raw []byte) error {
		text, _, ok := jsonscan.Prune(nil, raw, labels)
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
	for _, each := range []struct {
		kind Kind
		into *[]Item
	}{
		{Deployments, &o.Deployments},
		{Services, &o.Services},
		{Configurations, &o.Configurations},
		{Routes, &o.Routes},
		{Revisions, &o.Revisions},
		{PodAutoscalers, &o.PodAutoscalers},
	} {
		if len(kinds) > 0 && !slices.Contains(kinds, each.kind) {
			continue
		}
		var err error
		*each.into, err = r.items(ctx, each.kind, func(*Item) bool { return true })
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

// late reads the owners that children name and that were made after their kind was listed.
// Without them, whoever creates many Services sees their children counted a second time.
// Only those are taken that nobody has changed yet: an older template of theirs, or a
// revision that their traffic names, could have been missed.
func (r *reading) late(ctx context.Context, o *Objects) error {
	for _, each := range []struct {
		kind     Kind
		owners   *[]Item
		children func() [][]Item // with those that were just read
	}{
		{Revisions, &o.Revisions, func() [][]Item { return [][]Item{o.PodAutoscalers} }},
		{Configurations, &o.Configurations, func() [][]Item { return [][]Item{o.Revisions} }},
		{Services, &o.Services, func() [][]Item { return [][]Item{o.Configurations, o.Routes} }},
	} {
		missing := map[string]bool{}
		for _, children := range each.children() {
			for i := range children {
				if uid := children[i].Controller; uid != "" {
					missing[uid] = true
				}
			}
		}
		for i := range *each.owners {
			delete(missing, (*each.owners)[i].UID)
		}
		if len(missing) == 0 {
			continue
		}
		again, err := r.items(ctx, each.kind, func(owner *Item) bool { return missing[owner.UID] && owner.generation == 1 })
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		*each.owners = append(*each.owners, again...)
	}
	return nil
}

// items reads one kind, as far as they are wanted.
func (r *reading) items(ctx context.Context, kind Kind, wanted func(*Item) bool) (items []Item, err error) {
	err = r.list(ctx, kind, func() { items = nil }, func(raw []byte) error {
		i, err := r.item(raw, kinds[kind])
		if err == nil && wanted(&i) {
			items = append(items, i)
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
func (r *reading) list(ctx context.Context, kind Kind, again func(), object func(raw []byte) error) error {
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
func (r *reading) page(ctx context.Context, kind Kind, options metav1.ListOptions, object func(raw []byte) error) (next string, err error) {
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
