package options

import (
	"slices"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Audit are the flags of the command audit.
type Audit struct {
	Cluster          ClusterFlags
	Namespace        string
	KnativeNamespace string
	Files            []string
	Policies         []string
	KnativeConfigs   []string
	// KnativeVersion is the release of Knative, such as 1.18; empty for that of the cluster, or the one
	// that the ConfigMaps name, else the newest known.
	KnativeVersion string
	Output         string
	Kinds          Kinds
	Excluded       Excluded
}

var auditOutputs = []string{"table", "json", "html", "openreports"}

// AddFlags adds the flags.
func (o *Audit) AddFlags(flags *pflag.FlagSet) {
	o.Cluster.addFlags(flags)
	o.Kinds.addFlags(flags)
	flags.StringVar(&o.Namespace, "namespace", "kubetorch-system", "namespace of the webhook, which is left alone")
	o.Excluded.addFlags(flags)
	flags.StringVar(&o.KnativeNamespace, "knative-namespace", "knative-serving", "namespace of Knative's ConfigMaps, which is left alone")
	flags.StringArrayVarP(&o.Files, "filename", "f", nil, "`FILE|DIR|-` with objects, instead of those of the cluster; may be repeated")
	flags.StringArrayVar(&o.Policies, "policy", nil, "`FILE` with ComputePolicies and GPUBudgets, instead of those of the cluster; - is standard input; may be repeated")
	flags.StringArrayVar(&o.KnativeConfigs, "knative-config", nil, "`FILE` with Knative's ConfigMaps, with --filename; may be repeated")
	flags.StringVar(&o.KnativeVersion, "knative-version", "", "`VERSION` of Knative, 1.15 to 1.24; if it is not given, that of the cluster, or what the ConfigMaps say of themselves, else the newest")
	flags.StringVarP(&o.Output, "output", "o", auditOutputs[0], "table, json, html or openreports")
}

// Validate checks the options.
func (o *Audit) Validate() field.ErrorList {
	errs := append(o.Kinds.validate(), o.Excluded.validate()...)
	if !slices.Contains(auditOutputs, o.Output) {
		errs = append(errs, field.NotSupported(flag("output"), o.Output, auditOutputs))
	}
	for name, value := range map[string]string{"namespace": o.Namespace, "knative-namespace": o.KnativeNamespace} {
		for _, problem := range validation.IsDNS1123Label(value) {
			errs = append(errs, field.Invalid(flag(name), value, problem))
		}
	}
	errs = append(errs, readOnce(map[string][]string{"filename": o.Files, "policy": o.Policies, "knative-config": o.KnativeConfigs})...)
	if len(o.Files) == 0 {
		if len(o.KnativeConfigs) > 0 {
			errs = append(errs, field.Forbidden(flag("knative-config"), "needs --filename; a cluster has its own"))
		}
		return errs
	}
	if len(o.Policies) == 0 {
		errs = append(errs, field.Required(flag("policy"), "with --filename no cluster is asked, so name the policies"))
	}
	for _, name := range o.Cluster.named() {
		errs = append(errs, field.Forbidden(flag(name), "is of no use with --filename: no cluster is asked"))
	}
	return errs
}
