package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Set is all policies of a cluster, compiled. It is never changed after Compile.
type Set struct {
	policies []*compiled // by priority, then name
	// index finds those that may select a namespace.
	index   namespaceIndex
	invalid map[string]field.ErrorList
	// counting is what the policies, and the cluster's DeviceClasses, say about GPUs, and
	// gpus the same compiled.
	counting workload.Counting
	gpus     workload.GPUResources
	// operators are the kinds of operators; nil for those that the program comes with.
	operators *operatorTable
	// excluded are the namespaces whose objects are not counted, where an installation states others than the usual ones.
	excluded []string
	// clock tells whether exemptions have ended.
	clock func() time.Time
}

type compiled struct {
	position  int // in the set
	name      string
	namespace namespaceSelector
	workload  labels.Selector
	defaults  map[parameter.Group]SettingValues
	profiles  map[parameter.Group]map[string]SettingValues
	rules     []Rule
	gpus      []v1alpha1.GPUResource
	exempt    []v1alpha1.Exemption
}

// EndsSoon is how long before an exemption ends who uses it is warned.
const EndsSoon = 7 * 24 * time.Hour

// ended tells whether an exemption holds no more.
func ended(e *v1alpha1.Exemption, now time.Time) bool {
	return e.Until != nil && !now.Before(e.Until.Time)
}

// Ending is an exemption that ends soon.
type Ending struct {
	Policy string
	Until  time.Time
	Reason string
}

// Warning words it.
func (e Ending) Warning() string {
	reason := ""
	if e.Reason != "" {
		reason = " (" + e.Reason + ")"
	}
	return fmt.Sprintf("policy %s exempts this until %s%s; its bounds hold from then on", e.Policy, e.Until.UTC().Format(time.RFC3339), reason)
}

// SettingValues are parameter values by the parameters' names.
type SettingValues map[string]string

// Compile prepares policies for use. A policy that Validate refuses sets nothing; it is
// kept by name, so that bounds on GPUs can fail closed (Invalid).
func Compile(policies []v1alpha1.ComputePolicy) *Set {
	s := &Set{invalid: map[string]field.ErrorList{}, clock: time.Now}
	ordered := slices.Clone(policies)
	slices.SortFunc(ordered, func(a, b v1alpha1.ComputePolicy) int {
		return cmp.Or(cmp.Compare(b.Spec.Priority, a.Spec.Priority), strings.Compare(a.Name, b.Name))
	})
	for i := range ordered {
		p := &ordered[i]
		if errs := Validate(p); len(errs) > 0 {
			s.invalid[p.Name] = errs
		} else {
			s.policies = append(s.policies, compile(p))
			s.counting.Not = append(s.counting.Not, p.Spec.NotGPUResources...)
			s.counting.NotDeviceClasses = append(s.counting.NotDeviceClasses, p.Spec.NotGPUDeviceClasses...)
		}
		// What an invalid policy calls a GPU counts as well: its bounds fail closed.
		s.countAsGPUs(p.Spec.GPUResources, p.Spec.GPUDeviceClasses)
	}
	s.gpus = workload.NewGPUResources(s.counting)
	s.index = indexNamespaces(s.policies)
	return s
}

// Invalid are the policies that could not be compiled and why.
func (s *Set) Invalid() map[string]field.ErrorList { return s.invalid }

// GPUResources are the resource names that count as GPUs: the built-in ones and those
// of every policy.
func (s *Set) GPUResources() workload.GPUResources { return s.gpus }

// Counting is the set with other resource names that count as GPUs.
func (s *Set) Counting(gpus workload.GPUResources) *Set {
	copied := *s
	copied.gpus = gpus
	return &copied
}

// WithClock is the set at another time than now: exemptions may end.
func (s *Set) WithClock(clock func() time.Time) *Set {
	copied := *s
	copied.clock = clock
	return &copied
}

// operatorTable is a table with its digest.
type operatorTable struct {
	workload.Operators
	digest string
}

