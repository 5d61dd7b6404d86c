// Package manifests checks what is shipped under deploy/ and certs/ against the code
// that it installs.
package manifests

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/app"
	"github.com/kubetorch/webhook/pkg/cmd/options"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"

	"github.com/spf13/pflag"
)

// root is what kubectl apply -k is told to install.
const root = "../../deploy"

// load reads all objects of a kustomization, the way kustomize finds them. It knows
// resources and components, which is all that the shipped files use.
func load(t *testing.T, dir string) []*unstructured.Unstructured {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	require.NoError(t, err)
	var k struct {
		Resources, Components []string
	}
	require.NoError(t, sigsyaml.Unmarshal(data, &k))
	var objects []*unstructured.Unstructured
	for _, name := range slices.Concat(k.Resources, k.Components) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			objects = append(objects, load(t, path)...)
			continue
		}
		data, err := os.ReadFile(path)
		require.NoError(t, err, "%s names a file that is not there", dir)
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
		for {
			o := &unstructured.Unstructured{}
			if err := decoder.Decode(o); errors.Is(err, io.EOF) {
				break
			} else {
				require.NoError(t, err, path)
			}
			if len(o.Object) > 0 {
				objects = append(objects, o)
			}
		}
	}
	return objects
}

// one finds an object and decodes it strictly: an unknown field is a mistake.
func one(t *testing.T, kind, name string, into any) {
	t.Helper()
	for _, o := range load(t, root) {
		if o.GetKind() == kind && o.GetName() == name {
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, into, true))
			return
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
}

// defaults are the values that the binary uses when no flag is given.
func defaults(t *testing.T) options.Serve {
	t.Helper()
	t.Setenv("POD_NAMESPACE", "")
	var o options.Serve
	o.AddFlags(pflag.NewFlagSet("", pflag.ContinueOnError))
	require.NoError(t, o.Complete())
	return o
}

// entry is what both kinds of configuration have in common.
type entry struct {
	Name          string
	Client        admissionregistrationv1.WebhookClientConfig
	Rules         []admissionregistrationv1.RuleWithOperations
	FailurePolicy *admissionregistrationv1.FailurePolicyType
	MatchPolicy   *admissionregistrationv1.MatchPolicyType
	Namespaces    *metav1.LabelSelector
	Objects       *metav1.LabelSelector
	SideEffects   *admissionregistrationv1.SideEffectClass
	Timeout       *int32
	Versions      []string
	Conditions    []admissionregistrationv1.MatchCondition
}

// source reads a configuration with its rules, as a replica writes them.
func source(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "base", file))
	require.NoError(t, err)
	require.NoError(t, sigsyaml.UnmarshalStrict(text, into))
}

// entries are those of both configurations once they are opened.
func entries(t *testing.T) map[string]entry {
	t.Helper()
	var mutating admissionregistrationv1.MutatingWebhookConfiguration
	source(t, "mutating.yaml", &mutating)
	var validating admissionregistrationv1.ValidatingWebhookConfiguration
	source(t, "validating.yaml", &validating)
	found := map[string]entry{}
	for _, w := range mutating.Webhooks {
		assert.Equal(t, new(admissionregistrationv1.IfNeededReinvocationPolicy), w.ReinvocationPolicy, w.Name)
		found[w.Name] = entry{w.Name, w.ClientConfig, w.Rules, w.FailurePolicy, w.MatchPolicy, w.NamespaceSelector,
			w.ObjectSelector, w.SideEffects, w.TimeoutSeconds, w.AdmissionReviewVersions, w.MatchConditions}
	}
	for _, w := range validating.Webhooks {
		found[w.Name] = entry{w.Name, w.ClientConfig, w.Rules, w.FailurePolicy, w.MatchPolicy, w.NamespaceSelector,
			w.ObjectSelector, w.SideEffects, w.TimeoutSeconds, w.AdmissionReviewVersions, w.MatchConditions}
	}
	return found
}

