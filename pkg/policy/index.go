package policy

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// namespaceSelector selects namespaces by their labels.
type namespaceSelector struct {
	all labels.Selector
	// requirements are those of all; selectable is false if it selects nothing.
	requirements labels.Requirements
	selectable   bool
}

func newNamespaceSelector(s *metav1.LabelSelector) namespaceSelector {
	n := namespaceSelector{all: selector(s)}
	n.requirements, n.selectable = n.all.Requirements()
	return n
}

// selects tells whether a subject's namespace is selected. Where not all of its labels are
// known it is not always decided.
func (n *namespaceSelector) selects(s *Subject) (selects, decided bool) {
	if s.NamespaceKnown {
		return n.all.Matches(labels.Set(s.NamespaceLabels)), true
	}
	known := labels.Set{corev1.LabelMetadataName: s.Namespace}
	decided = true
	if !n.selectable {
		return false, true
	}
	for i := range n.requirements {
		r := &n.requirements[i]
		if r.Key() != corev1.LabelMetadataName {
			decided = false
		} else if !r.Matches(known) {
			return false, true
		}
	}
	return true, decided
}

// namespaceIndex has policies, in order: those that select only namespaces that they name, by
// the names, and all others. So a policy of another team costs nothing.
type namespaceIndex struct {
	named  map[string][]*compiled
	others []*compiled
}

func indexNamespaces(policies []*compiled) namespaceIndex {
	index := namespaceIndex{named: map[string][]*compiled{}}
	for i, p := range policies {
		p.position = i
		names, ok := p.namespaceNames()
		if !ok {
			index.others = append(index.others, p)
		}
		for _, name := range names {
			index.named[name] = append(index.named[name], p)
		}
	}
	return index
}

// namespaceNames are the only namespaces that a policy can select, by the label that holds
// their name; ok is false where it can select others.
func (c *compiled) namespaceNames() (names []string, ok bool) {
	for i := range c.namespace.requirements {
		r := &c.namespace.requirements[i]
		if r.Key() != corev1.LabelMetadataName {
			continue
		}
		switch r.Operator() {
		case selection.In, selection.Equals, selection.DoubleEquals:
			return r.ValuesUnsorted(), true
		}
	}
	return nil, false
}

// candidates are the policies, in order, that can select any of some subjects.
func (s *Set) candidates(subjects []Subject) []*compiled {
	if len(subjects) == 0 {
		return nil
	}
	name := subjects[0].namespaceName()
	for i := range subjects[1:] {
		if subjects[i+1].namespaceName() != name {
			return s.policies
		}
	}
	named, others := s.index.named[name], s.index.others
	switch {
	case len(named) == 0:
		return others
	case len(others) == 0:
		return named
	}
	all := make([]*compiled, 0, len(named)+len(others))
	for len(named) > 0 && len(others) > 0 {
		if named[0].position < others[0].position {
			all, named = append(all, named[0]), named[1:]
		} else {
			all, others = append(all, others[0]), others[1:]
		}
	}
	return append(append(all, named...), others...)
}

// namespaceName is what selectors see as the name of the namespace; empty, which is no name,
// where it has none.
func (s *Subject) namespaceName() string {
	if s.NamespaceKnown {
		return s.NamespaceLabels[corev1.LabelMetadataName]
	}
	return s.Namespace
}
