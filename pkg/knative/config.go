// Package knative holds what is known of the cluster's Knative Serving: its
// configuration, parsed by Knative's own code, and the annotations that it reads.
package knative

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	knconfig "knative.dev/serving/pkg/apis/config"
	autoscalerconfig "knative.dev/serving/pkg/autoscaler/config"
	autoscalertypes "knative.dev/serving/pkg/autoscaler/config/autoscalerconfig"
	"knative.dev/serving/pkg/deployment"
)

// Names of the ConfigMaps in the namespace knative-serving that are read.
const (
	Namespace         = "knative-serving"
	AutoscalerConfig  = autoscalerconfig.ConfigName
	DefaultsConfig    = knconfig.DefaultsConfigName
	FeaturesConfig    = knconfig.FeaturesConfigName
	DeploymentConfig  = deployment.ConfigName
	HPADeploymentName = "autoscaler-hpa"
)

// ConfigMaps are the names of the ConfigMaps that ParseConfig reads.
var ConfigMaps = []string{AutoscalerConfig, DefaultsConfig, FeaturesConfig, DeploymentConfig}

// Config is the cluster's Knative configuration. It is never changed after ParseConfig.
type Config struct {
	autoscaler *autoscalertypes.Config
	defaults   *knconfig.Defaults
	features   *knconfig.Features
	deployment *deployment.Config
	raw        map[string]map[string]string
	hpa        bool
	release    int
	layer      map[string]Value
}

// Value is a default that a ConfigMap states explicitly.
type Value struct {
	Text string
	// From names the ConfigMap and key.
	From string
}

// Default is Knative as it comes: no ConfigMap states anything. hpa counts as installed.
func Default() *Config {
	c, err := ParseConfig(nil)
	if err != nil {
		panic(fmt.Sprintf("Knative's own defaults do not parse: %v", err))
	}
	return c
}

// ParseConfig reads ConfigMaps (name to data) with Knative's own parsers. A missing
// ConfigMap or key is Knative's default. The error is ConfigErrors.
func ParseConfig(data map[string]map[string]string) (*Config, error) {
	c := &Config{raw: map[string]map[string]string{}, hpa: true, release: NewestRelease}
	for _, name := range ConfigMaps {
		c.raw[name] = maps.Clone(data[name])
	}
	var errs ConfigErrors
	read := func(name string, parse func(map[string]string) error) {
		if parse(c.raw[name]) != nil {
			errs = append(errs, mistakes(name, c.raw[name], parse)...)
		}
	}
	read(AutoscalerConfig, func(data map[string]string) (err error) {
		c.autoscaler, err = autoscalerconfig.NewConfigFromMap(data)
		return err
	})
	read(DefaultsConfig, func(data map[string]string) (err error) {
		c.defaults, err = knconfig.NewDefaultsConfigFromMap(data)
		return err
	})
	read(FeaturesConfig, func(data map[string]string) (err error) {
		c.features, err = knconfig.NewFeaturesConfigFromMap(data)
		return err
	})
	read(DeploymentConfig, func(data map[string]string) (err error) {
		c.deployment, err = parseDeployment(data)
		return err
	})
	if len(errs) > 0 {
		return nil, errs
	}
	c.layer = c.explicit()
	return c, nil
}

// parseDeployment lets a ConfigMap leave out the sidecar image, which Knative insists
// on and which nothing here depends on.
func parseDeployment(data map[string]string) (*deployment.Config, error) {
	data = maps.Clone(data)
	if data == nil {
		data = map[string]string{}
	}
	if data[deployment.QueueSidecarImageKey] == "" && data[deployment.DeprecatedQueueSidecarImageKey] == "" {
		data[deployment.QueueSidecarImageKey] = "unset"
	}
	return deployment.NewConfigFromMap(data)
}

// WithHPA is the same configuration in a cluster with or without autoscaler-hpa.
func (c *Config) WithHPA(installed bool) *Config {
	copied := *c
	copied.hpa = installed
	return &copied
}

