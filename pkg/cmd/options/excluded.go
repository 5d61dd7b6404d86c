package options

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Excluded are the namespaces that are neither judged nor counted, as the webhook configurations leave them out.
type Excluded []string

// excludedByDefault are those that a cluster needs, beside the webhook's own and Knative's.
var excludedByDefault = []string{"kube-system", "kube-node-lease", "cert-manager"}

const excludedFlag = "excluded-namespaces"

func (e *Excluded) addFlags(flags *pflag.FlagSet) {
	flags.StringSliceVar((*[]string)(e), excludedFlag, excludedByDefault,
		"`NAMESPACES` that are neither judged nor counted, beside the webhook's own and Knative's; the webhook configurations have to leave out the same")
}

func (e Excluded) validate() (errs field.ErrorList) {
	for _, name := range e {
		for _, problem := range validation.IsDNS1123Label(name) {
			errs = append(errs, field.Invalid(flag(excludedFlag), name, problem))
		}
	}
	return errs
}

// Stated are those that are not the usual ones, in order; nil if all are.
func (e Excluded) Stated() []string {
	stated, usual := slices.Sorted(slices.Values(e)), slices.Sorted(slices.Values(excludedByDefault))
	if stated = slices.Compact(stated); slices.Equal(stated, usual) {
		return nil
	}
	return append([]string{""}, stated...) // also where there is none
}

// With are all of them, given the webhook's own namespace and Knative's.
func (e Excluded) With(own, knative string) []string {
	all := slices.Concat(e, []string{own, knative})
	slices.SortFunc(all, strings.Compare)
	return slices.Compact(all)
}
