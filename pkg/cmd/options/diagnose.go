package options

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Diagnose are the flags of the commands why and trace.
type Diagnose struct {
	Cluster          ClusterFlags
	Namespace        string
	KnativeNamespace string
	Files            []string
	Output           string
	// Kind and Name are what the argument names; empty if files are.
	Kind, Name string
}

var diagnoseOutputs = []string{"table", "json"}

// diagnoseKinds are the kinds that an argument may name, by their names.
var diagnoseKinds = map[string]string{"deployment": "Deployment", "deployments": "Deployment", "deploy": "Deployment",
	"service": "Service", "services": "Service", "ksvc": "Service", "kservice": "Service", "kservices": "Service", "services.serving.knative.dev": "Service"}

// AddFlags adds the flags.
func (o *Diagnose) AddFlags(flags *pflag.FlagSet, files bool) {
	o.Cluster.addFlags(flags)
	flags.StringVarP(&o.Namespace, "namespace", "n", "default", "namespace of the workload")
	flags.StringVar(&o.KnativeNamespace, "knative-namespace", "knative-serving", "namespace of Knative's ConfigMaps")
	if files {
		flags.StringArrayVarP(&o.Files, "filename", "f", nil, "`FILE|DIR|-` with manifests, instead of KIND/NAME; may be repeated")
	}
	flags.StringVarP(&o.Output, "output", "o", diagnoseOutputs[0], "table or json")
}

// Complete takes the arguments.
func (o *Diagnose) Complete(args []string) field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("KIND/NAME")
	switch {
	case len(args) == 2:
		args = []string{args[0] + "/" + args[1]}
		fallthrough
	case len(args) == 1:
		kind, name, ok := strings.Cut(args[0], "/")
		o.Kind, o.Name = diagnoseKinds[strings.ToLower(kind)], name
		if !ok || name == "" || o.Kind == "" {
			errs = append(errs, field.Invalid(at, args[0], "name a Deployment or a Knative Service, such as ksvc/inference or deployment/trainer"))
		}
		if len(o.Files) > 0 {
			errs = append(errs, field.Forbidden(flag("filename"), "is of no use beside KIND/NAME"))
		}
	case len(args) == 0 && len(o.Files) == 0:
		errs = append(errs, field.Required(at, "name a Deployment or a Knative Service, such as ksvc/inference"))
	case len(args) > 2:
		errs = append(errs, field.Invalid(at, strings.Join(args, " "), "name one workload"))
	}
	if !slices.Contains(diagnoseOutputs, o.Output) {
		errs = append(errs, field.NotSupported(flag("output"), o.Output, diagnoseOutputs))
	}
	for name, value := range map[string]string{"namespace": o.Namespace, "knative-namespace": o.KnativeNamespace} {
		for _, problem := range validation.IsDNS1123Label(value) {
			errs = append(errs, field.Invalid(flag(name), value, problem))
		}
	}
	return errs
}
