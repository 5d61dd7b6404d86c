package registration

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/workload"
)

var service = types.NamespacedName{Namespace: "kubetorch-system", Name: "kubetorch-webhook"}

// excluded are the namespaces that the shipped configurations leave out.
var excluded = []string{"cert-manager", "knative-serving", "kube-node-lease", "kube-system", "kubetorch-system"}

func expected(t *testing.T) Expected {
	t.Helper()
	e, err := NewExpected(service, "knative-serving", excluded)
	require.NoError(t, err)
	return e
}

// installed are the validating entries as they are once they are opened, changed by edit.
func installed(t *testing.T, edit func(entries []WebhookEntry) []WebhookEntry) []WebhookEntry {
	t.Helper()
	var entries []WebhookEntry
	for _, e := range expected(t).Validating {
		entry := *e.DeepCopy()
		entry.ClientConfig.CABundle = []byte("trusted")
		entries = append(entries, entry)
	}
	return edit(entries)
}

func verified(bundle []byte) error {
	if string(bundle) != "trusted" {
		return errors.New("signed by somebody else")
	}
	return nil
}

func TestDifferences(t *testing.T) {
	rules := expected(t).Validating[0].Rules
	open := map[int][]admissionregistrationv1.RuleWithOperations{0: rules}
	none := map[int][]admissionregistrationv1.RuleWithOperations{}
	const name = "validate.kubetorch.com"
	first := func(edit func(e *WebhookEntry)) func([]WebhookEntry) []WebhookEntry {
		return func(entries []WebhookEntry) []WebhookEntry {
			edit(&entries[0])
			return entries
		}
	}
	for what, c := range map[string]struct {
		edit func([]WebhookEntry) []WebhookEntry
		want Difference
	}{
		"as it should be": {first(func(*WebhookEntry) {}), Difference{Rules: none}},
		"as it was installed: it is opened": {
			first(func(e *WebhookEntry) { e.Rules = nil }), Difference{Rules: open, Closed: true, Problems: []string{name + " has no rules"}},
		},
		"as it was installed, but for a service that is not the webhook's: opening it would refuse everything": {
			first(func(e *WebhookEntry) { e.Rules, e.ClientConfig.CABundle = nil, nil }),
			Difference{Rules: none, Problems: []string{
				name + " has a caBundle that does not verify the webhook's certificate: signed by somebody else",
				name + " has no rules, and gets none before that is mended",
			}},
		},
		"rules of another version": {
			first(func(e *WebhookEntry) { e.Rules = e.Rules[:1:1]; e.Rules[0].Resources = []string{"routes"} }),
			Difference{Rules: open, Problems: []string{name + " has other rules"}},
		},
		"an entry that is missing": {
			func(entries []WebhookEntry) []WebhookEntry { return entries[1:] }, Difference{Rules: none, Problems: []string{name + " is missing"}},
		},
		"an entry of somebody else": {
			func(entries []WebhookEntry) []WebhookEntry {
				return append([]WebhookEntry{{Name: "other.example.com"}}, entries...)
			}, Difference{Rules: none},
		},
		"a failurePolicy that lets everything through": {
			first(func(e *WebhookEntry) { e.FailurePolicy = new(admissionregistrationv1.Ignore) }),
			Difference{Rules: none, Problems: []string{name + " has failurePolicy Ignore, and not Fail"}},
		},
		"a condition that nothing meets": {
			first(func(e *WebhookEntry) {
				e.MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "never", Expression: "false"}}
			}),
			Difference{Rules: none, Problems: []string{name + " has other matchConditions"}},
		},
		"a selector by labels of objects": {
			first(func(e *WebhookEntry) {
				e.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
			}),
			Difference{Rules: none, Problems: []string{name + " has an objectSelector, which whoever writes an object gets around"}},
		},
		"an empty selector, as API servers fill it in": {
			first(func(e *WebhookEntry) { e.ObjectSelector = &metav1.LabelSelector{} }), Difference{Rules: none},
		},
		"a selector by labels of namespaces": {
			first(func(e *WebhookEntry) {
				e.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"bound": "true"}}
			}),
			Difference{Rules: none, Problems: []string{name + " has a namespaceSelector that does more than leave out namespaces by name"}},
		},
		"other namespaces left out by name, which are counted": {
			first(func(e *WebhookEntry) {
				e.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
					Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"monitoring", "kube-system"},
				}}}
			}),
			Difference{Rules: none, Problems: []string{name + " leaves out the namespaces kube-system, monitoring, and not, as --excluded-namespaces says, " +
				"cert-manager, knative-serving, kube-node-lease, kube-system, kubetorch-system"}},
		},
		"no namespace left out": {
			first(func(e *WebhookEntry) { e.NamespaceSelector = &metav1.LabelSelector{} }),
			Difference{Rules: none, Problems: []string{name + " leaves out the namespaces none, and not, as --excluded-namespaces says, " +
				"cert-manager, knative-serving, kube-node-lease, kube-system, kubetorch-system"}},
		},
		"the same namespaces in another order": {
			first(func(e *WebhookEntry) { slices.Reverse(e.NamespaceSelector.MatchExpressions[0].Values) }), Difference{Rules: none},
		},
		"objects of other versions get through": {
			first(func(e *WebhookEntry) { e.MatchPolicy = new(admissionregistrationv1.Exact) }),
			Difference{Rules: none, Problems: []string{name + " has matchPolicy Exact, and not Equivalent"}},
		},
		"an entry with a port of its own": {
			func(entries []WebhookEntry) []WebhookEntry {
				entries[1].ClientConfig.Service.Port = new(int32(8443))
				return entries
			},
			Difference{Rules: none, Problems: []string{"validate-revisions.kubetorch.com calls port 8443, and not 443 as " + name + " does"}},
		},
		"another port for all, which the Service may have": {
			func(entries []WebhookEntry) []WebhookEntry {
				for i := range entries {
					entries[i].ClientConfig.Service.Port = new(int32(8443))
				}
				return entries
			},
			Difference{Rules: none},
		},
		"another service": {
			first(func(e *WebhookEntry) { e.ClientConfig.Service.Name = "other" }),
			Difference{Rules: none, Problems: []string{name + " does not call the Service kubetorch-system/kubetorch-webhook"}},
		},
		"another path, and a failurePolicy: both are said": {
			first(func(e *WebhookEntry) {
				e.ClientConfig.Service.Path = new("/mutate")
				e.FailurePolicy = new(admissionregistrationv1.Ignore)
			}),
			Difference{Rules: none, Problems: []string{name + " has failurePolicy Ignore, and not Fail", name + " calls another path"}},
		},
		"a longer timeout": {first(func(e *WebhookEntry) { e.TimeoutSeconds = new(int32(10)) }), Difference{Rules: none}},
	} {
		t.Run(what, func(t *testing.T) {
			e := expected(t)
			assert.Equal(t, c.want, e.compare(e.Validating, installed(t, c.edit), verified))
		})
	}
}

