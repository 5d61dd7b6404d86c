package options

import (
	"os"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Kinds names a file with kinds of operators beside those that the program comes with.
type Kinds struct {
	File string

	more workload.Operators
}

func (o *Kinds) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.File, "kinds-file", "", "`FILE` with further kinds whose operators make pods, or other rows for known ones (docs/policy.md)")
}

// validate reads the file, and names every mistake in it.
func (o *Kinds) validate() field.ErrorList {
	if o.File == "" {
		return nil
	}
	raw, err := os.ReadFile(o.File)
	if err != nil {
		return field.ErrorList{field.Invalid(flag("kinds-file"), o.File, err.Error())}
	}
	table, err := offline.ParseObject(o.File, raw)
	if err != nil {
		var errs field.ErrorList
		for _, problem := range offline.Problems(err) {
			errs = append(errs, field.Invalid(flag("kinds-file"), field.OmitValueType{}, problem.Error()))
		}
		return errs
	}
	more, errs := workload.ReadOperators(table)
	for _, e := range errs {
		e.Field = flag("kinds-file").String() + ": " + e.Field
	}
	o.more = more
	return errs
}

// Operators are all kinds, once the options are valid.
func (o *Kinds) Operators() workload.Operators { return workload.BuiltInOperators().With(o.more) }
