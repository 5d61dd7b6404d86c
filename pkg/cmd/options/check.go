package options

import (
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Check are the flags of the command check.
type Check struct {
	Cluster          ClusterFlags
	Namespace        string
	Service          string
	Configuration    string
	KnativeNamespace string
	Wait             time.Duration
	Dial             bool
	Kinds            Kinds
	Excluded         Excluded
}

// AddFlags adds the flags.
func (o *Check) AddFlags(flags *pflag.FlagSet) {
	o.Cluster.addFlags(flags)
	o.Kinds.addFlags(flags)
	flags.StringVar(&o.Namespace, "namespace", "kubetorch-system", "namespace of the webhook")
	flags.StringVar(&o.Service, "service", "kubetorch-webhook", "name of the webhook's Service")
	flags.StringVar(&o.Configuration, "webhook-configuration", "kubetorch-webhook", "name of both webhook configurations")
	o.Excluded.addFlags(flags)
	flags.StringVar(&o.KnativeNamespace, "knative-namespace", "knative-serving", "namespace of Knative")
	flags.DurationVar(&o.Wait, "wait", 0, "how long (`DURATION`) to try again while something is not as it should be")
	flags.BoolVar(&o.Dial, "dial", false, "in the cluster's network: also call the Service as API servers do, with the CAs of the configurations")
}

// Validate checks the options.
func (o *Check) Validate() (errs field.ErrorList) {
	errs = append(o.Kinds.validate(), o.Excluded.validate()...)
	for _, name := range []struct {
		flag, value string
		check       func(string) []string
	}{
		{"namespace", o.Namespace, validation.IsDNS1123Label},
		{"knative-namespace", o.KnativeNamespace, validation.IsDNS1123Label},
		{"service", o.Service, validation.IsDNS1035Label},
		{"webhook-configuration", o.Configuration, validation.IsDNS1123Subdomain},
	} {
		for _, problem := range name.check(name.value) {
			errs = append(errs, field.Invalid(flag(name.flag), name.value, problem))
		}
	}
	if o.Wait < 0 {
		errs = append(errs, field.Invalid(flag("wait"), o.Wait.String(), "must not be negative"))
	}
	return errs
}
