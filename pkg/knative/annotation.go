package knative

import (
	"maps"
	"slices"
	"strings"

	"knative.dev/pkg/kmap"
	"knative.dev/serving/pkg/apis/autoscaling"
	"knative.dev/serving/pkg/apis/serving"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// Annotation keys of a revision template.
const (
	AutoscalingPrefix   = autoscaling.GroupName + "/"
	SidecarPrefix       = "queue.sidecar." + serving.GroupName + "/"
	ClassKey            = autoscaling.ClassAnnotationKey
	MetricKey           = autoscaling.MetricAnnotationKey
	TargetKey           = autoscaling.TargetAnnotationKey
	UtilizationKey      = autoscaling.TargetUtilizationPercentageKey
	MinScaleKey         = autoscaling.MinScaleAnnotationKey
	MaxScaleKey         = autoscaling.MaxScaleAnnotationKey
	InitialScaleKey     = autoscaling.InitialScaleAnnotationKey
	ActivationScaleKey  = autoscaling.ActivationScaleKey
	WindowKey           = autoscaling.WindowAnnotationKey
	ScaleDownDelayKey   = autoscaling.ScaleDownDelayAnnotationKey
	RetentionKey        = autoscaling.ScaleToZeroPodRetentionPeriodKey
	ProgressDeadlineKey = serving.ProgressDeadlineAnnotationKey
)

// Spellings are the keys under which Knative reads one setting: the canonical key
// first, which wins where several are present.
var spellings = func() map[string]kmap.KeyPriority {
	m := map[string]kmap.KeyPriority{}
	for _, keys := range []kmap.KeyPriority{
		autoscaling.ClassAnnotation, autoscaling.InitialScaleAnnotation, autoscaling.MaxScaleAnnotation,
		autoscaling.MetricAnnotation, autoscaling.MetricAggregationAlgorithmAnnotation, autoscaling.ActivationScale,
		autoscaling.MinScaleAnnotation, autoscaling.PanicThresholdPercentageAnnotation,
		autoscaling.PanicWindowPercentageAnnotation, autoscaling.ScaleDownDelayAnnotation,
		autoscaling.ScaleToZeroPodRetentionPeriodAnnotation, autoscaling.TargetAnnotation,
		autoscaling.TargetBurstCapacityAnnotation, autoscaling.TargetUtilizationPercentageAnnotation,
		autoscaling.WindowAnnotation, serving.ProgressDeadlineAnnotation,
	} {
		m[keys[0]] = keys
	}
	return m
}()

var canonical = func() map[string]string {
	m := map[string]string{}
	for key, keys := range spellings {
		for _, k := range keys {
			m[k] = key
		}
	}
	return m
}()

// Spellings lists the keys under which Knative reads the setting with the given
// canonical key, canonical first.
func Spellings(key string) []string { return spellings[key] }

// Canonical is the canonical key of an annotation in either spelling; ok is false for
// a key that Knative does not read.
func Canonical(key string) (string, bool) {
	c, ok := canonical[key]
	return c, ok
}

// Get reads a setting as Knative does: the first spelling present.
func Get(annotations manifest.Object, canonicalKey string) (key, value string, ok bool) {
	for _, k := range spellings[canonicalKey] {
		if v, ok := annotations[k].(string); ok {
			return k, v, true
		}
	}
	return "", "", false
}

// IsAutoscaling tells whether a key belongs to Knative's autoscaler.
func IsAutoscaling(key string) bool { return strings.HasPrefix(key, AutoscalingPrefix) }

// Scales tells whether an annotation on a Revision or a PodAutoscaler has a part in how it
// scales, how long it takes or what its pods ask for.
func Scales(key string) bool {
	return IsAutoscaling(key) || key == ProgressDeadlineKey || strings.HasPrefix(key, SidecarPrefix)
}

// AlgorithmKey names how metrics are averaged; the only annotation of the autoscaler
// beside class and metric that holds text.
const AlgorithmKey = autoscaling.MetricAggregationAlgorithmKey

// Nearest is the autoscaler annotation most like an unknown one.
func Nearest(key string) string {
	return parameter.Closest(key, slices.Sorted(maps.Keys(spellings)))
}
