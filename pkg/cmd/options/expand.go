package options

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Expand are the flags of the commands that read manifests from files.
type Expand struct {
	Cluster          ClusterFlags
	KnativeNamespace string
	Files            []string
	Policies         []string
	KnativeConfigs   []string
	// KnativeVersion is the release of Knative, such as 1.18; empty for the one that the
	// ConfigMaps name, else the newest known.
	KnativeVersion string
	// Diff is whether to print what changes instead of the result.
	Diff      bool
	NoKnative bool
	Output    string

	outputs []string
}

// AddFlags adds the flags; the first of the outputs is the default.
func (o *Expand) AddFlags(flags *pflag.FlagSet, outputs ...string) {
	o.outputs = outputs
	flags.StringArrayVarP(&o.Files, "filename", "f", nil, "`FILE|DIR|-` with manifests; - is standard input; may be repeated")
	flags.StringArrayVar(&o.Policies, "policy", nil, "`FILE|DIR|-` with ComputePolicies and GPUBudgets; may be repeated")
	flags.StringArrayVar(&o.KnativeConfigs, "knative-config", nil, "`FILE|DIR|-` with Knative's ConfigMaps; may be repeated")
	o.Cluster.addFlags(flags)
	flags.Lookup("kubeconfig").Usage = "`FILE` with access to a cluster that has the policies, budgets and configuration (default: no cluster is asked)"
	flags.Lookup("context").Usage = "`NAME` of the kubeconfig's context to ask (default: no cluster is asked, or the current one of --kubeconfig)"
	flags.StringVar(&o.KnativeNamespace, "knative-namespace", "knative-serving", "namespace of Knative's ConfigMaps in the cluster")
	KnativeVersion(flags, &o.KnativeVersion)
	flags.BoolVar(&o.NoKnative, "no-knative", false, "for a cluster without Knative: Deployments stay Deployments, with a fixed number of pods")
	flags.StringVarP(&o.Output, "output", "o", outputs[0], strings.Join(outputs, " or "))
}

// KnativeVersion adds the flag that says which release of Knative to go by.
func KnativeVersion(flags *pflag.FlagSet, version *string) {
	flags.StringVar(version, "knative-version", "", "`VERSION` of the cluster's Knative, 1.15 to 1.24; if it is not given, what the ConfigMaps say of themselves, else the newest")
}

// Validate checks the options.
func (o *Expand) Validate() field.ErrorList {
	var errs field.ErrorList
	if len(o.Files) == 0 {
		errs = append(errs, field.Required(flag("filename"), "name the manifests to read"))
	}
	errs = append(errs, readOnce(map[string][]string{"filename": o.Files, "policy": o.Policies, "knative-config": o.KnativeConfigs})...)
	if !slices.Contains(o.outputs, o.Output) {
		errs = append(errs, field.NotSupported(flag("output"), o.Output, o.outputs))
	}
	return errs
}

// readOnce refuses standard input that several flags, or one twice, would read.
func readOnce(files map[string][]string) (errs field.ErrorList) {
	readers := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, file := range files[name] {
			if file != "-" {
				continue
			}
			if readers++; readers > 1 {
				errs = append(errs, field.Forbidden(flag(name), "standard input (-) can be read once only: put one of them into a file"))
			}
		}
	}
	return errs
}
