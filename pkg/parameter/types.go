package parameter

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// The two autoscaler classes under the names that Knative reads.
const (
	KPA = "kpa.autoscaling.knative.dev"
	HPA = "hpa.autoscaling.knative.dev"
)

// Type is a kind of value.
type Type struct {
	// Name is one word for tables and help.
	Name string
	// Allowed says in words what may stand here.
	Allowed string
	check   func(text string) error
	same    func(a, b string) bool
}

// Check tells what is wrong with a value, saying what is allowed. The text is never
// trimmed: white space is an error.
func (t *Type) Check(text string) error {
	if text == "" {
		return fmt.Errorf("may not be empty; allowed: %s", t.Allowed)
	}
	err := t.check(text)
	if errors.Is(err, errMalformed) {
		return fmt.Errorf("invalid value: %s; allowed: %s", text, t.Allowed)
	}
	return err
}

// Same compares two values by meaning: 60s is 1m, 1000m is 1. Values that do not
// parse are the same only when their text is.
func (t *Type) Same(a, b string) bool {
	if a == b {
		return true
	}
	return t.same != nil && t.same(a, b)
}

var errMalformed = errors.New("malformed")

// outOfRange speaks as Knative does.
func outOfRange(text string, low, high any) error {
	return fmt.Errorf("expected %v <= %s <= %v", low, text, high)
}

func sameBy[T comparable](parse func(string) (T, error)) func(a, b string) bool {
	return func(a, b string) bool {
		x, errX := parse(a)
		y, errY := parse(b)
		return errX == nil && errY == nil && x == y
	}
}

var (
	classType = &Type{Name: "class", Allowed: "kpa, hpa, kpa.autoscaling.knative.dev, hpa.autoscaling.knative.dev",
		check: checked(ParseClass), same: sameBy(ParseClass)}
	metricType = &Type{Name: "metric", Allowed: "concurrency or rps for kpa; cpu, memory or the name of a custom pod metric for hpa",
		check: checkMetric}
	targetType = &Type{Name: "number", Allowed: "a decimal number of at least 0.01",
		check: checked(ParseTarget), same: sameBy(ParseTarget)}
	percentType = &Type{Name: "percent", Allowed: "a percentage from 1 to 100, without a percent sign",
		check: checked(ParsePercent), same: sameBy(ParsePercent)}
	scaleType = &Type{Name: "pods", Allowed: "a whole number from 0 to 2147483647",
		check: checked(ParseScale), same: sameBy(ParseScale)}
	concurrencyType = &Type{Name: "requests", Allowed: "a whole number from 1 to the cluster's limit, 1000 unless it is set",
		check: checked(ParseConcurrency), same: sameBy(ParseConcurrency)}
	countType = &Type{Name: "count", Allowed: "a whole number from 0 to 2147483647",
		check: checked(ParseScale), same: sameBy(ParseScale)}

	windowType    = durationType(6*time.Second, time.Hour, "%s must be specified with at most second precision")
	delayType     = durationType(0, time.Hour, "%s must be specified with at most second precision")
	retentionType = durationType(0, time.Hour, "")
	deadlineType  = durationType(time.Second, MaxProgressDeadline, "progress-deadline=%s is not at second precision")
	launchType    = durationType(time.Second, 20*time.Hour, "")
	ttlType       = durationType(time.Second, math.MaxInt64, "")

	quantityType = &Type{Name: "quantity", Allowed: "a Kubernetes quantity above 0, such as 500m, 2 or 16Gi",
		check: checkQuantity, same: sameQuantity}
	gpuTypeType = &Type{Name: "GPU type", Allowed: "a GPU product such as NVIDIA-L4, or label/key: value (in an annotation)",
		check: func(text string) error { _, _, err := ParseGPUType(text); return err }, same: sameGPUType}
	dns1035Type   = named("name", "a DNS-1035 label: lower-case letters, digits and '-', starting with a letter, at most 63 characters", validation.IsDNS1035Label)
	subdomainType = named("name", "a DNS-1123 subdomain: lower-case letters, digits, '-' and '.', at most 253 characters", validation.IsDNS1123Subdomain)
	labelType     = named("name", "a label value: letters, digits, '-', '_' and '.', at most 63 characters", validation.IsValidLabelValue)
	textType      = &Type{Name: "text", Allowed: "any text", check: func(string) error { return nil }}
)

// MaxProgressDeadline is the longest progress deadline that is taken.
const MaxProgressDeadline = 24 * time.Hour

func checked[T any](parse func(string) (T, error)) func(string) error {
	return func(text string) error { _, err := parse(text); return err }
}

func named(name, allowed string, check func(string) []string) *Type {
	return &Type{Name: name, Allowed: allowed, check: func(text string) error {
		if len(check(text)) > 0 {
			return errMalformed
		}
		return nil
	}}
}

