package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/kubetorch/webhook/pkg/jsonscan"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// pause is how long to wait after a watch that did not begin, or ended with an error.
const pause = 5 * time.Second

// Watch calls changed whenever an object of a kind was made, changed or deleted, until the context
// ends; of the kinds of which a list keeps only those that ask for devices, only for these. It keeps no
// objects.
func (l *Lists) Watch(ctx context.Context, kind Resource, changed func()) {
	for ctx.Err() == nil {
		if err := follow(ctx, l.source, kind, changed); err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
}

// follow watches until the API server ends it, which is no error.
func follow(ctx context.Context, source Source, kind Resource, changed func()) error {
	r := &reading{source: source}
	version, err := r.version(ctx, kind)
	if err != nil {
		return err
	}
	body, err := source.Read(ctx, kind, metav1.ListOptions{Watch: true, ResourceVersion: version})
	if err != nil {
		return err
	}
	defer body.Close()
	changed() // for what was missed
	for events := json.NewDecoder(body); ; {
		var event struct {
			Type   watch.EventType
			Object json.RawMessage
		}
		err := events.Decode(&event)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case event.Type == watch.Error:
			return nil // too old: from here on once more
		case r.concerns(event.Object, kinds[kind]):
			changed()
		}
	}
}

// version is a resource version of a kind's list that is not older than the call.
func (r *reading) version(ctx context.Context, kind Resource) (version string, err error) {
	body, err := r.source.Read(ctx, kind, metav1.ListOptions{Limit: 1})
	if err != nil {
		return "", err
	}
	defer body.Close()
	err = jsonscan.Items(body, "items", func([]byte) error { return nil }, func(key string, raw []byte) error {
		if key != "metadata" {
			return nil
		}
		metadata, err := decode(raw)
		version = manifest.Text(metadata, "resourceVersion")
		return err
	})
	return version, err
}
