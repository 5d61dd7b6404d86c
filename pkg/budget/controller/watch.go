package controller

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"

	"github.com/kubetorch/webhook/pkg/cluster"
)

// Watch calls changed whenever an object of a kind was made, changed or deleted, until the
// context ends. It keeps no objects: what they claim is read afresh.
func Watch(ctx context.Context, client metadata.Interface, kind cluster.Resource, changed func()) {
	const pause = 5 * time.Second
	for ctx.Err() == nil {
		if !follow(ctx, client, kind, changed) {
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
}

// follow watches until the API server ends it. It is false if it did not begin, as where
// the kind is not served.
func follow(ctx context.Context, client metadata.Interface, kind cluster.Resource, changed func()) bool {
	list, err := client.Resource(kind).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return false
	}
	w, err := client.Resource(kind).Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		return false
	}
	defer w.Stop()
	changed() // for what was missed
	for event := range w.ResultChan() {
		if event.Type == watch.Error {
			return true
		}
		changed()
	}
	return true
}