// What is installed sends nothing to a webhook that never ran, and is else what it will be.
func TestConfigurationsAreInstalledWithoutRules(t *testing.T) {
	name := defaults(t).Configuration
	var mutating, mutatingSource admissionregistrationv1.MutatingWebhookConfiguration
	one(t, "MutatingWebhookConfiguration", name, &mutating)
	source(t, "mutating.yaml", &mutatingSource)
	for i := range mutatingSource.Webhooks {
		assert.NotEmpty(t, mutatingSource.Webhooks[i].Rules)
		mutatingSource.Webhooks[i].Rules = nil
	}
	assert.Equal(t, mutatingSource, mutating)

	var validating, validatingSource admissionregistrationv1.ValidatingWebhookConfiguration
	one(t, "ValidatingWebhookConfiguration", name, &validating)
	source(t, "validating.yaml", &validatingSource)
	for i := range validatingSource.Webhooks {
		assert.NotEmpty(t, validatingSource.Webhooks[i].Rules)
		validatingSource.Webhooks[i].Rules = nil
	}
	assert.Equal(t, validatingSource, validating)
}

func TestEveryWebhookReachesAPathThatIsServed(t *testing.T) {
	o := defaults(t)
	paths := map[string]string{
		"expand.kubetorch.com":   app.MutatePath,
		"clamp.kubetorch.com":    app.MutatePath,
		"validate.kubetorch.com": app.ValidatePath,
		"policies.kubetorch.com": app.ValidatePath,
		"kinds.kubetorch.com":    app.ValidatePath,

		"expand-deployments.kubetorch.com":   app.MutatePath,
		"scale.kubetorch.com":                app.MutatePath,
		"validate-deployments.kubetorch.com": app.ValidatePath,

		"validate-revisions.kubetorch.com":   app.ValidatePath,
		"validate-autoscalers.kubetorch.com": app.ValidatePath,
		"validate-routes.kubetorch.com":      app.ValidatePath,
		"validate-status.kubetorch.com":      app.ValidatePath,
		"validate-operators.kubetorch.com":   app.ValidatePath,
	}
	for name := range kindRules {
		paths[name] = app.ValidatePath
	}
	all := entries(t)
	require.Len(t, all, len(paths))
	for name, path := range paths {
		t.Run(name, func(t *testing.T) {
			e := all[name]
			assert.Equal(t, admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{
				Namespace: o.Namespace, Name: o.Service, Path: &path, Port: new(int32(443)),
			}}, e.Client, "and no caBundle: applying the file again would take it away")
			assert.Equal(t, new(admissionregistrationv1.Equivalent), e.MatchPolicy)
			effects := admissionregistrationv1.SideEffectClassNone
			if path == app.ValidatePath { // it charges budgets
				effects = admissionregistrationv1.SideEffectClassNoneOnDryRun
			}
			assert.Equal(t, &effects, e.SideEffects)
			timeout := int32(3)
			if slices.Contains(goOn, name) {
				timeout = 1 // nobody waits long for a webhook that is away
			}
			assert.Equal(t, &timeout, e.Timeout)
			assert.Equal(t, []string{"v1"}, e.Versions)
			assert.Nil(t, e.Objects, "whoever writes an object writes its labels: no bound may hang on them")
			wantPolicy := admissionregistrationv1.Fail
			if slices.Contains(append([]string{"clamp.kubetorch.com", "scale.kubetorch.com"}, goOn...), name) {
				wantPolicy = admissionregistrationv1.Ignore
			}
			assert.Equal(t, &wantPolicy, e.FailurePolicy)
		})
	}

	var service corev1.Service
	one(t, "Service", o.Service, &service)
	var deployment appsv1.Deployment
	one(t, "Deployment", "kubetorch-webhook", &deployment)
	pod := deployment.Spec.Template
	assert.Equal(t, int32(443), service.Spec.Ports[0].Port)
	assert.Equal(t, service.Spec.Ports[0].TargetPort.StrVal, pod.Spec.Containers[0].Ports[0].Name)
	assert.Equal(t, ":9443", o.Listen)
	assert.Equal(t, int32(9443), pod.Spec.Containers[0].Ports[0].ContainerPort)
	for key, value := range service.Spec.Selector {
		assert.Equal(t, value, pod.Labels[key], "the Service selects the pods")
	}
}

