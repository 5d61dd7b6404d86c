package knative

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// fieldFlags are the flags of config-features that fields of a pod spec need, by the
// field's path below spec.template.spec with indexes left out (Knative's
// pkg/apis/serving/fieldmask.go).
var fieldFlags = map[string]string{
	"nodeSelector":                      FlagNodeSelector,
	"tolerations":                       FlagTolerations,
	"priorityClassName":                 FlagPriorityClassName,
	"affinity":                          FlagAffinity,
	"topologySpreadConstraints":         "kubernetes.podspec-topologyspreadconstraints",
	"runtimeClassName":                  "kubernetes.podspec-runtimeclassname",
	"schedulerName":                     "kubernetes.podspec-schedulername",
	"dnsPolicy":                         "kubernetes.podspec-dnspolicy",
	"dnsConfig":                         "kubernetes.podspec-dnsconfig",
	"hostAliases":                       "kubernetes.podspec-hostaliases",
	"shareProcessNamespace":             "kubernetes.podspec-shareprocessnamespace",
	"securityContext":                   "kubernetes.podspec-securitycontext",
	"initContainers":                    flagInitContainers,
	"containers.env.valueFrom.fieldRef": "kubernetes.podspec-fieldref",
	"containers.env.valueFrom.resourceFieldRef":   "kubernetes.podspec-fieldref",
	"containers.securityContext.capabilities.add": flagCapabilities,
	"containers.livenessProbe":                    FlagMultiContainerProbing,
	"containers.readinessProbe":                   FlagMultiContainerProbing,
	"containers.startupProbe":                     FlagMultiContainerProbing,
	"volumes.persistentVolumeClaim":               flagClaim,
	"volumes.emptyDir":                            FlagEmptyDir,
}

// messageFlags are those that Knative's words tell, where its path does not.
var messageFlags = []struct{ message, flag string }{
	{"pod spec support for init-containers is off", flagInitContainers},
	{"multi-container is off", "multi-container"},
	{"Persistent volume claim support is disabled", flagClaim},
	{"Persistent volume write support is disabled", "kubernetes.podspec-persistent-volume-write"},
	{"EmptyDir volume support is disabled", FlagEmptyDir},
}

const (
	flagInitContainers = "kubernetes.podspec-init-containers"
	flagCapabilities   = "kubernetes.containerspec-addcapabilities"
	flagClaim          = "kubernetes.podspec-persistent-volume-claim"
	// FlagMultiContainerProbing lets containers beside the serving one have probes, and
	// leaves the port of liveness probes alone.
	FlagMultiContainerProbing = "multi-container-probing"
)

var indexes = regexp.MustCompile(`\[[^\]]*\]`)

// Flag names the flag of config-features without which Knative refuses what an error of
// Validate is about; empty where no flag would help.
func Flag(err *field.Error) string {
	for _, m := range messageFlags {
		if strings.HasPrefix(err.Detail, m.message) {
			return m.flag
		}
	}
	if !strings.HasPrefix(err.Detail, "must not set the field(s)") {
		return ""
	}
	if strings.HasSuffix(err.Field, "Probe.terminationGracePeriodSeconds") {
		return "" // whatever the flags
	}
	path, ok := strings.CutPrefix(indexes.ReplaceAllString(err.Field, ""), "spec.template.spec.")
	if !ok {
		return ""
	}
	if n, ok := newerFields[path[strings.LastIndex(path, ".")+1:]]; ok {
		return n.flag
	}
	if below, ok := strings.CutPrefix(path, "initContainers."); ok {
		path = "containers." + below // what a container needs
	}
	for path != "" {
		if flag, ok := fieldFlags[path]; ok {
			return flag
		}
		path = path[:max(strings.LastIndex(path, "."), 0)]
	}
	return ""
}

// WhoEnables says who can enable a flag, and where.
func WhoEnables(flag string) string {
	return "the cluster's Knative has " + flag + " disabled; a cluster administrator can enable it in ConfigMap " + FeaturesConfig + " of namespace " + Namespace
}

// Enabled tells whether a flag that is disabled by default is exactly enabled, which some
// features ask for.
func (c *Config) Enabled(flag string) bool {
	return strings.EqualFold(c.raw[FeaturesConfig][flag], "enabled")
}

// KeepsLivenessPort tells whether Knative leaves the port of a liveness probe alone.
func (c *Config) KeepsLivenessPort() bool {
	return c.Since(customLivenessPort) && c.Enabled(FlagMultiContainerProbing)
}

// WhoKeepsLivenessPort says what makes it.
func (c *Config) WhoKeepsLivenessPort() string {
	if !c.Since(customLivenessPort) {
		return fmt.Sprintf("Knative 1.%d and later leave its port alone with %s enabled, and this is %s", customLivenessPort, FlagMultiContainerProbing, c.Release())
	}
	return WhoEnables(FlagMultiContainerProbing)
}

// Unrestricted is a configuration that allows all that an expansion writes and fills
// nothing in, for objects that Knative has no part in.
func Unrestricted() *Config { return unrestricted }

var unrestricted = func() *Config {
	features := map[string]string{}
	for _, flag := range []string{FlagNodeSelector, FlagTolerations, FlagAffinity, FlagPriorityClassName, FlagEmptyDir} {
		features[flag] = "enabled"
	}
	c, err := ParseConfig(map[string]map[string]string{FeaturesConfig: features})
	if err != nil {
		panic("flags of config-features do not parse: " + err.Error())
	}
	return c
}()
