// Package options holds the flags of each command: one struct per command, that adds
// its flags, checks them and nothing else.
package options

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Serve are the flags of the command serve.
type Serve struct {
	Listen        string
	ShutdownDelay time.Duration
	Log           Log
	HTTP          HTTP

	// In a cluster.
	Kubeconfig       string
	Namespace        string
	Service          string
	CASecret         string
	LeafLifetime     time.Duration
	CALifetime       time.Duration
	CAOverlap        time.Duration
	Configuration    string
	KnativeNamespace string
	Excluded         Excluded
	RequestTimeout   time.Duration
	MaxUnseenShare   int
	AuditInterval    time.Duration
	OpenReports      bool

	// Without a cluster.
	Standalone     bool
	Policies       []string
	KnativeConfigs []string
	// KnativeVersion is the release of Knative; empty for the one that the ConfigMaps name, else
	// the newest known. A cluster says its own.
	KnativeVersion string

	// In both.
	CertDir string
	Kinds   Kinds

	flags *pflag.FlagSet
}

const (
	clusterListen    = ":9443"
	standaloneListen = "127.0.0.1:9443"
)

// minAuditInterval is often enough: an audit lists all workloads.
const minAuditInterval = 10 * time.Second

// Shorter ones would be made all the time.
const (
	minCAOverlap    = time.Second
	minLeafLifetime = 5 * time.Second
)

// Flags that make sense in one of the two modes only.
var (
	clusterOnly = []string{"api-request-timeout", "kubeconfig", "namespace", "service", "ca-secret", "leaf-lifetime", "ca-lifetime", "ca-overlap",
		"webhook-configuration", "knative-namespace", excludedFlag, "audit-interval", "openreports", "max-unseen-share"}
	standaloneOnly = []string{"policy", "knative-config", "knative-version"}
	// selfManaged are of no use where others keep the certificate.
	selfManaged = []string{"ca-secret", "leaf-lifetime", "ca-lifetime", "ca-overlap"}
)

// StandaloneOnly are the flags that no webhook in a cluster takes.
func StandaloneOnly() []string { return slices.Clone(standaloneOnly) }

// AddFlags adds the flags.
func (o *Serve) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.StringVar(&o.Listen, "listen", "", "`[HOST]:PORT` to serve HTTPS on (default "+clusterListen+", with --standalone "+standaloneListen+")")
	flags.DurationVar(&o.ShutdownDelay, "shutdown-delay", 0, "how long (`DURATION`) to go on serving, not ready, after SIGTERM")
	o.HTTP.addFlags(flags)
	o.Log.addFlags(flags)
	o.Kinds.addFlags(flags)

	namespace := os.Getenv("POD_NAMESPACE")
	if namespace == "" {
		namespace = "kubetorch-system"
	}
	flags.StringVar(&o.Kubeconfig, "kubeconfig", "", "`FILE` with access to the cluster (default: the service account's access, else $KUBECONFIG)")
	flags.StringVar(&o.Namespace, "namespace", namespace, "namespace of the webhook, by default $POD_NAMESPACE")
	flags.StringVar(&o.Service, "service", "kubetorch-webhook", "name of the webhook's Service")
	flags.StringVar(&o.CASecret, "ca-secret", "kubetorch-webhook-ca", "name of the Secret with the webhook's own CA")
	flags.DurationVar(&o.LeafLifetime, "leaf-lifetime", 7*24*time.Hour, "how long (`DURATION`) a certificate of the own CA is valid; it is renewed after two thirds")
	flags.DurationVar(&o.CALifetime, "ca-lifetime", 365*24*time.Hour, "how long (`DURATION`) the own CA is valid; it is replaced after two thirds")
	flags.DurationVar(&o.CAOverlap, "ca-overlap", 5*time.Minute, "how long (`DURATION`) a new CA is in the caBundle before it is served from, and an old one stays in it after")
	flags.StringVar(&o.Configuration, "webhook-configuration", "kubetorch-webhook", "name of both webhook configurations")
	o.Excluded.addFlags(flags)
	flags.StringVar(&o.KnativeNamespace, "knative-namespace", "knative-serving", "namespace of Knative's ConfigMaps")
	flags.DurationVar(&o.RequestTimeout, "api-request-timeout", time.Minute, "the API server's --request-timeout (`DURATION`): GPUs that a budget may have lent are freed no earlier")
	flags.IntVar(&o.MaxUnseenShare, "max-unseen-share", 50, "how much of what is free in a budget, in `PERCENT`, the claims of one namespace may hold that were admitted and are not seen stored yet; one claim may hold more")
	flags.BoolVar(&o.OpenReports, "openreports", false, "keep a ClusterReport of openreports.io for each policy, where the API server serves them")
	flags.DurationVar(&o.AuditInterval, "audit-interval", 10*time.Minute, "how often (`DURATION`) what exists is held against the policies; a change of policy has it done at once")

	flags.BoolVar(&o.Standalone, "standalone", false, "serve without a cluster")
	flags.StringArrayVar(&o.Policies, "policy", nil, "`FILE` with ComputePolicies; may be repeated")
	flags.StringVar(&o.KnativeVersion, "knative-version", "", "`VERSION` of the cluster's Knative, 1.15 to 1.24, with --standalone")
	flags.StringArrayVar(&o.KnativeConfigs, "knative-config", nil, "`FILE` with Knative's ConfigMaps; may be repeated")
	flags.StringVar(&o.CertDir, "cert-dir", "", "`DIR` with tls.crt and tls.key that others keep up to date (default: the webhook is its own CA); with --standalone, for ca.crt, tls.crt and tls.key of its own (default: a directory in the user's cache)")
}

