package registration

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/workload"
)

//go:embed webhooks.json
var webhooks []byte

// WebhookEntry is what the two kinds of configuration have in common.
type WebhookEntry = admissionregistrationv1.ValidatingWebhook

// Expected are the entries that make the bounds hold.
type Expected struct {
	Mutating   []WebhookEntry `json:"mutating"`
	Validating []WebhookEntry `json:"validating"`
	// service is the webhook's.
	service types.NamespacedName
	// excluded are the namespaces that are left out, in order.
	excluded []string
}

// shippedKnative is where Knative runs by default, as match conditions name it.
const shippedKnative = "system:serviceaccount:knative-serving:"

// NewExpected are the entries for a webhook behind a Service, for Knative in a namespace, and with namespaces, in order,
// that are neither judged nor counted.
func NewExpected(service types.NamespacedName, knativeNamespace string, excluded []string) (Expected, error) {
	text := strings.ReplaceAll(string(webhooks), shippedKnative, "system:serviceaccount:"+knativeNamespace+":")
	e := Expected{service: service, excluded: excluded}
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return Expected{}, fmt.Errorf("reading the expected webhooks: %w", err)
	}
	return e, nil
}

// The entries that are about operators' kinds, and about their subresources.
const (
	operatorsEntry  = "validate-operators.kubetorch.com"
	statusEntry     = "validate-operator-status.kubetorch.com"
	scaleEntry      = "validate-scale.kubetorch.com"
	autoscaledEntry = "validate-autoscaled.kubetorch.com"
)

// WithKinds adds the rules that operators' kinds of a platform team lack: with all conditions, so that what does
// not change a specification, or is being deleted, is not asked about.
func (e Expected) WithKinds(kinds []workload.OperatorKind) Expected {
	e.Validating = slices.Clone(e.Validating)
	for i := range e.Validating {
		entry := &e.Validating[i]
		entry.Rules = slices.Clone(entry.Rules)
		for _, k := range kinds {
			resource, operations := k.Resource, []admissionregistrationv1.OperationType{admissionregistrationv1.Update}
			switch {
			case entry.Name == operatorsEntry:
				operations = append([]admissionregistrationv1.OperationType{admissionregistrationv1.Create}, operations...)
			case k.Scale && (entry.Name == scaleEntry || entry.Name == autoscaledEntry):
				resource += "/scale"
			case k.Finished != nil && entry.Name == statusEntry:
				resource += "/status"
			default:
				continue
			}
			if !slices.ContainsFunc(entry.Rules, func(r admissionregistrationv1.RuleWithOperations) bool {
				return slices.Contains(r.APIGroups, k.Group) && slices.Contains(r.Resources, resource)
			}) {
				entry.Rules = append(entry.Rules, ruleFor(k, resource, operations...))
			}
		}
	}
	return e
}

func ruleFor(k workload.OperatorKind, resource string, operations ...admissionregistrationv1.OperationType) admissionregistrationv1.RuleWithOperations {
	return admissionregistrationv1.RuleWithOperations{Operations: operations, Rule: admissionregistrationv1.Rule{
		APIGroups: []string{k.Group}, APIVersions: []string{"*"}, Resources: []string{resource}, Scope: new(admissionregistrationv1.NamespacedScope),
	}}
}

// Difference is how the entries that are installed differ from the expected ones.
type Difference struct {
	// Rules are the rules that entries are to get, by their index. Closed is whether one of
	// these has none.
	Rules  map[int][]admissionregistrationv1.RuleWithOperations
	Closed bool
	// Problems say what else is not as it should be, and what lacks its rules.
	Problems []string
}

// compare holds what is installed against what is expected. Entries of other names are
// somebody else's.
func (e Expected) compare(expected, installed []WebhookEntry, verifies func(bundle []byte) error) Difference {
	d := Difference{Rules: map[int][]admissionregistrationv1.RuleWithOperations{}}
	// The port is whatever the Service has. With the wrong one for all nothing that carries GPUs is admitted; with one
	// of its own, an entry that lets through what nobody answers for lets everything through.
	first := slices.IndexFunc(installed, func(w WebhookEntry) bool { return w.Name == expected[0].Name })
	for _, want := range expected {
		i := slices.IndexFunc(installed, func(w WebhookEntry) bool { return w.Name == want.Name })
		if i < 0 {
			d.Problems = append(d.Problems, want.Name+" is missing")
			continue
		}
		have := installed[i]
		problems := e.altered(have, want)
		unverified := e.reached(have, want, verifies)
		if first >= 0 && portOf(have) != portOf(installed[first]) {
			problems = append(problems, fmt.Sprintf("calls port %d, and not %d as %s does", portOf(have), portOf(installed[first]), installed[first].Name))
		}
		if unverified != "" {
			problems = append(problems, unverified)
		}
		switch closed := len(have.Rules) == 0; {
		case sameRules(have.Rules, want.Rules):
		case closed && unverified != "":
			problems = append(problems, "has no rules, and gets none before that is mended")
		case closed:
			problems = append(problems, "has no rules")
			d.Rules[i], d.Closed = want.Rules, true
		default:
			problems = append(problems, "has other rules")
			d.Rules[i] = want.Rules
		}
		for _, problem := range problems {
			d.Problems = append(d.Problems, want.Name+" "+problem)
		}
	}
	return d
}

