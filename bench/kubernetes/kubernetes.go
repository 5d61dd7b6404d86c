// Package kubernetes is the API server's own admission policies as the benchmark runs them:
// the plug-ins that a kube-apiserver runs, with their informers on a client in memory.
package kubernetes

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/discovery"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/openapi"
	"k8s.io/klog/v2"

	"github.com/kubetorch/webhook/bench/reviews"
)

//go:embed policies.yaml
var policies []byte

// Evaluator decides requests with both plug-ins.
type Evaluator struct {
	mutating   *mutating.Plugin
	validating *validating.Plugin
	interfaces admission.ObjectInterfaces
}

// New starts the plug-ins, which run until ctx ends, and waits for their policies.
func New(ctx context.Context) (*Evaluator, error) {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	objects := []runtime.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: map[string]string{corev1.LabelMetadataName: "default"}}}}
	for document := range bytes.SplitSeq(policies, []byte("\n---\n")) {
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(document, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("policies.yaml: %w", err)
		}
		objects = append(objects, object)
	}
	client := clientset{fake.NewClientset(objects...)}
	factory := informers.NewSharedInformerFactory(client, 0)
	e := &Evaluator{interfaces: admission.NewObjectInterfacesFromScheme(runtime.NewScheme())}
	var err error
	if e.mutating, err = mutating.NewPlugin(nil); err != nil {
		return nil, err
	}
	if e.validating, err = validating.NewPlugin(nil); err != nil {
		return nil, err
	}
	dynamic := dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())
	mapper := meta.NewDefaultRESTMapper(nil)
	allow := authorizerfactory.NewAlwaysAllowAuthorizer()
	e.mutating.SetEnabled(true)
	e.validating.SetEnabled(true)
	e.mutating.SetExternalKubeClientSet(client)
	e.validating.SetExternalKubeClientSet(client)
	e.mutating.SetExternalKubeInformerFactory(factory)
	e.validating.SetExternalKubeInformerFactory(factory)
	e.mutating.SetRESTMapper(mapper)
	e.validating.SetRESTMapper(mapper)
	e.mutating.SetDynamicClient(dynamic)
	e.validating.SetDynamicClient(dynamic)
	e.mutating.SetUnconditionalAuthorizer(allow)
	e.validating.SetUnconditionalAuthorizer(allow)
	e.mutating.SetDrainedNotification(ctx.Done())
	e.validating.SetDrainedNotification(ctx.Done())
	if err := e.mutating.ValidateInitialization(); err != nil {
		return nil, err
	}
	if err := e.validating.ValidateInitialization(); err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return e, e.await(ctx)
}

// await returns once both policies are in force.
func (e *Evaluator) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		refused, expanded := e.Check(ctx, reviews.Find("refuse")), e.Check(ctx, reviews.Find("expand"))
		if refused == nil && expanded == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the policies are not in force: %w", errors.Join(refused, expanded))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

var (
	kind     = schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}
	resource = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}
	alice    = &user.DefaultInfo{Name: "alice@example.com", UID: "7c1b", Groups: []string{"ml-engineers", "system:authenticated"}}
)

// Decide decodes the objects, runs the plug-in of the case's step and, in the mutating one,
// encodes what became of the object. The error is the refusal.
func (e *Evaluator) Decide(ctx context.Context, c reviews.Case) ([]byte, error) {
	object, err := decode(c.Object)
	if err != nil {
		return nil, err
	}
	operation, old := admission.Create, runtime.Object(nil)
	if c.Old != nil {
		operation = admission.Update
		if old, err = decode(c.Old); err != nil {
			return nil, err
		}
	}
	attributes := admission.NewAttributesRecord(object, old, kind, "default", "inference", resource, "", operation, nil, false, alice)
	if c.Step == reviews.Validate {
		return nil, e.validating.Validate(ctx, attributes, e.interfaces)
	}
	if err := e.mutating.Admit(ctx, attributes, e.interfaces); err != nil {
		return nil, err
	}
	return object.MarshalJSON()
}

// Check decides a case once and checks what comes of it.
func (e *Evaluator) Check(ctx context.Context, c reviews.Case) error {
	object, err := e.Decide(ctx, c)
	switch {
	case c.Refused && err != nil:
		return c.CheckRefusal(err.Error())
	case c.Refused:
		return fmt.Errorf("%s: admitted", c.Name)
	case err == nil && object != nil:
		return c.CheckObject(object)
	}
	return err
}

func decode(raw []byte) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	return object, object.UnmarshalJSON(raw)
}

// clientset knows a schema for Knative Services, which the plug-in for mutations asks for.
type clientset struct{ kubernetes.Interface }

// IsWatchListSemanticsUnSupported tells informers to list, since the client in memory cannot
// do otherwise.
func (clientset) IsWatchListSemanticsUnSupported() bool { return true }

func (c clientset) Discovery() discovery.DiscoveryInterfaces {
	return schemas{c.Interface.Discovery()}
}

type schemas struct{ discovery.DiscoveryInterfaces }

func (schemas) OpenAPIV3() openapi.Client { return schemas{} }

func (schemas) Paths() (map[string]openapi.GroupVersion, error) {
	return map[string]openapi.GroupVersion{"apis/serving.knative.dev/v1": knativeSchema{}}, nil
}

type knativeSchema struct{}

func (knativeSchema) ServerRelativeURL() string {
	return "/openapi/v3/apis/serving.knative.dev/v1?hash=1"
}

func (knativeSchema) Schema(string) ([]byte, error) {
	return json.Marshal(map[string]any{
		"openapi": "3.0.0", "info": map[string]any{"title": "Knative", "version": "v1"}, "paths": map[string]any{},
		"components": map[string]any{"schemas": map[string]any{"dev.knative.serving.v1.Service": map[string]any{
			"type": "object", "x-kubernetes-preserve-unknown-fields": true,
			"x-kubernetes-group-version-kind": []any{map[string]any{"group": kind.Group, "version": kind.Version, "kind": kind.Kind}},
		}}},
	})
}
