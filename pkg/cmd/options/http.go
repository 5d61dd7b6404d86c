package options

import (
	"net/url"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/admission"
)

// HTTP says who may call, how many at a time, and where requests are traced.
type HTTP struct {
	MaxConcurrent int
	ClientCAFile  string
	ClientNames   []string
	TraceEndpoint string
	TraceSampling float64

	flags *pflag.FlagSet
}

func (o *HTTP) addFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.IntVar(&o.MaxConcurrent, "max-concurrent-requests", admission.DefaultMaxConcurrent, "how many requests (`N`) each of /mutate and /validate decides at the same time; more are told to retry")
	flags.StringVar(&o.ClientCAFile, "client-ca-file", "", "`FILE` with the CAs of those who may ask for admissions; read again when it changes (default: anybody may)")
	flags.StringSliceVar(&o.ClientNames, "client-names", nil, "common or DNS names (`NAME,...`) of which a client certificate must have one (default: any)")
	flags.StringVar(&o.TraceEndpoint, "trace-endpoint", "", "`URL` of an OTLP/HTTP collector for traces of admissions, such as http://collector:4318 (default: no traces)")
	flags.Float64Var(&o.TraceSampling, "trace-sampling", 0.01, "part (`RATIO`, 0 to 1) of the traces that begin here to send")
}

func (o *HTTP) changed(name string) bool { return o.flags != nil && o.flags.Changed(name) }

func (o *HTTP) validate() (errs field.ErrorList) {
	if o.MaxConcurrent < 1 {
		errs = append(errs, field.Invalid(flag("max-concurrent-requests"), o.MaxConcurrent, "must be at least 1"))
	}
	if o.ClientCAFile == "" && len(o.ClientNames) > 0 {
		errs = append(errs, field.Forbidden(flag("client-names"), "needs --client-ca-file"))
	}
	for _, name := range o.ClientNames {
		if name == "" {
			errs = append(errs, field.Invalid(flag("client-names"), name, "must not be empty"))
		}
	}
	if o.TraceEndpoint == "" {
		if o.changed("trace-sampling") {
			errs = append(errs, field.Forbidden(flag("trace-sampling"), "needs --trace-endpoint"))
		}
	} else if u, err := url.Parse(o.TraceEndpoint); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		errs = append(errs, field.Invalid(flag("trace-endpoint"), o.TraceEndpoint, "must be an http:// or https:// URL without a user"))
	}
	if !(o.TraceSampling >= 0 && o.TraceSampling <= 1) {
		errs = append(errs, field.Invalid(flag("trace-sampling"), o.TraceSampling, "must be from 0 to 1"))
	}
	return errs
}