// altered says in which fields an entry lets through what it should not, rules apart. How long
// it waits is for whoever installs it, and whether it is asked again is of no matter to what is judged at the end.
func (e Expected) altered(have, want WebhookEntry) []string {
	var problems []string
	if is(want.FailurePolicy, admissionregistrationv1.Fail) && is(have.FailurePolicy, admissionregistrationv1.Ignore) {
		problems = append(problems, "has failurePolicy Ignore, and not Fail")
	}
	if !sameConditions(have.MatchConditions, want.MatchConditions) {
		problems = append(problems, "has other matchConditions")
	}
	if s := have.ObjectSelector; s != nil && len(s.MatchLabels)+len(s.MatchExpressions) > 0 {
		problems = append(problems, "has an objectSelector, which whoever writes an object gets around")
	}
	if is(want.MatchPolicy, admissionregistrationv1.Equivalent) && is(have.MatchPolicy, admissionregistrationv1.Exact) {
		problems = append(problems, "has matchPolicy Exact, and not Equivalent")
	}
	out, byName := leftOut(have.NamespaceSelector)
	switch {
	case !byName:
		problems = append(problems, "has a namespaceSelector that does more than leave out namespaces by name")
	case want.NamespaceSelector == nil && len(out) > 0, want.NamespaceSelector != nil && !slices.Equal(out, e.excluded):
		problems = append(problems, fmt.Sprintf("leaves out the namespaces %s, and not, as --excluded-namespaces says, %s",
			named(out), named(e.leftOut(want))))
	}
	return problems
}

// leftOut are the namespaces that an entry is to leave out.
func (e Expected) leftOut(want WebhookEntry) []string {
	if want.NamespaceSelector == nil {
		return nil
	}
	return e.excluded
}

func named(namespaces []string) string {
	if len(namespaces) == 0 {
		return "none"
	}
	return strings.Join(namespaces, ", ")
}

// reached says why the API server cannot reach the webhook by an entry.
func (e Expected) reached(have, want WebhookEntry, verifies func(bundle []byte) error) string {
	service := have.ClientConfig.Service
	switch {
	case service == nil || service.Namespace != e.service.Namespace || service.Name != e.service.Name:
		return fmt.Sprintf("does not call the Service %s", e.service)
	case want.ClientConfig.Service == nil || !reflect.DeepEqual(service.Path, want.ClientConfig.Service.Path):
		return "calls another path"
	}
	if err := verifies(have.ClientConfig.CABundle); err != nil {
		return "has a caBundle that does not verify the webhook's certificate: " + err.Error()
	}
	return ""
}

// portOf is the port of the Service that an entry calls.
func portOf(w WebhookEntry) int32 {
	if s := w.ClientConfig.Service; s != nil && s.Port != nil {
		return *s.Port
	}
	return 443
}

func is[T comparable](pointer *T, value T) bool { return pointer != nil && *pointer == value }

// leftOut are the namespaces, in order, that a selector leaves out by their names; byName is whether it selects all others.
func leftOut(s *metav1.LabelSelector) (names []string, byName bool) {
	if s == nil {
		return nil, true
	}
	for _, r := range s.MatchExpressions {
		if r.Key != corev1.LabelMetadataName || r.Operator != metav1.LabelSelectorOpNotIn {
			return nil, false
		}
		names = append(names, r.Values...)
	}
	slices.Sort(names)
	return slices.Compact(names), len(s.MatchLabels) == 0
}

func sameConditions(a, b []admissionregistrationv1.MatchCondition) bool {
	return slices.EqualFunc(a, b, func(a, b admissionregistrationv1.MatchCondition) bool {
		return a.Name == b.Name && slices.Equal(strings.Fields(a.Expression), strings.Fields(b.Expression))
	})
}

// sameRules compares rules as the API server stores them.
func sameRules(a, b []admissionregistrationv1.RuleWithOperations) bool {
	return slices.EqualFunc(a, b, func(a, b admissionregistrationv1.RuleWithOperations) bool {
		return slices.Equal(a.Operations, b.Operations) && slices.Equal(a.APIGroups, b.APIGroups) &&
			slices.Equal(a.APIVersions, b.APIVersions) && slices.Equal(a.Resources, b.Resources) && scope(a) == scope(b)
	})
}

func scope(r admissionregistrationv1.RuleWithOperations) admissionregistrationv1.ScopeType {
	if r.Scope == nil {
		return admissionregistrationv1.AllScopes
	}
	return *r.Scope
}