// WithScaleDefaults is the configuration with other values where a template says nothing. A
// maximum of 0 is unlimited.
func (c *Config) WithScaleDefaults(minimum, maximum, initial int32) *Config {
	copied, scale := *c, *c.autoscaler
	scale.MinScale, scale.MaxScale, scale.InitialScale = minimum, maximum, initial
	copied.autoscaler = &scale
	return &copied
}

// HPAInstalled tells whether the class hpa is served.
func (c *Config) HPAInstalled() bool { return c.hpa }

// Autoscaler is a copy of the autoscaler's configuration, as Knative's own code takes it.
func (c *Config) Autoscaler() *autoscalertypes.Config {
	copied := *c.autoscaler
	return &copied
}

// Context carries the configuration to Knative's own defaulting and validation.
func (c *Config) Context(ctx context.Context) context.Context {
	return c.contextWith(ctx, c.features)
}

func (c *Config) contextWith(ctx context.Context, features *knconfig.Features) context.Context {
	return knconfig.ToContext(ctx, &knconfig.Config{Autoscaler: c.autoscaler, Defaults: c.defaults, Features: features})
}

// Explicit is the default for a parameter (by its name) that a ConfigMap states.
func (c *Config) Explicit(parameter string) (Value, bool) {
	v, ok := c.layer[parameter]
	return v, ok
}

// explicit collects the keys that stand in the ConfigMaps, under the names of the
// parameters they are defaults for.
func (c *Config) explicit() map[string]Value {
	layer := map[string]Value{}
	put := func(parameter, configMap, key string) {
		if text, ok := c.raw[configMap][key]; ok && text != "" {
			layer[parameter] = Value{Text: text, From: "cluster " + configMap + " " + key}
		}
	}
	put("autoscaler-class", AutoscalerConfig, "pod-autoscaler-class")
	put("min-scale", AutoscalerConfig, "min-scale")
	put("max-scale", AutoscalerConfig, "max-scale")
	put("initial-scale", AutoscalerConfig, "initial-scale")
	put("window", AutoscalerConfig, "stable-window")
	put("scale-down-delay", AutoscalerConfig, "scale-down-delay")
	put("scale-to-zero-pod-retention-period", AutoscalerConfig, "scale-to-zero-pod-retention-period")
	put("target-utilization", AutoscalerConfig, "container-concurrency-target-percentage")
	put("concurrency", DefaultsConfig, "container-concurrency")
	put("progress-deadline", DeploymentConfig, deployment.ProgressDeadlineKey)
	if c.autoscaler.MaxScale == 0 {
		delete(layer, "max-scale") // unlimited
	}
	if c.defaults.ContainerConcurrency == 0 {
		delete(layer, "concurrency") // no limit
	}
	if v, ok := layer["target-utilization"]; ok {
		// Knative takes both 0.7 and 70.
		v.Text = strconv.FormatFloat(c.autoscaler.ContainerConcurrencyTargetFraction*100, 'g', 10, 64)
		layer["target-utilization"] = v
	}
	return layer
}

// TargetDefault is the cluster's own target for a kpa metric; ok is false where no
// ConfigMap states one.
func (c *Config) TargetDefault(metric string) (Value, bool) {
	key := "container-concurrency-target-default"
	if metric == "rps" {
		key = "requests-per-second-target-default"
	}
	text, ok := c.raw[AutoscalerConfig][key]
	return Value{Text: text, From: "cluster " + AutoscalerConfig + " " + key}, ok && text != ""
}

// MinScale is the fewest pods where a template says nothing.
func (c *Config) MinScale() int64 { return int64(c.autoscaler.MinScale) }

// MaxScale is the most pods where a template says nothing; 0 is unlimited.
func (c *Config) MaxScale() int64 { return int64(c.autoscaler.MaxScale) }

// InitialScale is the number of pods at first where a template says nothing.
func (c *Config) InitialScale() int64 { return int64(c.autoscaler.InitialScale) }

// MaxScaleLimit is the largest max-scale that Knative accepts; 0 is no limit.
func (c *Config) MaxScaleLimit() int64 { return int64(c.autoscaler.MaxScaleLimit) }

// AllowZeroInitialScale tells whether initial-scale may be 0.
func (c *Config) AllowZeroInitialScale() bool { return c.autoscaler.AllowZeroInitialScale }

