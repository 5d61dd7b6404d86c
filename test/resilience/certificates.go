package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/retry"

	"github.com/kubetorch/webhook/pkg/certificate"
)

// overlap is how long a new CA is in the caBundles before it signs, and an old one after.
// An API server that shares two cores with all else learns of one in seconds.
const overlap = 10 * time.Second

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

// ask writes an annotation of the Secret that asks the webhook for something.
func (s *scene) ask(ctx context.Context, annotation string) error {
	return s.change(ctx, secrets, namespace, secretName, func(u *unstructured.Unstructured) error {
		annotations := u.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[annotation] = fmt.Sprint(time.Now().UnixNano())
		u.SetAnnotations(annotations)
		return nil
	})
}

// renewed has every replica serve with another certificate, again and again.
func renewed(ctx context.Context, s *scene) error {
	for range s.renewals {
		before, err := s.leaves()
		if err != nil {
			return err
		}
		if err := s.ask(ctx, certificate.RenewAnnotation); err != nil {
			return err
		}
		err = await(ctx, "certificates of every replica", recovery, func() bool {
			now, err := s.leaves()
			return err == nil && !slices.ContainsFunc(now, func(leaf string) bool { return slices.Contains(before, leaf) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// leaves are the certificates that the replicas serve with.
func (s *scene) leaves() ([]string, error) {
	var leaves []string
	for _, r := range s.hook.Replicas {
		conn, err := tls.Dial("tcp", r.Address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return nil, err
		}
		leaves = append(leaves, string(conn.ConnectionState().PeerCertificates[0].Raw))
		conn.Close()
	}
	return leaves, nil
}

// rotated has another CA sign and be the only one, again and again.
func rotated(ctx context.Context, s *scene) error {
	for range s.cas {
		err := s.anotherCA(ctx, func() error { return s.ask(ctx, certificate.RotateAnnotation) })
		if err != nil {
			return err
		}
	}
	return nil
}

// anotherCA does something that brings another CA about, and waits until that is the only one.
func (s *scene) anotherCA(ctx context.Context, do func() error) error {
	before, err := s.bundle(ctx)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return await(ctx, "the new CA to be the only one", recovery, func() bool {
		now, err := s.bundle(ctx)
		return err == nil && bytes.Count(now, []byte("BEGIN CERTIFICATE")) == 1 && !bytes.Equal(now, before)
	})
}

// bundle is the caBundle of the first entry.
func (s *scene) bundle(ctx context.Context) ([]byte, error) {
	u, err := s.client.Resource(mutatingHooks).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	entries, _, err := unstructured.NestedSlice(u.Object, "webhooks")
	if err != nil || len(entries) == 0 {
		return nil, fmt.Errorf("no entries: %w", err)
	}
	text, _, err := unstructured.NestedString(entries[0].(map[string]any), "clientConfig", "caBundle")
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(text)
}

func secretCorrupted(ctx context.Context, s *scene) error {
	return s.anotherCA(ctx, func() error { return s.corrupt(ctx) })
}

// corrupt overwrites all that the Secret holds.
func (s *scene) corrupt(ctx context.Context) error {
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
