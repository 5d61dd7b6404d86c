// Package operators tests end to end that the kinds of the field's operators are charged at their
// manifests, once, and what their operators make of them as part of that. The tests act as the
// operators' service accounts; kube-controller-manager makes the pods of Jobs and StatefulSets.
package operators

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

const requestTimeout = 5 * time.Second

var (
	cluster *controlplane.ControlPlane
	client  dynamic.Interface
)

func TestMain(m *testing.M) {
	kinds, err := filepath.Abs("testdata/kinds.yaml")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	harness.Main(m, harness.Options{
		ControlPlane: controlplane.Options{RequestTimeout: requestTimeout, WithoutKnative: true},
		Replicas:     2,
		IgnoredAfter: 4 * time.Second,
		FailIgnored:  true, // what nobody answers for on a busy machine is asked again
		ExtraArgs:    []string{"--api-request-timeout", requestTimeout.String(), "--kinds-file", kinds},
		Before: func(ctx context.Context, e *harness.Environment) error {
			cluster, client = e.Cluster, e.Client
			return prepare(ctx)
		},
		Parallel: 100,
	}, func(*harness.Environment) {})
}

// prepare installs the types of the operators, and what the chart adds for those of the kinds file.
func prepare(ctx context.Context) error {
	for file, resources := range map[string]map[string]schema.GroupVersionResource{
		"testdata/crds.yaml": {"CustomResourceDefinition": {Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}},
		"testdata/rights.yaml": {
			"ClusterRole":        {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
			"ClusterRoleBinding": {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
		},
	} {
		text, err := os.Open(file)
		if err != nil {
			return err
		}
		defer text.Close()
		for documents := utilyaml.NewYAMLOrJSONDecoder(text, 4096); ; {
			u := &unstructured.Unstructured{}
			if err := documents.Decode(u); err != nil {
				break // the last one
			}
			resource, ok := resources[u.GetKind()]
			if !ok {
				return fmt.Errorf("%s: %s is of no kind that is expected there", file, u.GetKind())
			}
			_, err := client.Resource(resource).Create(ctx, u, metav1.CreateOptions{})
			if err != nil && !apierrors.IsAlreadyExists(err) {
				return err
			}
		}
	}
	return nil
}
