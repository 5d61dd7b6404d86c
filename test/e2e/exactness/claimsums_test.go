package exactness

import (
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

var productTerm = regexp.MustCompile(`productName == "([^"]+)"`)

// mostOfAll is how many devices a request for all that there are may get.
const mostOfAll = 32

// readClaimSpec adds up what the requests of a claim ask for: the most of alternatives.
func (r *record) readClaimSpec(spec map[string]any) {
	requests, _, _ := unstructured.NestedSlice(spec, "devices", "requests")
	for _, request := range requests {
		alternatives, _, _ := unstructured.NestedSlice(request.(map[string]any), "firstAvailable")
		if exactly, found, _ := unstructured.NestedMap(request.(map[string]any), "exactly"); found {
			if looks, _ := exactly["adminAccess"].(bool); looks {
				r.looks += 7 * r.readRequest(exactly)
				continue
			}
			alternatives = append(alternatives, exactly)
		}
		most := int64(0)
		for _, a := range alternatives {
			most = max(most, r.readRequest(a.(map[string]any)))
			r.readSelectors(a.(map[string]any))
		}
		r.each += 7 * most
	}
}

// readRequest is how many devices a request may get.
func (r *record) readRequest(request map[string]any) int64 {
	if request["allocationMode"] == "All" {
		r.all = true
		return mostOfAll
	}
	if n, stated, _ := unstructured.NestedInt64(request, "count"); stated {
		return n
	}
	return 1
}

// readSelectors notes the product that a request is for. All of a claim name one and the same, or none.
func (r *record) readSelectors(request map[string]any) {
	selectors, _, _ := unstructured.NestedSlice(request, "selectors")
	for _, s := range selectors {
		expression, _, _ := unstructured.NestedString(s.(map[string]any), "cel", "expression")
		if m := productTerm.FindStringSubmatch(expression); m != nil {
			r.label, r.value = productLabel, strings.ReplaceAll(m[1], " ", "-")
		}
	}
}

// entry is one of a pod's claims, and the ResourceClaimTemplate that it is made of.
type entry struct{ name, template string }

// readClaims notes the claims of a pod.
func (r *record) readClaims(pod map[string]any) {
	claims, _, _ := unstructured.NestedSlice(pod, "resourceClaims")
	for _, c := range claims {
		named, _, _ := unstructured.NestedString(c.(map[string]any), "name")
		if template, _, _ := unstructured.NestedString(c.(map[string]any), "resourceClaimTemplateName"); template != "" {
			r.entries = append(r.entries, entry{named, template})
			continue
		}
		r.shares = true
	}
}

// names tells whether its pods have devices by a template.
func (r *record) names(template string) bool {
	return slices.ContainsFunc(r.entries, func(e entry) bool { return e.template == template })
}

// each is how many sevenths of a GPU one pod of an object has: by names of resources, and of what it has by a
// template, what its ResourceClaim has, once that was made, or what the template has now. Names of resources are
// of the type of the pod's nodes, and claims of that of their own selectors. Of a pod with names of resources one
// that may be of the limit's type is enough for it to count with all that it has.
func (s *sums) each(r *record) int64 {
	sum, counts := r.each, r.each > 0 && r.counts(s.product)
	for _, e := range r.entries {
		from := s.templates[r.namespace+"/"+e.template]
		for _, claim := range s.made[r.uid] {
			if claim.entry == e.name {
				from = claim // there is one, or the recount differs
			}
		}
		if from != nil {
			own := from.counts(s.product)
			if own || r.each > 0 {
				sum += from.each
			}
			counts = counts || from.each > 0 && own
		}
	}
	if !counts {
		return 0
	}
	return sum
}

// madeFor puts right whose a ResourceClaim is.
func (s *sums) madeFor(r *record) {
	for pod, claims := range s.made {
		if claims[r.uid] != nil && (r.gone || pod != r.controller) {
			delete(claims, r.uid)
			s.claimAgain(pod)
		}
	}
	if r.gone || r.controllerKind != "Pod" {
		return
	}
	put(s.made, r.controller, r)
	s.claimAgain(r.controller)
}

func (s *sums) claimAgain(uid types.UID) {
	if r := s.objects[uid]; r != nil {
		s.claim(r)
	}
}

// template puts right what the objects claim that name a template.
func (s *sums) template(r *record) {
	key := r.namespace + "/" + r.name
	switch {
	case !r.gone:
		s.templates[key] = r
	case s.templates[key] != nil && s.templates[key].uid == r.uid:
		delete(s.templates, key)
	}
	for _, o := range s.objects {
		if o.namespace == r.namespace && o.names(r.name) {
			s.claim(o)
		}
	}
}

// partOfPod tells whether a ResourceClaim is counted with the pod that it was made for.
func (s *sums) partOfPod(r *record) bool {
	pod := s.objects[r.controller]
	return pod != nil && pod.kind == "Pod" && !pod.ended &&
		slices.ContainsFunc(pod.entries, func(e entry) bool { return e.name == r.entry })
}
