// Package gatekeeper benchmarks Gatekeeper's own webhook handlers, with the versions of
// everything that Gatekeeper is built with.
package gatekeeper

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"strings"
	"testing"

	templatesv1 "github.com/open-policy-agent/frameworks/constraint/pkg/apis/templates/v1"
	constraintclient "github.com/open-policy-agent/frameworks/constraint/pkg/client"
	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	"github.com/open-policy-agent/gatekeeper/v3/apis/mutations/unversioned"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/deployments/config/process"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/drivers/k8scel"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/expansion"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/mutation"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/mutation/mutators"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	gatekeeperwebhook "github.com/open-policy-agent/gatekeeper/v3/pkg/webhook"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/bench/reviews"
)

var (
	//go:embed template.yaml
	templateFile []byte
	//go:embed constraint.yaml
	constraintFile []byte
	// assign is an Assign for one default.
	//go:embed assign.yaml
	assignFile string
)

func BenchmarkEngine(b *testing.B) {
	handlers := handlers(b)
	reviews.Benchmark(b, "gatekeeper", reviews.Mutate, handlers["/v1/mutate"], "/v1/mutate")
	reviews.Benchmark(b, "gatekeeper", reviews.Validate, handlers["/v1/admit"], "/v1/admit")
}

func BenchmarkScale(b *testing.B) {
	reviews.BenchmarkSizes(b, "gatekeeper", handlers(b)["/v1/mutate"], "/v1/mutate")
}

// handlers are Gatekeeper's endpoints as its manager registers them.
func handlers(t testing.TB) map[string]http.Handler {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	system := mutation.NewSystem(mutation.SystemOpts{})
	for i, key := range reviews.Order {
		var assign unversioned.Assign
		must(yaml.UnmarshalStrict(fmt.Appendf(nil, assignFile, i, key, reviews.Defaults[key]), &assign))
		mutator, err := mutators.MutatorForAssign(&assign)
		must(err)
		must(system.Upsert(mutator))
	}

	driver, err := k8scel.New()
	must(err)
	opa, err := constraintclient.NewClient(constraintclient.Targets(&target.K8sValidationTarget{}), constraintclient.Driver(driver),
		constraintclient.EnforcementPoints("validation.gatekeeper.sh"))
	must(err)
	scheme := runtime.NewScheme()
	must(templatesv1.AddToScheme(scheme))
	var versioned templatesv1.ConstraintTemplate
	must(yaml.UnmarshalStrict(templateFile, &versioned))
	var template templates.ConstraintTemplate
	must(scheme.Convert(&versioned, &template, nil))
	_, err = opa.AddTemplate(context.Background(), &template)
	must(err)
	var constraint unstructured.Unstructured
	must(yaml.Unmarshal(constraintFile, &constraint.Object))
	_, err = opa.AddConstraint(context.Background(), &constraint)
	must(err)

	m := &fakeManager{server: &fakeServer{handlers: map[string]http.Handler{}}}
	dependencies := gatekeeperwebhook.Dependencies{
		OpaClient: opa, MutationSystem: system,
		ExpansionSystem: expansion.NewSystem(system), ProcessExcluder: process.New(),
	}
	must(gatekeeperwebhook.AddMutatingWebhook(m, dependencies))
	must(gatekeeperwebhook.AddPolicyWebhook(m, dependencies))
	return m.server.handlers
}

// fakeManager is as much of a manager as the webhooks take: where to register, and a cache
// that has the namespace.
type fakeManager struct {
	manager.Manager
	server *fakeServer
}

func (m *fakeManager) GetConfig() *rest.Config          { return &rest.Config{Host: "127.0.0.1:1"} }
func (m *fakeManager) GetClient() client.Client         { return cached{} }
func (m *fakeManager) GetAPIReader() client.Reader      { return cached{} }
func (m *fakeManager) GetWebhookServer() webhook.Server { return m.server }

type fakeServer struct {
	webhook.Server
	handlers map[string]http.Handler
}

func (s *fakeServer) Register(path string, h http.Handler) { s.handlers[path] = h }

// cached answers as the manager's cache does; there is no Config.
type cached struct{ client.Client }

func (cached) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	if namespace, ok := o.(*corev1.Namespace); ok {
		namespace.ObjectMeta = metav1.ObjectMeta{Name: key.Name, Labels: map[string]string{corev1.LabelMetadataName: key.Name}}
		return nil
	}
	return fmt.Errorf("there is no %T %s", o, strings.TrimPrefix(key.String(), "/"))
}