var shippedOperators = sync.OnceValue(func() *operatorTable {
	o := workload.BuiltInOperators()
	return &operatorTable{o, o.Digest()}
})

// Excluding is the set in an installation that states in which namespaces nothing is counted; nil for the usual ones.
func (s *Set) Excluding(namespaces []string) *Set {
	copied := *s
	copied.excluded = namespaces
	return &copied
}

// WithOperators is the set with another table of operators' kinds.
func (s *Set) WithOperators(o workload.Operators) *Set {
	copied := *s
	copied.operators = &operatorTable{o, o.Digest()}
	return &copied
}

// Operators are the kinds whose operators make pods.
func (s *Set) Operators() workload.Operators { return s.operated().Operators }

func (s *Set) operated() *operatorTable {
	if s.operators == nil {
		return shippedOperators()
	}
	return s.operators
}

// CountingAs is the set with the DeviceClasses and the kinds of operators of another.
func (s *Set) CountingAs(other *Set) *Set {
	copied := s.WithClasses(other.counting.Classes)
	copied.operators = other.operators
	return copied
}

// WithClasses is the set in a cluster that has these DeviceClasses.
func (s *Set) WithClasses(classes []workload.DeviceClass) *Set {
	copied := *s
	copied.counting.Classes = classes
	copied.gpus = workload.NewGPUResources(copied.counting)
	return &copied
}

// WithClaims is the set that counts resource claims of pods too, each in the namespace that its object
// states.
func (s *Set) WithClaims(claims *workload.ClaimIndex) *Set {
	return s.Counting(s.gpus.WithClaims(claims, ""))
}

func compile(p *v1alpha1.ComputePolicy) *compiled {
	c := &compiled{
		name:      p.Name,
		namespace: newNamespaceSelector(p.Spec.NamespaceSelector),
		workload:  selector(p.Spec.WorkloadSelector),
		defaults:  map[parameter.Group]SettingValues{},
		profiles:  map[parameter.Group]map[string]SettingValues{parameter.Autoscale: {}, parameter.Compute: {}},
		gpus:      p.Spec.GPUResources,
		exempt:    p.Spec.Exempt,
		rules:     rules(p),
	}
	if d := p.Spec.Defaults; d != nil {
		c.defaults[parameter.Autoscale] = settings(d.Autoscale)
		c.defaults[parameter.Compute] = settings(d.Compute)
	}
	if pr := p.Spec.Profiles; pr != nil {
		for i := range pr.Autoscale {
			c.profiles[parameter.Autoscale][string(pr.Autoscale[i].Name)] = settings(&pr.Autoscale[i].AutoscaleSettings)
		}
		for i := range pr.Compute {
			c.profiles[parameter.Compute][string(pr.Compute[i].Name)] = settings(&pr.Compute[i].ComputeSettings)
		}
	}
	return c
}

func selector(s *metav1.LabelSelector) labels.Selector {
	if s == nil {
		return labels.Everything()
	}
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing() // refused by Validate
	}
	return sel
}

// Subject is whose policies are wanted.
type Subject struct {
	Namespace       string
	NamespaceLabels map[string]string
	// NamespaceKnown is false where only the namespace's name is known, as offline.
	// A selector that then cannot be decided selects for bounds, not for defaults.
	NamespaceKnown bool
	Labels         map[string]string
	User           authenticationv1.UserInfo
}

// Selection is the policies that hold for one workload.
type Selection struct {
	defaults []*compiled
	bounds   []*compiled // without those that exempt the subject
	excused  []string
	ending   []Ending
	invalid  []string
	now      time.Time
	gpus     workload.GPUResources
	// namespace of the workload.
	namespace string
	// budget is the first that selects the namespace; empty if none does.
	budget func() string
}

// WithBudget has the selection know which budget selects the namespace of the workload, empty for none, so that
// accelerators that count as no GPUs are told of where only a budget counts. It is asked for these alone.
func (s Selection) WithBudget(name func() string) Selection {
	s.budget = name
	return s
}

