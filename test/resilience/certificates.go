package main

import (
	"context"
	"encoding/base64"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/retry"
)

// secretName is the Secret that the webhook keeps its certificates in.
const secretName = name + "-ca"

// change reads, changes and writes an object, again if somebody else wrote it meanwhile.
func (s *scene) change(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, change func(*unstructured.Unstructured) error) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		u, err := s.client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := change(u); err != nil {
			return err
		}
		_, err = s.client.Resource(resource).Namespace(namespace).Update(ctx, u, metav1.UpdateOptions{})
		return err
	})
}

func secretCorrupted(ctx context.Context, s *scene) error {
	return s.change(ctx, secrets, namespace, secretName, func(u *unstructured.Unstructured) error {
		data, _, err := unstructured.NestedStringMap(u.Object, "data")
		if err != nil {
			return err
		}
		for key := range data {
			data[key] = base64.StdEncoding.EncodeToString([]byte("not what it was"))
		}
		return unstructured.SetNestedStringMap(u.Object, data, "data")
	})
}

func bundlesWiped(ctx context.Context, s *scene) error {
	for _, resource := range []schema.GroupVersionResource{mutatingHooks, validatingHooks} {
		err := s.change(ctx, resource, "", name, func(u *unstructured.Unstructured) error {
			entries, _, err := unstructured.NestedSlice(u.Object, "webhooks")
			if err != nil {
				return err
			}
			for _, entry := range entries {
				unstructured.RemoveNestedField(entry.(map[string]any), "clientConfig", "caBundle")
			}
			return unstructured.SetNestedSlice(u.Object, entries, "webhooks")
		})
		if err != nil {
			return err
		}
	}
	return nil
}