// ParseClass turns a short or full class name into the full one.
func ParseClass(text string) (string, error) {
	switch text {
	case "kpa", KPA:
		return KPA, nil
	case "hpa", HPA:
		return HPA, nil
	}
	return "", errMalformed
}

func checkMetric(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) ||
		len(content.IsPathSegmentName(text)) > 0 {
		return errMalformed
	}
	return nil
}

// parseFloat reads what strconv.ParseFloat reads, without hexadecimal, underscores,
// infinities and NaN.
func parseFloat(text string) (float64, error) {
	if strings.ContainsAny(text, "xX_nN") { // x: hexadecimal; n: Inf, NaN
		return 0, errMalformed
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, errMalformed
	}
	return v, nil
}

// ParseTarget reads a target value of at least 0.01.
func ParseTarget(text string) (float64, error) {
	v, err := parseFloat(text)
	if err == nil && v < 0.01 {
		err = fmt.Errorf("target %s should be at least 0.01", text)
	}
	return v, err
}

// ParsePercent reads a percentage from 1 to 100.
func ParsePercent(text string) (float64, error) {
	v, err := parseFloat(text)
	if err != nil {
		return 0, err
	}
	if v < 1 || v > 100 {
		err := outOfRange(text, 1, 100)
		if v > 0 && v < 1 {
			err = fmt.Errorf("%w; this is a percentage: write %s for %s", err, strconv.FormatFloat(v*100, 'g', 6, 64), text)
		}
		return v, err
	}
	return v, nil
}

// ParseScale reads a number of pods, or of GPUs: decimal digits, at most 2147483647.
// A sign is refused: Knative takes +5, yet nobody means anything but 5 by it.
func ParseScale(text string) (int64, error) {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || strings.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, errMalformed
	}
	v, err := strconv.ParseInt(text, 10, 32)
	if err != nil || v < 0 {
		return 0, outOfRange(text, 0, math.MaxInt32)
	}
	return v, nil
}

// ParseConcurrency reads a concurrency limit of at least 1. The upper limit is the
// cluster's and is judged where the cluster's configuration is known.
func ParseConcurrency(text string) (int64, error) {
	v, err := ParseScale(text)
	if err == nil && v < 1 {
		err = outOfRange(text, 1, "the cluster's limit")
	}
	return v, err
}

// durationType is a duration within limits. fraction is what Knative says of one that is
// not in whole seconds; empty where it takes those.
func durationType(low, high time.Duration, fraction string) *Type {
	t := &Type{Name: "duration", Allowed: "a duration from " + Seconds(low) + " to " + Seconds(high)}
	if high == math.MaxInt64 {
		t.Allowed = "a duration of at least " + Seconds(low)
	}
	if fraction != "" {
		t.Allowed += " in whole seconds"
	}
	t.Allowed += ", such as 90s or 10m"
	t.check = func(text string) error {
		d, err := time.ParseDuration(text)
		if err != nil {
			return errMalformed
		}
		if d < low || d > high {
			return outOfRange(text, low, high)
		}
		if fraction != "" && d%time.Second != 0 {
			return fmt.Errorf(fraction, text)
		}
		return nil
	}
	t.same = sameBy(time.ParseDuration)
	return t
}

// Seconds writes a duration the way people do in manifests: whole hours or minutes
// where it is some, else whole seconds, else as Go prints it.
func Seconds(d time.Duration) string {
	switch {
	case d > 0 && d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d > 0 && d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	case d%time.Second == 0:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return d.String()
}

func checkQuantity(text string) error {
	q, err := manifest.ParseQuantity(text)
	if err != nil || q.Sign() <= 0 {
		return errMalformed
	}
	return nil
}

func sameQuantity(a, b string) bool {
	x, errX := manifest.ParseQuantity(a)
	y, errY := manifest.ParseQuantity(b)
	return errX == nil && errY == nil && x.Cmp(y) == 0
}

// DefaultGPUTypeLabel is the node label that a bare GPU type stands for.
const DefaultGPUTypeLabel = "nvidia.com/gpu.product"

// ParseGPUType reads a GPU product, or "label/key: value", into a node label.
func ParseGPUType(text string) (label, value string, err error) {
	label, value = DefaultGPUTypeLabel, text
	if k, v, found := strings.Cut(text, ": "); found {
		label, value = k, v
	}
	if value == "" || len(validation.IsQualifiedName(label)) > 0 || len(validation.IsValidLabelValue(value)) > 0 {
		return "", "", errMalformed
	}
	return label, value, nil
}

func sameGPUType(a, b string) bool {
	la, va, errA := ParseGPUType(a)
	lb, vb, errB := ParseGPUType(b)
	return errA == nil && errB == nil && la == lb && va == vb
}
