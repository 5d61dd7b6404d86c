// Package audit finds what exists and breaks a bound of the policies in force. It is pure:
// it looks at what was listed, and changes none of it.
package audit

import (
	"cmp"
	"slices"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
)

// Listing is what an audit looks at.
type Listing struct {
	Policies *policy.Set
	Knative  *knative.Config
	// Served is whether the cluster serves Knative Services: without them a labelled
	// Deployment stays one.
	Served bool
	// Objects of all kinds, in any order. Those of kinds that no bound is about are passed
	// over.
	Objects []cluster.Item
	// Namespaces are the labels of namespaces, by name. One that is missing is known by its
	// name only: a selector that cannot be decided then selects.
	Namespaces map[string]map[string]string
	// Excluded are the namespaces that admission leaves alone.
	Excluded []string
}

// Finding is an object that breaks a bound of a policy.
type Finding struct {
	Policy string `json:"policy"`
	// APIVersion is the one in which the object was read.
	APIVersion string `json:"apiVersion,omitempty"`
	v1alpha1.ObjectViolation
	Enforcement v1alpha1.Enforcement `json:"enforcement"`
}

// Report is what an audit found.
type Report struct {
	// Objects is the number of objects that bounds are about.
	Objects int
	// Selected are how many of them each policy selects and does not exempt.
	Selected map[string]int
	// Policies are all of them, by name.
	Policies []policy.Description
	// Makers are, by policy that bounds GPUs, the service accounts trusted to make pods of operators' kinds that
	// live in the namespaces it selects.
	Makers map[string][]string
	// Findings are in the order of policies, namespaces, kinds, names and bounds.
	Findings []Finding
}

// Run audits. Each object counts as it is, whatever it was before the bound, whoever wrote
// it and however the bound is enforced; of exemptions, only those of whole namespaces hold. A
// child of a Knative object that asks for no more than its owner is not reported beside it.
func Run(in Listing) Report {
	c := index(in)
	r := Report{Policies: in.Policies.Describe(), Makers: c.makers(), Selected: map[string]int{}}
	for i := range in.Objects {
		o, violations, concerned := c.violations(&in.Objects[i])
		if !concerned {
			continue
		}
		r.Objects++
		for _, name := range c.selecting(o) {
			r.Selected[name]++
		}
		r.Findings = append(r.Findings, findings(o, violations)...)
	}
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.Bound, b.Bound))
	})
	c.fit(r.Findings)
	return r
}

// makers are those of a report.
func (c *indexed) makers() map[string][]string {
	all := map[string][]string{}
	for namespace, labels := range c.Namespaces {
		if slices.Contains(c.Excluded, namespace) {
			continue
		}
		found := c.Policies.Operators().MakersIn(func(n string) bool { return n == namespace })
		if len(found) == 0 {
			continue
		}
		for _, name := range c.Policies.For(policy.Subject{Namespace: namespace, NamespaceLabels: labels, NamespaceKnown: true}).Bounding() {
			all[name] = append(all[name], found...)
			slices.Sort(all[name])
		}
	}
	return all
}

// findings names each bound once.
func findings(o manifest.Object, violations []policy.Violation) []Finding {
	var all []Finding
	for _, v := range violations {
		if slices.ContainsFunc(all, func(f Finding) bool { return f.Policy == v.Policy && f.Bound == v.Bound }) {
			continue
		}
		all = append(all, Finding{Policy: v.Policy, APIVersion: manifest.Text(o, "apiVersion"), Enforcement: v.Enforcement, ObjectViolation: v1alpha1.ObjectViolation{
			Namespace: manifest.Text(o, "metadata", "namespace"), Kind: manifest.Text(o, "kind"), Name: manifest.Text(o, "metadata", "name"),
			Bound: v.Bound, Message: shortenTo(longest, words(v.Error)),
		}})
	}
	return all
}

func words(e *field.Error) string {
	if e.Type == field.ErrorTypeForbidden {
		return e.Detail
	}
	return e.Error()
}

// longest is how many bytes of a message are kept: objects may hold texts of any length.
const longest = 256

func shortenTo(longest int, text string) string {
	if len(text) <= longest {
		return text
	}
	const dots = "..."
	end := longest - len(dots)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + dots
}
