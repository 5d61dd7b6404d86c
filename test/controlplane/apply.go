package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
)

var (
	serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	crds            = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	coreServices    = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	clusterRoles    = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}
	mutatingHooks   = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	validatingHooks = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
)

// readManifests reads the objects in all YAML files of a folder.
func readManifests(dir string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no manifests in %s", dir)
	}
	var objects []*unstructured.Unstructured
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		more, err := decodeManifests(text)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		objects = append(objects, more...)
	}
	return objects, nil
}

// decodeManifests decodes a stream of YAML documents, skipping empty ones.
func decodeManifests(text []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	var objects []*unstructured.Unstructured
	for {
		var document runtime.RawExtension
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(document.Raw) == 0 || bytes.Equal(document.Raw, []byte("null")) {
			continue
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(document.Raw); err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
}

// apply writes objects one after the other by server-side apply.
func (c *ControlPlane) apply(ctx context.Context, objects ...*unstructured.Unstructured) error {
	for _, o := range objects {
		if err := c.applyOne(ctx, o); err != nil {
			return fmt.Errorf("applying %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

func (c *ControlPlane) applyOne(ctx context.Context, o *unstructured.Unstructured) error {
	resource, err := c.resourceFor(ctx, o)
	if err != nil {
		return err
	}
	for i := 1; ; i++ {
		_, err = resource.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: "controlplane", Force: true})
		if err == nil || i == applies || !CutOff(err) && !apierrors.IsTimeout(err) && !apierrors.IsServerTimeout(err) {
			return err
		}
		// What a busy machine had no time for; to apply it twice is to apply it.
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// applies is how often an object is applied that the API server does not answer for. Each takes as long as the API
// server lets it.
const applies = 30

// CutOff tells whether the API server broke off an answer because its request timeout ended
// meanwhile: what else it would answer with 504.
func CutOff(err error) bool {
	text := err.Error()
	return strings.Contains(text, "INTERNAL_ERROR; received from peer") ||
		strings.Contains(text, "unable to return a response in the time allotted")
}

// resourceFor finds the client for an object. A kind whose CRD was established
// a moment ago takes a little while to show up in discovery.
func (c *ControlPlane) resourceFor(ctx context.Context, o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := o.GroupVersionKind()
	var mapping *apimeta.RESTMapping
	err := await(ctx, "discovery of "+gvk.String(), patience, func(context.Context) (err error) {
		mapping, err = c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if apimeta.IsNoMatchError(err) {
			c.mapper.Reset()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == apimeta.RESTScopeNameRoot {
		return c.client.Resource(mapping.Resource), nil
	}
	namespace := o.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return c.client.Resource(mapping.Resource).Namespace(namespace), nil
}

// applyCRDs applies CustomResourceDefinitions and waits until all are served.
func (c *ControlPlane) applyCRDs(ctx context.Context, objects ...*unstructured.Unstructured) error {
	if err := c.apply(ctx, objects...); err != nil {
		return err
	}
	for _, o := range objects {
		err := await(ctx, "CustomResourceDefinition "+o.GetName(), patience, func(ctx context.Context) error {
			crd, err := c.client.Resource(crds).Get(ctx, o.GetName(), metav1.GetOptions{})
			if err != nil {
				return err
			}
			return requireCondition(crd, "Established")
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// requireCondition fails unless a condition in an object's status is True.
func requireCondition(o *unstructured.Unstructured, kind string) error {
	conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	if err != nil {
		return err
	}
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] != kind {
			continue
		}
		if condition["status"] == "True" {
			return nil
		}
		return fmt.Errorf("condition %s of %s is %v: %v %v", kind, o.GetName(), condition["status"], condition["reason"], condition["message"])
	}
	return fmt.Errorf("%s has no condition %s", o.GetName(), kind)
}
