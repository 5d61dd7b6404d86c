package parameter

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/api/resource"
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
	launchType    = &Type{Name: "duration", Allowed: "a duration from 1s to 20h, such as 90s or 15m, or whole seconds, such as 900",
		check: within(ParseLaunchTimeout, time.Second, 20*time.Hour), same: sameBy(ParseLaunchTimeout)}
	ttlType = &Type{Name: "duration", Allowed: "a duration of at least 1s, such as 90s or 10m, or days, such as 1d",
		check: within(ParseInactivityTTL, time.Second, math.MaxInt64), same: sameBy(ParseInactivityTTL)}

	coresType = &Type{Name: "cores", Allowed: "CPU cores above 0, such as 500m or 2", check: checkCores, same: sameQuantity}
	bytesType = &Type{Name: "bytes", Allowed: "an amount of bytes of at least 1Mi, such as 512Mi or 16Gi", check: checkBytes, same: sameQuantity}
	trueType  = &Type{Name: "true", Allowed: "true; leave it out otherwise", check: func(text string) error {
		if text != "true" {
			return errMalformed
		}
		return nil
	}}
	portType    = &Type{Name: "port", Allowed: "a port's number from 1 to 65535, or its name in the manifest", check: checkPort}
	gpuTypeType = &Type{Name: "GPU type", Allowed: "a GPU product such as NVIDIA-L4, or label/key: value (in an annotation)",
		check: func(text string) error { _, _, err := ParseGPUType(text); return err }, same: sameGPUType}
	dns1035Type   = named("name", "a DNS-1035 label: lower-case letters, digits and '-', starting with a letter, at most 63 characters", validation.IsDNS1035Label)
	subdomainType = named("name", "a DNS-1123 subdomain: lower-case letters, digits, '-' and '.', at most 253 characters", validation.IsDNS1123Subdomain)
	labelType     = named("name", "a label value: letters, digits, '-', '_' and '.', at most 63 characters", validation.IsValidLabelValue)
	textType      = &Type{Name: "text", Allowed: "any text", check: func(string) error { return nil }}
)

// Quantity is any resource's amount.
var Quantity = &Type{Name: "quantity", Allowed: "a Kubernetes quantity above 0, such as 500m, 2 or 16Gi", check: checkQuantity, same: sameQuantity}

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

// ParseLaunchTimeout reads a duration, or whole seconds as kubetorch's client writes them.
func ParseLaunchTimeout(text string) (time.Duration, error) {
	if digits(text) {
		text += "s"
	}
	return time.ParseDuration(text)
}

// ParseInactivityTTL reads a duration, or days as kubetorch's client takes them.
func ParseInactivityTTL(text string) (time.Duration, error) {
	days, ok := strings.CutSuffix(text, "d")
	if !ok || !digits(days) {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseInt(days, 10, 64)
	if err != nil || n > int64(math.MaxInt64/(24*time.Hour)) {
		return 0, errMalformed
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

// digits tells whether text is ASCII digits and nothing else.
func digits(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
}

// within checks a duration against its limits.
func within(parse func(string) (time.Duration, error), low, high time.Duration) func(string) error {
	return func(text string) error {
		d, err := parse(text)
		switch {
		case err != nil:
			return errMalformed
		case d < low && high == math.MaxInt64:
			return fmt.Errorf("expected at least %s, not %s", Seconds(low), text)
		case d < low || d > high:
			return outOfRange(text, low, high)
		}
		return nil
	}
}

// ParsePort reads the number of a port; ok is false for a name.
func ParsePort(text string) (n int64, ok bool) {
	if !digits(text) {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 32)
	return n, err == nil
}

func checkPort(text string) error {
	if n, ok := ParsePort(text); ok {
		if n < 1 || n > 65535 {
			return outOfRange(text, 1, 65535)
		}
		return nil
	}
	if len(validation.IsValidPortName(text)) > 0 {
		return errMalformed
	}
	return nil
}

// Quantities that no node has. Whoever states more or less has mistaken the unit.
var (
	mostCores  = resource.MustParse("100k")
	leastBytes = resource.MustParse("1Mi")
)

func checkCores(text string) error {
	if err := checkQuantity(text); err != nil {
		return err
	}
	if q, _ := manifest.ParseQuantity(text); q.Cmp(mostCores) > 0 {
		return fmt.Errorf("%s is %s CPU cores; write a number of cores such as 500m or 2", text, q.AsDec())
	}
	return nil
}

// checkBytes refuses what can be no memory: 512m is about half a byte, 16 is sixteen.
func checkBytes(text string) error {
	if err := checkQuantity(text); err != nil {
		return err
	}
	if q, _ := manifest.ParseQuantity(text); q.Cmp(leastBytes) < 0 {
		return NoBytes(text)
	}
	return nil
}

// NoBytes words the refusal of a quantity that is too small to be memory or storage.
func NoBytes(text string) error {
	if number, ok := strings.CutSuffix(text, "m"); ok {
		return fmt.Errorf("%s is %s thousandths of a byte; write %sMi", text, number, number)
	}
	if decimal(text) {
		return fmt.Errorf("%s is %s bytes; write %sMi or %sGi", text, text, text, text)
	}
	return fmt.Errorf("%s is less than 1Mi; write an amount of bytes such as 512Mi or 16Gi", text)
}

// decimal tells whether text is a number without an exponent or a suffix.
func decimal(text string) bool {
	whole, fraction, found := strings.Cut(text, ".")
	return digits(whole) && (!found || digits(fraction))
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
