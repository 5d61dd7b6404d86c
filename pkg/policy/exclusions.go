package policy

import "slices"

// Exclusions are the namespaces that are neither judged nor counted, as an installation states them.
type Exclusions []string

// UsualExclusions are those that a cluster needs, beside the webhook's own namespace and Knative's.
func UsualExclusions() Exclusions {
	return Exclusions{"kube-system", "kube-node-lease", "cert-manager"}
}

// Stated are those of an installation with others than the usual ones, in order; nil for the usual ones.
func (e Exclusions) Stated() []string {
	stated := slices.Compact(slices.Sorted(slices.Values(e)))
	if slices.Equal(stated, slices.Sorted(slices.Values(UsualExclusions()))) {
		return nil
	}
	return append([]string{""}, stated...) // also where there is none
}

// With are all of them in order, given the webhook's own namespace and Knative's.
func (e Exclusions) With(own, knative string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(e, Exclusions{own, knative}))))
}