// For selects the policies of a workload. With several subjects (the old and the new
// state of one object) the first one's policies set defaults, everyone's set bounds.
func (s *Set) For(subjects ...Subject) Selection {
	sel := Selection{gpus: s.gpus, invalid: slices.Sorted(maps.Keys(s.invalid)), now: s.clock()}
	if len(subjects) > 0 {
		sel.namespace = subjects[0].Namespace
	}
	for _, p := range s.candidates(subjects) {
		for i := range subjects {
			subject := &subjects[i]
			selects, decided := p.selects(subject)
			if i == 0 && selects && decided {
				sel.defaults = append(sel.defaults, p)
			}
			if !selects {
				continue
			}
			exempt, until := p.exempts(subject, sel.now)
			if !exempt {
				sel.bounds = append(sel.bounds, p)
				break
			}
			if until != nil && until.Until.Sub(sel.now) <= EndsSoon && !slices.ContainsFunc(sel.ending, func(e Ending) bool { return e.Policy == p.name }) {
				sel.ending = append(sel.ending, Ending{p.name, until.Until.Time, until.Reason})
			}
			if whole, _ := p.exempts(&Subject{Namespace: subject.Namespace}, sel.now); !whole && !slices.Contains(sel.excused, p.name) {
				sel.excused = append(sel.excused, p.name)
			}
		}
	}
	slices.Sort(sel.excused)
	return sel
}

// Excused are the policies, sorted, whose bounds are left out for who asks: its user,
// group or service account. An exemption of the whole namespace is not among them.
func (s Selection) Excused() []string { return s.excused }

// Ending are the exemptions that hold, and end soon.
func (s Selection) Ending() []Ending { return s.ending }

// Without leaves out the bounds of the named policies, as far as they exempt anybody in
// the namespace for who asks.
func (s Selection) Without(names []string) Selection {
	if len(names) == 0 {
		return s
	}
	s.bounds = slices.DeleteFunc(slices.Clone(s.bounds), func(p *compiled) bool {
		return slices.Contains(names, p.name) && slices.ContainsFunc(p.exempt, func(e v1alpha1.Exemption) bool {
			return !ended(&e, s.now) && len(e.Users)+len(e.Groups)+len(e.ServiceAccounts) > 0 && (len(e.Namespaces) == 0 || slices.Contains(e.Namespaces, s.namespace))
		})
	})
	return s
}

func (c *compiled) selects(s *Subject) (selects, decided bool) {
	if !c.workload.Matches(labels.Set(s.Labels)) {
		return false, true
	}
	return c.namespace.selects(s)
}

// exempts tells whether an exemption holds, and which one of those that end lasts longest:
// nil if one has no end.
func (c *compiled) exempts(s *Subject, now time.Time) (exempt bool, until *v1alpha1.Exemption) {
	for i := range c.exempt {
		e := &c.exempt[i]
		switch {
		case ended(e, now) || !matches(e, s):
		case e.Until == nil:
			return true, nil
		case until == nil || until.Until.Before(e.Until):
			exempt, until = true, e
		}
	}
	return exempt, until
}

// matches tells whether an exemption is about a subject.
func matches(e *v1alpha1.Exemption, s *Subject) bool {
	if len(e.Namespaces) > 0 && !slices.Contains(e.Namespaces, s.Namespace) {
		return false
	}
	if len(e.Users) > 0 && !slices.Contains(e.Users, s.User.Username) {
		return false
	}
	if len(e.Groups) > 0 && !slices.ContainsFunc(s.User.Groups, func(g string) bool { return slices.Contains(e.Groups, g) }) {
		return false
	}
	if len(e.ServiceAccounts) > 0 {
		name, ok := strings.CutPrefix(s.User.Username, "system:serviceaccount:")
		if !ok || !slices.Contains(e.ServiceAccounts, strings.Replace(name, ":", "/", 1)) {
			return false
		}
	}
	return true
}