// goOn are the entries of what controllers do of their own accord: it goes on while the webhook is away.
var goOn = []string{"validate-controlled-pods.kubetorch.com", "validate-adopted-pods.kubetorch.com", "validate-orphaned-pods.kubetorch.com",
	"validate-knatives-deployments.kubetorch.com", "validate-autoscaled.kubetorch.com", "validate-controlled-resourceclaims.kubetorch.com"}

func rulesOf(operations []admissionregistrationv1.OperationType, groups map[string][]string) []admissionregistrationv1.RuleWithOperations {
	var rules []admissionregistrationv1.RuleWithOperations
	for _, group := range []string{"apps", "", "batch", "autoscaling", "resource.k8s.io"} {
		if len(groups[group]) == 0 {
			continue
		}
		version := "v1"
		switch group {
		case "autoscaling":
			version = "v2"
		case "resource.k8s.io":
			version = "*" // the fields that are looked at are in all of them
		}
		rules = append(rules, admissionregistrationv1.RuleWithOperations{Operations: operations, Rule: admissionregistrationv1.Rule{
			APIGroups: []string{group}, APIVersions: []string{version}, Resources: groups[group], Scope: new(admissionregistrationv1.NamespacedScope),
		}})
	}
	return rules
}

// kindRules are those of the entries about Kubernetes' own kinds that have pods, and what is near them.
var kindRules = func() map[string][]admissionregistrationv1.RuleWithOperations {
	create, update := []admissionregistrationv1.OperationType{"CREATE"}, []admissionregistrationv1.OperationType{"UPDATE"}
	write := []admissionregistrationv1.OperationType{"CREATE", "UPDATE"}
	scales := map[string][]string{"apps": {"deployments/scale", "replicasets/scale", "statefulsets/scale"}, "": {"replicationcontrollers/scale"}}
	return map[string][]admissionregistrationv1.RuleWithOperations{
		"validate-workloads.kubetorch.com": append(rulesOf(write, map[string][]string{"apps": {"replicasets", "statefulsets", "daemonsets"}, "": {"replicationcontrollers"}, "batch": {"jobs"}}),
			rulesOf(update, map[string][]string{"apps": {"replicasets/status", "statefulsets/status"}, "": {"replicationcontrollers/status"}, "batch": {"jobs/status"}})...),
		"validate-knatives-deployments.kubetorch.com":      rulesOf(update, map[string][]string{"apps": {"deployments"}}),
		"validate-cronjobs.kubetorch.com":                  rulesOf(write, map[string][]string{"batch": {"cronjobs"}}),
		"validate-pods.kubetorch.com":                      append(rulesOf(create, map[string][]string{"": {"pods"}}), rulesOf(update, map[string][]string{"": {"pods/resize"}})...),
		"validate-controlled-pods.kubetorch.com":           rulesOf(create, map[string][]string{"": {"pods"}}),
		"validate-released-pods.kubetorch.com":             rulesOf(update, map[string][]string{"": {"pods", "pods/status"}}),
		"validate-adopted-pods.kubetorch.com":              rulesOf(update, map[string][]string{"": {"pods"}}),
		"validate-orphaned-pods.kubetorch.com":             rulesOf(update, map[string][]string{"": {"pods"}}),
		"validate-scale.kubetorch.com":                     append(rulesOf(update, scales), operatorRules("/scale", update, func(k workload.OperatorKind) bool { return k.Scale })...),
		"validate-autoscaled.kubetorch.com":                append(rulesOf(update, scales), operatorRules("/scale", update, func(k workload.OperatorKind) bool { return k.Scale })...),
		"validate-horizontalpodautoscalers.kubetorch.com":  rulesOf(write, map[string][]string{"autoscaling": {"horizontalpodautoscalers"}}),
		"validate-resourceclaims.kubetorch.com":            rulesOf(write, map[string][]string{"resource.k8s.io": {"resourceclaims"}}),
		"validate-controlled-resourceclaims.kubetorch.com": rulesOf(write, map[string][]string{"resource.k8s.io": {"resourceclaims"}}),
		"validate-resourceclaimtemplates.kubetorch.com":    rulesOf(create, map[string][]string{"resource.k8s.io": {"resourceclaimtemplates"}}),
		"validate-limitranges.kubetorch.com":               rulesOf(write, map[string][]string{"": {"limitranges"}}),
		"validate-pod-status.kubetorch.com":                rulesOf(update, map[string][]string{"": {"pods/status"}}),
		"validate-job-status.kubetorch.com":                rulesOf(update, map[string][]string{"batch": {"jobs/status"}}),
		"validate-operator-status.kubetorch.com":           operatorRules("/status", update, func(k workload.OperatorKind) bool { return k.Finished != nil }),
	}
}()

