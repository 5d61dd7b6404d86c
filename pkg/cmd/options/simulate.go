package options

import (
	"slices"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/simulate"
)

// Simulate are the flags of the command simulate.
type Simulate struct {
	Files          []string
	Against        []string
	Policies       []string
	KnativeConfigs []string
	KnativeVersion string
	Load           string
	LoadUnit       string
	Service        string
	Startup        string
	Arrivals       string
	Seed           uint64
	CPUPerRequest  time.Duration
	Suggest        bool
	WaitLimit      time.Duration
	Output         string

	flags *pflag.FlagSet
}

var simulateOutputs = []string{"table", "json", "html"}

// AddFlags adds the flags.
func (o *Simulate) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.StringArrayVarP(&o.Files, "filename", "f", nil, "`FILE|DIR|-` with manifests; - is standard input; may be repeated")
	flags.StringArrayVar(&o.Against, "against", nil, "`FILE|DIR` with manifests to compare with; may be repeated")
	flags.StringArrayVar(&o.Policies, "policy", nil, "`FILE` with ComputePolicies; may be repeated")
	flags.StringArrayVar(&o.KnativeConfigs, "knative-config", nil, "`FILE` with Knative's ConfigMaps; may be repeated")
	KnativeVersion(flags, &o.KnativeVersion)
	flags.StringVar(&o.Load, "load", "", "`TRACE`: a CSV file, Prometheus's JSON answer to a range query, or "+simulate.ShapeSyntax)
	flags.StringVar(&o.LoadUnit, "load-unit", "rps", "what the values of a JSON load are: rps or concurrency; other loads say it themselves")
	flags.StringVar(&o.Service, "service-time", "1s", "how long a request takes: "+simulate.DurationSyntax)
	flags.StringVar(&o.Startup, "startup", "30s", "how long a pod takes to become ready, as --service-time")
	flags.StringVar(&o.Arrivals, "arrivals", "even", "how requests are spread: even or poisson")
	flags.Uint64Var(&o.Seed, "seed", 1, "for --arrivals poisson; the same seed gives the same requests")
	flags.DurationVar(&o.CPUPerRequest, "cpu-per-request", 0, "time that one core takes for a request, for class hpa")
	flags.BoolVar(&o.Suggest, "suggest", false, "look for the parameters that hold the fewest GPU-hours")
	flags.DurationVar(&o.WaitLimit, "wait-limit", 0, "how long 99 % of all requests may wait at most, for --suggest")
	flags.StringVarP(&o.Output, "output", "o", simulateOutputs[0], "table, json or html")
}

// Validate checks the options.
func (o *Simulate) Validate() field.ErrorList {
	var errs field.ErrorList
	if len(o.Files) == 0 {
		errs = append(errs, field.Required(flag("filename"), "name the manifests to simulate"))
	}
	if o.Load == "" {
		errs = append(errs, field.Required(flag("load"), "name a file with a load, or describe one: "+simulate.ShapeSyntax))
	}
	for name, value := range map[string]string{"service-time": o.Service, "startup": o.Startup} {
		if _, err := simulate.ParseDurations(value); err != nil {
			errs = append(errs, field.Invalid(flag(name), value, err.Error()))
		}
	}
	for _, c := range []struct {
		name, value string
		allowed     []string
	}{{"output", o.Output, simulateOutputs}, {"load-unit", o.LoadUnit, []string{"rps", "concurrency"}}, {"arrivals", o.Arrivals, []string{"even", "poisson"}}} {
		if !slices.Contains(c.allowed, c.value) {
			errs = append(errs, field.NotSupported(flag(c.name), c.value, c.allowed))
		}
	}
	if o.UnitGiven() && simulate.IsShape(o.Load) {
		errs = append(errs, field.Forbidden(flag("load-unit"), "is for JSON alone; a shape says ,unit=concurrency itself"))
	}
	if o.CPUPerRequest < 0 {
		errs = append(errs, field.Invalid(flag("cpu-per-request"), o.CPUPerRequest.String(), "must not be negative"))
	}
	return append(errs, o.validateSuggest()...)
}

// UnitGiven tells whether the unit of the load was stated.
func (o *Simulate) UnitGiven() bool { return o.flags != nil && o.flags.Changed("load-unit") }

func (o *Simulate) validateSuggest() field.ErrorList {
	given := o.flags != nil && o.flags.Changed("wait-limit")
	switch {
	case o.WaitLimit < 0:
		return field.ErrorList{field.Invalid(flag("wait-limit"), o.WaitLimit.String(), "must not be negative")}
	case o.Suggest && !given:
		return field.ErrorList{field.Required(flag("wait-limit"), "with --suggest, say how long 99 % of all requests may wait at most, such as 2s")}
	case given && !o.Suggest:
		return field.ErrorList{field.Forbidden(flag("wait-limit"), "is of no use without --suggest")}
	}
	return nil
}
