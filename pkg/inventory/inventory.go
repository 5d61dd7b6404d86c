// Package inventory reads all objects of a cluster that policies and budgets are about.
package inventory

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/pkg/controller/handover"
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

// Objects are the objects of a cluster, by kind. They lack what nobody counts and nobody
// needs to see: managed fields, the values of environment variables, and copies of the
// whole object in annotations.
type Objects struct {
	Deployments, Services, Configurations, Revisions, Routes, PodAutoscalers []manifest.Object
	// Knative is whether the API server serves Knative Services, if they were asked for.
	Knative bool
	// Namespaces are the labels of all namespaces, by name.
	Namespaces map[string]map[string]string
}

// All are the objects of all kinds.
func (o *Objects) All() []manifest.Object {
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
func List(ctx context.Context, client dynamic.Interface, kinds ...Kind) (*Objects, error) {
	o := &Objects{}
	all, err := list(ctx, client, namespaces, labelled)
	if err != nil {
		return nil, err
	}
	o.Namespaces = make(map[string]map[string]string, len(all))
	for _, n := range all {
		o.Namespaces[manifest.Text(n, "metadata", "name")] = manifest.Texts(n, "metadata", "labels")
	}
	for _, each := range []struct {
		kind Kind
		into *[]manifest.Object
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
		*each.into, err = list(ctx, client, each.kind, essence)
		switch {
		case err == nil:
			o.Knative = o.Knative || each.kind == Services
		case !apierrors.IsNotFound(err):
			return nil, err
		}
	}
	if err := late(ctx, client, o); err != nil {
		return nil, err
	}
	return o, nil
}

// late reads the owners that children name and that were made after their kind was listed.
// Without them, whoever creates many Services sees their children counted a second time.
// Only those are taken that nobody has changed yet: an older template of theirs, or a
// revision that their traffic names, could have been missed.
func late(ctx context.Context, client dynamic.Interface, o *Objects) error {
	for _, each := range []struct {
		kind     Kind
		owners   *[]manifest.Object
		children func() []manifest.Object // with those that were just read
	}{
		{Revisions, &o.Revisions, func() []manifest.Object { return o.PodAutoscalers }},
		{Configurations, &o.Configurations, func() []manifest.Object { return o.Revisions }},
		{Services, &o.Services, func() []manifest.Object { return slices.Concat(o.Configurations, o.Routes) }},
	} {
		missing := map[string]bool{}
		for _, c := range each.children() {
			if uid := handover.ControllerOf(c).UID; uid != "" {
				missing[uid] = true
			}
		}
		for _, owner := range *each.owners {
			delete(missing, manifest.Text(owner, "metadata", "uid"))
		}
		if len(missing) == 0 {
			continue
		}
		again, err := list(ctx, client, each.kind, essence)
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		for _, owner := range again {
			generation, _ := manifest.Whole(owner, "metadata", "generation")
			if missing[manifest.Text(owner, "metadata", "uid")] && generation == 1 {
				*each.owners = append(*each.owners, owner)
			}
		}
	}
	return nil
}

// list reads one kind, page by page. All pages are of the moment of the first one.
func list(ctx context.Context, client dynamic.Interface, kind Kind, keep func(manifest.Object) manifest.Object) ([]manifest.Object, error) {
	var objects []manifest.Object
	options := metav1.ListOptions{Limit: pageSize} // no resourceVersion: not older than now
	for {
		page, err := client.Resource(kind).List(ctx, options)
		switch {
		case apierrors.IsResourceExpired(err) && options.Continue != "":
			// That moment is forgotten. Another one, at once.
			objects, options = nil, metav1.ListOptions{}
			continue
		case err != nil:
			return nil, fmt.Errorf("listing %s: %w", kind.GroupResource(), err)
		}
		for i := range page.Items {
			objects = append(objects, keep(page.Items[i].Object))
			page.Items[i].Object = nil
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return objects, nil
		}
	}
}