// ScaleToZero tells whether revisions may be scaled to zero pods.
func (c *Config) ScaleToZero() bool { return c.autoscaler.EnableScaleToZero }

// Class is the autoscaler class of a template that names none.
func (c *Config) Class() string { return c.autoscaler.PodAutoscalerClass }

// Retention is how long the last pod is kept where a template says nothing.
func (c *Config) Retention() time.Duration { return c.autoscaler.ScaleToZeroPodRetentionPeriod }

// ScaleDownDelay is the one of a template that says nothing.
func (c *Config) ScaleDownDelay() time.Duration { return c.autoscaler.ScaleDownDelay }

// ProgressDeadline is the one of a template that says nothing.
func (c *Config) ProgressDeadline() time.Duration { return c.deployment.ProgressDeadline }

// ConcurrencyLimit is the largest containerConcurrency that Knative accepts.
func (c *Config) ConcurrencyLimit() int64 { return c.defaults.ContainerConcurrencyMaxLimit }

// ConcurrencyDefault is the containerConcurrency of a template that names none; 0 is
// no limit.
func (c *Config) ConcurrencyDefault() int64 { return c.defaults.ContainerConcurrency }

// ConcurrencyRequired tells whether a template without a concurrency limit is refused.
func (c *Config) ConcurrencyRequired() bool { return !c.defaults.AllowContainerConcurrencyZero }

// ResourceDefault is what Knative fills in for a container that leaves a request or
// limit of cpu, memory or ephemeral-storage out; nil is nothing.
func (c *Config) ResourceDefault(list, name string) *resource.Quantity {
	d := c.defaults
	switch list + "." + name {
	case "requests.cpu":
		return d.RevisionCPURequest
	case "requests.memory":
		return d.RevisionMemoryRequest
	case "requests.ephemeral-storage":
		return d.RevisionEphemeralStorageRequest
	case "limits.cpu":
		return d.RevisionCPULimit
	case "limits.memory":
		return d.RevisionMemoryLimit
	case "limits.ephemeral-storage":
		return d.RevisionEphemeralStorageLimit
	}
	return nil
}

// ResourceDefaultKey is the key of config-defaults that says so.
func ResourceDefaultKey(list, name string) string {
	return "revision-" + name + "-" + strings.TrimSuffix(list, "s")
}

// RevisionTimeout is how many seconds a request may take where a template says nothing.
func (c *Config) RevisionTimeout() int64 { return c.defaults.RevisionTimeoutSeconds }

// MaxRevisionTimeout is how many seconds a template may give a request.
func (c *Config) MaxRevisionTimeout() int64 { return c.defaults.MaxRevisionTimeoutSeconds }

// ResponseStartTimeout is what Knative adds to a template with a longer timeoutSeconds.
func (c *Config) ResponseStartTimeout() int64 { return c.defaults.RevisionResponseStartTimeoutSeconds }

// SecurePodDefaults tells whether Knative fills in a restrictive security context.
func (c *Config) SecurePodDefaults() bool { return c.features.SecurePodDefaults == knconfig.Enabled }

// Flags of config-features that decide what an expansion may write.
const (
	FlagNodeSelector      = "kubernetes.podspec-nodeselector"
	FlagTolerations       = "kubernetes.podspec-tolerations"
	FlagAffinity          = "kubernetes.podspec-affinity"
	FlagPriorityClassName = "kubernetes.podspec-priorityclassname"
	FlagEmptyDir          = "kubernetes.podspec-volumes-emptydir"
)

// Feature tells whether a flag of config-features is enabled or allowed; Knative takes
// an emptyDir only where its flag is exactly enabled. Text that is no flag keeps
// Knative's default, as in Knative.
func (c *Config) Feature(flag string) bool {
	if flag == FlagEmptyDir {
		return c.features.PodSpecVolumesEmptyDir == knconfig.Enabled
	}
	switch text := c.raw[FeaturesConfig][flag]; {
	case strings.EqualFold(text, "enabled"), strings.EqualFold(text, "allowed"):
		return true
	case strings.EqualFold(text, "disabled"):
		return false
	}
	return false
}