// operated are the resources of operators' kinds by their groups, as the table has them, with a suffix.
func operated(suffix string, wanted func(workload.OperatorKind) bool) (groups []string, resources map[string][]string) {
	resources = map[string][]string{}
	for _, k := range workload.BuiltInOperators().Kinds {
		if wanted(k) {
			resources[k.Group] = append(resources[k.Group], k.Resource+suffix)
			slices.Sort(resources[k.Group])
		}
	}
	return slices.Sorted(maps.Keys(resources)), resources
}

// operatorRules are those for operators' kinds, in any version.
func operatorRules(suffix string, operations []admissionregistrationv1.OperationType, wanted func(workload.OperatorKind) bool) (rules []admissionregistrationv1.RuleWithOperations) {
	groups, resources := operated(suffix, wanted)
	for _, group := range groups {
		rules = append(rules, admissionregistrationv1.RuleWithOperations{Operations: operations, Rule: admissionregistrationv1.Rule{
			APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: resources[group], Scope: new(admissionregistrationv1.NamespacedScope),
		}})
	}
	return rules
}

// TestEveryKindThatMakesPodsIsSentToTheWebhook holds the rules against the table of kinds.
func TestEveryKindThatMakesPodsIsSentToTheWebhook(t *testing.T) {
	sent := map[string]bool{}
	for _, e := range entries(t) {
		for _, rule := range e.Rules {
			for _, resource := range rule.Resources {
				sent[rule.APIGroups[0]+"/"+resource] = true
			}
		}
	}
	for _, kind := range workload.Kinds() {
		assert.True(t, sent[kind.Group+"/"+kind.Resource], kind.Resource)
		assert.Equal(t, kind.Scale, sent[kind.Group+"/"+kind.Resource+"/scale"], kind.Resource)
	}
}

