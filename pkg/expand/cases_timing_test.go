package expand_test

import (
	"strconv"
	"testing"
)

const (
	windowAllowed    = "; allowed: a duration from 6s to 1h in whole seconds, such as 90s or 10m"
	delayAllowed     = "; allowed: a duration from 0s to 1h in whole seconds, such as 90s or 10m"
	retentionAllowed = "; allowed: a duration from 0s to 1h, such as 90s or 10m"
	deadlineAllowed  = "; allowed: a duration from 1s to 24h in whole seconds, such as 90s or 10m"
)

// value is one text for one setting: the words that refuse it, empty if it is taken.
type value struct{ setting, text, words string }

// runValues tries each value as a parameter and as the annotation that it lands in.
func runValues(t *testing.T, values map[string][]value) {
	t.Helper()
	for name, list := range values {
		for _, v := range list {
			parameterRow, nativeRow := row{in: autoscaled(v.setting, v.text)}, row{in: autoscaled().native(annotationNames(v.setting), v.text)}
			if v.words == "" {
				parameterRow.want = kpa(annotationNames(v.setting), v.text)
				nativeRow.want = parameterRow.want
			} else {
				parameterRow.refused = []string{"metadata.annotations[" + key(v.setting) + "]: Invalid value: " + strconv.Quote(v.text) + ": " + v.words}
				nativeRow.refused = []string{"spec.template.metadata.annotations[" + nativeKey(annotationNames(v.setting)) + "]: Invalid value: " + strconv.Quote(v.text) + ": " + v.words}
			}
			t.Run(name+"/"+v.setting+" "+strconv.Quote(v.text)+" as a parameter", parameterRow.run)
			t.Run(name+"/"+v.setting+" "+strconv.Quote(v.text)+" on the template", nativeRow.run)
		}
	}
}

// annotationNames is the annotation's name for a parameter's.
func annotationNames(setting string) string {
	switch setting {
	case "target-utilization":
		return "target-utilization-percentage"
	case "autoscaler-class":
		return "class"
	}
	return setting
}

func TestCasesWindow(t *testing.T) {
	malformed := func(text string) value { return value{"window", text, "invalid value: " + text + windowAllowed} }
	runValues(t, map[string][]value{
		"A2 the shortest window is taken":                {{"window", "6s", ""}},
		"A4 a shorter window is refused":                 {{"window", "5.999s", "expected 6s <= 5.999s <= 1h0m0s"}},
		"A6 any spelling of whole seconds is kept as is": {{"window", "6000ms", ""}, {"window", "0.1h", ""}, {"window", ".5m", ""}, {"window", "+60s", ""}},
		"A8 a window beyond an hour is refused": {{"window", "1h0m1s", "expected 6s <= 1h0m1s <= 1h0m0s"},
			{"window", "90m", "expected 6s <= 90m <= 1h0m0s"}},
		"A10 a number without a unit is refused":        {malformed("60")},
		"A12 white space is refused and never trimmed":  {malformed(" 60s"), malformed("60s "), malformed("60s\n"), malformed("60 s"), malformed("1m 5s")},
		"A14 digits of another script are refused":      {malformed("٦٠s")},
		"A16 a duration that overflows is refused":      {malformed("9999999999h")},
		"a window with fractions of seconds is refused": {{"window", "6.5s", "6.5s must be specified with at most second precision"}},
		"an empty window is refused":                    {{"window", "", "may not be empty" + windowAllowed}},
	})
	runRows(t, map[string]row{
		"A18 hpa uses the window too": {in: onHPA("window", "60s", "target", "1"), want: hpa("target", "1"), pod: hpaResources},
	})
}

