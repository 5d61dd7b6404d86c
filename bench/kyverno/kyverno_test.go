// Package kyverno benchmarks Kyverno's own handlers of CEL policies, with the versions of
// everything that Kyverno is built with.
package kyverno

import (
	"context"
	_ "embed"
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/julienschmidt/httprouter"
	policiesv1beta1 "github.com/kyverno/api/api/policies.kyverno.io/v1beta1"
	celengine "github.com/kyverno/kyverno/pkg/cel/engine"
	"github.com/kyverno/kyverno/pkg/cel/libs"
	"github.com/kyverno/kyverno/pkg/cel/matching"
	mpolcompiler "github.com/kyverno/kyverno/pkg/cel/policies/mpol/compiler"
	mpolengine "github.com/kyverno/kyverno/pkg/cel/policies/mpol/engine"
	vpolcompiler "github.com/kyverno/kyverno/pkg/cel/policies/vpol/compiler"
	vpolengine "github.com/kyverno/kyverno/pkg/cel/policies/vpol/engine"
	engineapi "github.com/kyverno/kyverno/pkg/engine/api"
	"github.com/kyverno/kyverno/pkg/event"
	"github.com/kyverno/kyverno/pkg/webhooks/handlers"
	"github.com/kyverno/kyverno/pkg/webhooks/resource/mpol"
	"github.com/kyverno/kyverno/pkg/webhooks/resource/vpol"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/bench/reviews"
)

var (
	//go:embed mutating.yaml
	mutatingFile []byte
	//go:embed validating.yaml
	validatingFile []byte
)

func BenchmarkEngine(b *testing.B) {
	handler := handler(b)
	reviews.Benchmark(b, "kyverno", reviews.Mutate, handler, "/mpol/defaults")
	reviews.Benchmark(b, "kyverno", reviews.Validate, handler, "/vpol/bounds")
}

func BenchmarkScale(b *testing.B) {
	reviews.BenchmarkSizes(b, "kyverno", handler(b), "/mpol/defaults")
}

// handler has the routes of both kinds of policies as Kyverno's server has them. Reports are
// off and events go nowhere.
func handler(t testing.TB) http.Handler {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var mutating policiesv1beta1.MutatingPolicy
	must(yaml.UnmarshalStrict(mutatingFile, &mutating))
	var validating policiesv1beta1.ValidatingPolicy
	must(yaml.UnmarshalStrict(validatingFile, &validating))
	library := libs.NewFakeContextProvider()

	mutations, err := mpolengine.NewProvider(mpolcompiler.NewCompiler(), []policiesv1beta1.MutatingPolicyLike{&mutating}, nil, library)
	must(err)
	mutate := mpol.New(library, mpolengine.NewEngine(mutations, namespace, matching.NewMatcher(), untyped{}, library),
		nil, withoutReports{}, nil, "", event.NewFake())
	bounds, err := vpolengine.NewProvider(vpolcompiler.NewCompiler(), []policiesv1beta1.ValidatingPolicyLike{&validating}, nil)
	must(err)
	validate := vpol.New(vpolengine.NewEngine(bounds, namespace, matching.NewMatcher()), library, nil, false, event.NewFake())

	router := httprouter.New()
	router.HandlerFunc(http.MethodPost, "/mpol/*policies", http.HandlerFunc(handlers.FromAdmissionFunc("MUTATE", func(ctx context.Context, logger logr.Logger, r handlers.AdmissionRequest, at time.Time) handlers.AdmissionResponse {
		return mutate.MutateClustered(ctx, logger, r, "", at)
	}).WithAdmission(logr.Discard())))
	router.HandlerFunc(http.MethodPost, "/vpol/*policies", http.HandlerFunc(handlers.FromAdmissionFunc("VALIDATE", func(ctx context.Context, logger logr.Logger, r handlers.AdmissionRequest, at time.Time) handlers.AdmissionResponse {
		return validate.ValidateClustered(ctx, logger, r, "", at)
	}).WithAdmission(logr.Discard())))
	return router
}

var _ celengine.NamespaceResolver = namespace

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}}}
}

// untyped has no schema of a custom resource; a JSON patch needs none.
type untyped struct{}

func (untyped) GetTypeConverter(schema.GroupVersionKind) managedfields.TypeConverter {
	return managedfields.NewDeducedTypeConverter()
}

type withoutReports struct{}

func (withoutReports) ValidateReportsEnabled() bool              { return false }
func (withoutReports) MutateReportsEnabled() bool                { return false }
func (withoutReports) MutateExistingReportsEnabled() bool        { return false }
func (withoutReports) ImageVerificationReportsEnabled() bool     { return false }
func (withoutReports) GenerateReportsEnabled() bool              { return false }
func (withoutReports) IsStatusAllowed(engineapi.RuleStatus) bool { return false }