func TestConditionsNameKnativesNamespace(t *testing.T) {
	elsewhere, err := NewExpected(service, "serverless", excluded)
	require.NoError(t, err)
	problems := elsewhere.compare(elsewhere.Validating, installed(t, func(e []WebhookEntry) []WebhookEntry { return e }), verified).Problems
	assert.Contains(t, problems, "validate-scale.kubetorch.com has other matchConditions", "they name knative-serving")
	e := expected(t)
	assert.Empty(t, e.compare(e.Validating, installed(t, func(e []WebhookEntry) []WebhookEntry { return e }), verified).Problems)
}

func TestKindsOfAFileGetTheRulesThatTheyLack(t *testing.T) {
	shipped := workload.BuiltInOperators().Kinds
	cluster, ok := workload.BuiltInOperators().For(schema.GroupKind{Group: "ray.io", Kind: "RayCluster"})
	require.True(t, ok)
	scaled := *cluster
	scaled.Scale, scaled.Finished = true, &workload.OperatorFinish{Conditions: []string{"Done"}}
	for name, c := range map[string]struct {
		kinds []workload.OperatorKind
		want  map[string][]string
	}{
		"those that the program comes with": {shipped, map[string][]string{}},
		"one of a platform team": {
			[]workload.OperatorKind{{Group: "acme.example", Kind: "Training", Resource: "trainings", Scale: true}},
			map[string][]string{operatorsEntry: {"acme.example/trainings"}, scaleEntry: {"acme.example/trainings/scale"}, autoscaledEntry: {"acme.example/trainings/scale"}},
		},
		"one whose status says that it has finished": {
			[]workload.OperatorKind{{Group: "acme.example", Kind: "Training", Resource: "trainings", Finished: &workload.OperatorFinish{Conditions: []string{"Done"}}}},
			map[string][]string{operatorsEntry: {"acme.example/trainings"}, statusEntry: {"acme.example/trainings/status"}},
		},
		"another row for one that the program comes with, with a scale and an end": {
			[]workload.OperatorKind{scaled},
			map[string][]string{scaleEntry: {"ray.io/rayclusters/scale"}, autoscaledEntry: {"ray.io/rayclusters/scale"}, statusEntry: {"ray.io/rayclusters/status"}},
		},
		"a kind twice in two files": {
			[]workload.OperatorKind{{Group: "acme.example", Kind: "Training", Resource: "trainings"}, {Group: "acme.example", Kind: "Training", Resource: "trainings"}},
			map[string][]string{operatorsEntry: {"acme.example/trainings"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := expected(t)
			with := e.WithKinds(c.kinds)
			added := map[string][]string{}
			for i, entry := range with.Validating {
				for _, rule := range entry.Rules[len(e.Validating[i].Rules):] {
					assert.Equal(t, []string{"*"}, rule.APIVersions)
					added[entry.Name] = append(added[entry.Name], rule.APIGroups[0]+"/"+rule.Resources[0])
				}
			}
			assert.Equal(t, c.want, added)
		})
	}
}