func TestCasesDelaysAndDeadlines(t *testing.T) {
	runValues(t, map[string][]value{
		"B2 a scale-down delay up to an hour is taken": {{"scale-down-delay", "15m", ""}, {"scale-down-delay", "1h", ""}, {"scale-down-delay", "0s", ""}},
		"B4 a scale-down delay with fractions of seconds is refused": {
			{"scale-down-delay", "1.5s", "1.5s must be specified with at most second precision"},
			{"scale-down-delay", "0.4s", "0.4s must be specified with at most second precision"}},
		"B6 a scale-down delay without unit or text is refused": {
			{"scale-down-delay", "15", "invalid value: 15" + delayAllowed},
			{"scale-down-delay", "", "may not be empty" + delayAllowed}},
		"a scale-down delay beyond an hour is refused": {{"scale-down-delay", "61m", "expected 0s <= 61m <= 1h0m0s"}},
		"B10 a retention may have fractions of seconds": {{"scale-to-zero-pod-retention-period", "1.5s", ""},
			{"scale-to-zero-pod-retention-period", "1ns", ""}},
		"a retention beyond an hour is refused":     {{"scale-to-zero-pod-retention-period", "1h1s", "expected 0s <= 1h1s <= 1h0m0s"}},
		"a retention without a unit is refused":     {{"scale-to-zero-pod-retention-period", "5", "invalid value: 5" + retentionAllowed}},
		"B16 an empty progress deadline is refused": {{"progress-deadline", "", "may not be empty" + deadlineAllowed}},
		"B18 a progress deadline with fractions of seconds is refused in Knative's words": {
			{"progress-deadline", "1.5s", "progress-deadline=1.5s is not at second precision"}},
		"B20 a progress deadline that overflows Knative's arithmetic is refused": {
			{"progress-deadline", "999999h", "expected 1s <= 999999h <= 24h0m0s"}},
		"a progress deadline of nothing, which would never deploy, is refused": {{"progress-deadline", "0s", "expected 1s <= 0s <= 24h0m0s"}},
	})
	slowStart := func(parameters ...string) *manifestBuilder {
		return autoscaled(parameters...).pod(`{containers: [{image: "ghcr.io/acme/inference:v1",
			startupProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 5, failureThreshold: 180}}]}`)
	}
	runRows(t, map[string]row{
		"B8 a scale-down delay has no effect with hpa": {in: onHPA("scale-down-delay", "1m"),
			refused: []string{param("scale-down-delay", "1m", "scale-down-delay has no effect with autoscaler-class hpa; leave it out")}},
		"B8 nor has one that the template states": {in: onHPA().native("scale-down-delay", "1m"),
			refused: []string{nativeCause("scale-down-delay", "1m", "scale-down-delay has no effect with autoscaler-class hpa; leave it out")}},
		"B12 a retention beside a min-scale above 0 is taken with a warning": {
			in:       autoscaled("scale-to-zero-pod-retention-period", "5m", "min-scale", "1"),
			want:     kpa("scale-to-zero-pod-retention-period", "5m", "min-scale", "1"),
			warnings: []string{"scale-to-zero-pod-retention-period has no effect while min-scale is 1"}},
		"B14 a progress deadline on the Service's own metadata is refused": {
			in: autoscaled("serving.knative.dev/progress-deadline", "5m"),
			refused: []string{`metadata.annotations[serving.knative.dev/progress-deadline]: Invalid value: "5m": ` +
				"Knative reads this on the template only; put it under spec.template.metadata.annotations, or use autoscale.kubetorch.com/progress-deadline"}},
		"B22 a startup probe of 15 minutes asks for a longer progress deadline": {in: slowStart(), want: kpa("progress-deadline", "1080s")},
		"B22 a longer deadline of the user's is kept":                           {in: slowStart("progress-deadline", "20m"), want: kpa("progress-deadline", "20m")},
		"B22 a deadline shorter than the startup probe is refused": {in: slowStart("progress-deadline", "14m"),
			refused: []string{param("progress-deadline", "14m", "is shorter than the 15m that the startup probe allows (initialDelaySeconds + failureThreshold x periodSeconds), so a slow start would be cut off")}},
		"a launch timeout of 10 minutes asks for 12":          {in: autoscaled("launch-timeout", "10m"), want: kpa("progress-deadline", "720s")},
		"a launch timeout of 2 minutes meets the floor":       {in: autoscaled("launch-timeout", "2m"), want: kpa("progress-deadline", "10m")},
		"a launch timeout of 14 minutes gives 1.2 times that": {in: autoscaled("launch-timeout", "14m"), want: kpa("progress-deadline", "1008s")},
		"a deadline wins over a launch timeout":               {in: autoscaled("launch-timeout", "14m", "progress-deadline", "5m"), want: kpa("progress-deadline", "5m")},
		"a launch timeout shorter than the startup probe is refused": {in: slowStart("launch-timeout", "1m"),
			refused: []string{param("launch-timeout", "1m", "gives a progress deadline of 10m, shorter than the 15m that the startup probe allows (initialDelaySeconds + failureThreshold x periodSeconds)")}},
	})
}
