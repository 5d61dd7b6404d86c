package options

import (
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/policy"
)

// Excluded are the namespaces that are neither judged nor counted, as the webhook configurations leave them out.
type Excluded []string

const excludedFlag = "excluded-namespaces"

func (e *Excluded) addFlags(flags *pflag.FlagSet) {
	flags.StringSliceVar((*[]string)(e), excludedFlag, policy.UsualExclusions(),
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

// With are all of them, given the webhook's own namespace and Knative's.
func (e Excluded) With(own, knative string) []string { return policy.Exclusions(e).With(own, knative) }