func TestOnlyWhatIsJudgedIsSentToTheWebhook(t *testing.T) {
	written := func(group, version string, resources ...string) []admissionregistrationv1.RuleWithOperations {
		return []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{"CREATE", "UPDATE"},
			Rule: admissionregistrationv1.Rule{
				APIGroups: []string{group}, APIVersions: []string{version}, Resources: resources,
				Scope: new(admissionregistrationv1.NamespacedScope),
			},
		}}
	}
	policies := []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{"CREATE", "UPDATE"},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{"policy.kubetorch.com"}, APIVersions: []string{"v1alpha1"}, Resources: []string{"computepolicies", "gpubudgets"},
			Scope: new(admissionregistrationv1.ClusterScope),
		},
	}}
	deployments := func(resource string, operations ...admissionregistrationv1.OperationType) []admissionregistrationv1.RuleWithOperations {
		return []admissionregistrationv1.RuleWithOperations{{
			Operations: operations,
			Rule: admissionregistrationv1.Rule{
				APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{resource},
				Scope: new(admissionregistrationv1.NamespacedScope),
			},
		}}
	}
	excluded := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn,
		Values: slices.Concat(defaults(t).Excluded, []string{defaults(t).Namespace, knative.Namespace}),
	}}}
	for name, e := range entries(t) {
		t.Run(name, func(t *testing.T) {
			if name == "policies.kubetorch.com" {
				assert.Equal(t, policies, e.Rules)
				return // cluster-scoped: a namespaceSelector does not apply
			}
			if rules, ok := kindRules[name]; ok {
				assert.Equal(t, rules, e.Rules)
				assert.Equal(t, excluded, e.Namespaces)
				return
			}
			switch name {
			case "expand-deployments.kubetorch.com", "validate-deployments.kubetorch.com":
				assert.Equal(t, deployments("deployments", "CREATE", "UPDATE"), e.Rules)
			case "kinds.kubetorch.com", "validate-operators.kubetorch.com":
				for _, r := range e.Rules {
					assert.Equal(t, []string{"*"}, r.APIVersions)
					assert.Equal(t, []admissionregistrationv1.OperationType{"CREATE", "UPDATE"}, r.Operations)
					assert.Equal(t, new(admissionregistrationv1.NamespacedScope), r.Scope)
				}
				var sent []schema.GroupResource
				for _, r := range e.Rules {
					for _, resource := range r.Resources {
						sent = append(sent, schema.GroupResource{Group: r.APIGroups[0], Resource: resource})
					}
				}
				var expected []schema.GroupResource
				for resource, kind := range review.Unscalable {
					if operated := review.Operated(schema.GroupKind{Group: resource.Group, Kind: kind.Name}); operated == (e.Name == "validate-operators.kubetorch.com") {
						expected = append(expected, resource)
					}
				}
				assert.ElementsMatch(t, expected, sent)
			case "validate-status.kubetorch.com":
				assert.Equal(t, deployments("deployments/status", "UPDATE"), e.Rules)
			case "scale.kubetorch.com":
				assert.Equal(t, deployments("deployments/scale", "UPDATE"), e.Rules)
			case "validate-revisions.kubetorch.com":
				assert.Equal(t, written("serving.knative.dev", "v1", "configurations", "revisions"), e.Rules)
			case "validate-routes.kubetorch.com":
				assert.Equal(t, written("serving.knative.dev", "v1", "routes"), e.Rules)
			case "validate-autoscalers.kubetorch.com":
				assert.Equal(t, written("autoscaling.internal.knative.dev", "v1alpha1", "podautoscalers"), e.Rules)
			default:
				assert.Equal(t, written("serving.knative.dev", "v1", "services"), e.Rules)
			}
			assert.Equal(t, excluded, e.Namespaces)
		})
	}
}

func TestTheDeploymentRunsAsTheNamespaceDemands(t *testing.T) {
	o := defaults(t)
	var namespace corev1.Namespace
	one(t, "Namespace", o.Namespace, &namespace)
	assert.Equal(t, "restricted", namespace.Labels["pod-security.kubernetes.io/enforce"])

	var deployment appsv1.Deployment
	one(t, "Deployment", "kubetorch-webhook", &deployment)
	assert.Equal(t, int32(2), *deployment.Spec.Replicas)
	assert.Equal(t, 0, deployment.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue())
	pod := deployment.Spec.Template.Spec
	assert.Equal(t, "system-cluster-critical", pod.PriorityClassName)
	assert.True(t, *pod.SecurityContext.RunAsNonRoot)
	assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
	container := pod.Containers[0]
	assert.Equal(t, &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}, container.SecurityContext)
	for probe, path := range map[*corev1.Probe]string{
		container.ReadinessProbe: app.ReadyPath, container.LivenessProbe: app.HealthPath, container.StartupProbe: app.HealthPath,
	} {
		assert.Equal(t, path, probe.HTTPGet.Path)
		assert.Equal(t, corev1.URISchemeHTTPS, probe.HTTPGet.Scheme)
	}

	require.Equal(t, "serve", container.Args[0])
	var parsed options.Serve
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	parsed.AddFlags(flags)
	require.NoError(t, flags.Parse(container.Args[1:]))
	assert.Empty(t, parsed.Validate(), "the shipped arguments are valid")
	assert.Less(t, parsed.ShutdownDelay.Seconds()+10, float64(*pod.TerminationGracePeriodSeconds),
		"the pod is not killed before it stopped by itself")
}