// Complete fills in what depends on other flags or on the machine.
func (o *Serve) Complete() error {
	if o.Listen == "" {
		o.Listen = clusterListen
		if o.Standalone {
			o.Listen = standaloneListen
		}
	}
	if o.Standalone && o.CertDir == "" {
		if cache, err := os.UserCacheDir(); err == nil {
			o.CertDir = filepath.Join(cache, "kubetorch-webhook")
		} else if o.CertDir, err = os.MkdirTemp("", "kubetorch-webhook-"); err != nil {
			return fmt.Errorf("making a directory for the certificate: %w", err)
		}
	}
	return nil
}

// Validate checks completed options.
func (o *Serve) Validate() field.ErrorList {
	errs := append(o.HTTP.validate(), o.Log.validate()...)
	errs = append(errs, o.Kinds.validate()...)
	errs = append(errs, readOnce(map[string][]string{"policy": o.Policies, "knative-config": o.KnativeConfigs})...)
	if _, port, err := net.SplitHostPort(o.Listen); err != nil {
		errs = append(errs, field.Invalid(flag("listen"), o.Listen, "must be [HOST]:PORT"))
	} else if _, err := net.DefaultResolver.LookupPort(context.Background(), "tcp", port); err != nil {
		errs = append(errs, field.Invalid(flag("listen"), o.Listen, "must end in a port"))
	}
	if o.ShutdownDelay < 0 {
		errs = append(errs, field.Invalid(flag("shutdown-delay"), o.ShutdownDelay.String(), "must not be negative"))
	}
	if o.RequestTimeout <= 0 && !o.Standalone {
		errs = append(errs, field.Invalid(flag("api-request-timeout"), o.RequestTimeout.String(), "must be above 0"))
	}
	if (o.MaxUnseenShare < 1 || o.MaxUnseenShare > 100) && !o.Standalone {
		errs = append(errs, field.Invalid(flag("max-unseen-share"), o.MaxUnseenShare, "must be from 1 to 100"))
	}
	if o.AuditInterval < minAuditInterval && !o.Standalone {
		errs = append(errs, field.Invalid(flag("audit-interval"), o.AuditInterval.String(), "must be at least "+minAuditInterval.String()))
	}
	misplaced, why := clusterOnly, "is of no use with --standalone"
	if !o.Standalone {
		misplaced, why = standaloneOnly, "needs --standalone"
	}
	for _, name := range misplaced {
		if o.flags != nil && o.flags.Changed(name) {
			errs = append(errs, field.Forbidden(flag(name), why))
		}
	}
	if o.Standalone {
		return errs
	}
	if o.CertDir != "" {
		for _, name := range selfManaged {
			if o.flags != nil && o.flags.Changed(name) {
				errs = append(errs, field.Forbidden(flag(name), "is of no use with --cert-dir"))
			}
		}
	}
	errs = append(errs, o.validateLifetimes()...)
	errs = append(errs, o.Excluded.validate()...)
	for _, name := range []struct {
		flag, value string
		check       func(string) []string
	}{
		{"namespace", o.Namespace, validation.IsDNS1123Label},
		{"knative-namespace", o.KnativeNamespace, validation.IsDNS1123Label},
		{"service", o.Service, validation.IsDNS1035Label},
		{"ca-secret", o.CASecret, validation.IsDNS1123Subdomain},
		{"webhook-configuration", o.Configuration, validation.IsDNS1123Subdomain},
	} {
		for _, problem := range name.check(name.value) {
			errs = append(errs, field.Invalid(flag(name.flag), name.value, problem))
		}
	}
	return errs
}

// validateLifetimes sees to it that a certificate can be renewed, and a CA replaced, while
// the one before is valid.
func (o *Serve) validateLifetimes() (errs field.ErrorList) {
	if o.CAOverlap < minCAOverlap {
		errs = append(errs, field.Invalid(flag("ca-overlap"), o.CAOverlap.String(), "must be at least "+minCAOverlap.String()))
	}
	if o.LeafLifetime < minLeafLifetime {
		errs = append(errs, field.Invalid(flag("leaf-lifetime"), o.LeafLifetime.String(), "must be at least "+minLeafLifetime.String()))
	}
	if need := 3 * (o.LeafLifetime + 2*o.CAOverlap); o.CALifetime < need {
		errs = append(errs, field.Invalid(flag("ca-lifetime"), o.CALifetime.String(), "must be at least "+need.String()+": 3 x (--leaf-lifetime + 2 x --ca-overlap)"))
	}
	return errs
}

// flag is how errors name a flag.
func flag(name string) *field.Path { return field.NewPath("--" + name) }
