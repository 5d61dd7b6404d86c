package expand_test

import "testing"

const scaleAllowed = "; allowed: a whole number from 0 to 2147483647"

// house is the policy that the examples are held against.
const house = `
metadata: {name: house}
spec:
  bounds:
    gpusPerPod: {max: 8}
    maxScale: {max: 20}
    gpusPerWorkload: {max: 32}
`

func TestCasesScale(t *testing.T) {
	runValues(t, map[string][]value{
		"C6 leading zeros are taken and kept":           {{"max-scale", "007", ""}},
		"C6 a sign is refused":                          {{"max-scale", "+1", "invalid value: +1" + scaleAllowed}},
		"C8 digits of another script are refused":       {{"max-scale", "١٠", "invalid value: ١٠" + scaleAllowed}, {"max-scale", "１０", "invalid value: １０" + scaleAllowed}},
		"C10 numbers beyond 32 bits are refused":        {{"max-scale", "2147483648", "expected 0 <= 2147483648 <= 2147483647"}, {"max-scale", "99999999999999999999", "expected 0 <= 99999999999999999999 <= 2147483647"}},
		"C22 so is an initial-scale, which Knative has": {{"initial-scale", "99999999999", "expected 0 <= 99999999999 <= 2147483647"}},
		"an unbounded max-scale is refused":             {{"max-scale", "0", "max-scale=0 is unlimited in Knative; allowed: 1 to 2147483647"}},
		"anything but digits is refused": {{"max-scale", "5e0", "invalid value: 5e0" + scaleAllowed}, {"max-scale", " 5", "invalid value:  5" + scaleAllowed},
			{"max-scale", "5 ", "invalid value: 5 " + scaleAllowed}, {"max-scale", "", "may not be empty" + scaleAllowed}, {"min-scale", "1_0", "invalid value: 1_0" + scaleAllowed}},
		"N3 negative numbers are refused": {{"max-scale", "-1", "expected 0 <= -1 <= 2147483647"}, {"min-scale", "-1", "expected 0 <= -1 <= 2147483647"}},
	})
	limited := inCluster("autoscaler", "max-scale-limit", "10", "autoscaler", "max-scale", "5")
	zeroStart := inCluster("autoscaler", "allow-zero-initial-scale", "true")
	runRows(t, map[string]row{
		"C2 a min-scale above max-scale is refused": {in: autoscaled("min-scale", "5", "max-scale", "2"),
			refused: []string{param("min-scale", "5", "max-scale=2 is less than min-scale=5")}},
		"C2 also on the template": {in: autoscaled().native("min-scale", "5", "max-scale", "2"),
			refused: []string{nativeCause("min-scale", "5", "max-scale=2 is less than min-scale=5")}},
		"C2 also with one of each": {in: autoscaled("min-scale", "5").native("maxScale", "2"),
			refused: []string{param("min-scale", "5", "max-scale=2 is less than min-scale=5")}},
		"C4 equal scales are a fixed size": {in: autoscaled("min-scale", "2", "max-scale", "2"),
			want: kpa("min-scale", "2", "max-scale", "2", "initial-scale", "2")},
		"C12 a max-scale above the policy's bound is refused": {in: autoscaled("max-scale", "21"), at: inCluster().under(house), code: 403,
			refused: []string{"spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for up to 21 pods; policy house allows at most 20 (bounds.maxScale.max)"}},
		"C14 an unlimited max-scale where the cluster has a limit is refused in Knative's words": {in: autoscaled("max-scale", "0"), at: limited,
			refused: []string{param("max-scale", "0", "max-scale=0 (unlimited), must be less than 10")}},
		"a max-scale above the cluster's limit is refused": {in: autoscaled("max-scale", "11"), at: limited,
			refused: []string{param("max-scale", "11", "expected 1 <= 11 <= 10 (max-scale-limit of config-autoscaler)")}},
		"the cluster's own max-scale is the default": {in: autoscaled(), at: limited, want: kpa("max-scale", "5")},
		"C16 a min-scale above the cluster's default max-scale is refused": {in: autoscaled("min-scale", "20"), at: limited,
			refused: []string{param("min-scale", "20", "min-scale 20 is above max-scale 5, which is a default (cluster config-autoscaler max-scale); set autoscale.kubetorch.com/max-scale")}},
		"a min-scale above the built-in max-scale is refused": {in: autoscaled("min-scale", "11"),
			refused: []string{param("min-scale", "11", "min-scale 11 is above max-scale 10, which is a default (built-in); set autoscale.kubetorch.com/max-scale")}},
		"C18 an initial-scale above max-scale is refused": {in: autoscaled("initial-scale", "10", "max-scale", "2"),
			refused: []string{param("initial-scale", "10", "max-scale=2 is less than initial-scale=10, and Knative would start 10 pods")}},
		"C20 an initial-scale of 0 is taken with a warning where the cluster allows it": {in: autoscaled("initial-scale", "0"), at: zeroStart,
			want: kpa("initial-scale", "0"), warnings: []string{"initial-scale 0: a revision counts as ready without ever having run a pod"}},
		"an initial-scale of 0 is refused where the cluster forbids it": {in: autoscaled("initial-scale", "0"),
			refused: []string{param("initial-scale", "0", "initial-scale=0 not allowed by cluster (allow-zero-initial-scale of config-autoscaler)")}},
		"C24 an initial-scale of 0 beside a min-scale runs pods": {in: autoscaled("initial-scale", "0", "min-scale", "2"), at: zeroStart,
			want: kpa("initial-scale", "0", "min-scale", "2")},
		"C26 an activation-scale of 1 is refused in Knative's words": {in: autoscaled().native("activation-scale", "1"),
			refused: []string{"spec.template.metadata.annotations[autoscaling.knative.dev/activation-scale]: Invalid value: activation-scale=1 must be greater than 1"}},
		"C28 an activation-scale above max-scale is refused in Knative's words": {in: autoscaled("max-scale", "5").native("activation-scale", "6"),
			refused: []string{"spec.template.metadata.annotations[autoscaling.knative.dev/activation-scale]: Invalid value: max-scale=5 is less than activation-scale=6"}},
		"one above a default max-scale is refused, naming the parameter": {in: autoscaled().native("activation-scale", "20"),
			refused: []string{nativeCause("activation-scale", "20", "max-scale=10 is less than activation-scale=20, and max-scale is a default (built-in); set autoscale.kubetorch.com/max-scale")}},
		"one above a lowered default is, too": {in: autoscaled().native("activation-scale", "4"), at: inCluster().under(`{metadata: {name: p}, spec: {bounds: {maxScale: {max: 3}}}}`),
			refused:  []string{nativeCause("activation-scale", "4", "max-scale=3 is less than activation-scale=4, and max-scale is a default (built-in, lowered by policy p (bounds.maxScale.max)); set autoscale.kubetorch.com/max-scale")},
			warnings: []string{loweredDefault("max-scale", "10", "built-in", "3", "policy p (bounds.maxScale.max)")}},
		"an activation-scale within bounds is kept": {in: autoscaled().native("activation-scale", "6"), want: kpa("activation-scale", "6")},
		"C30 a claim that just fits is taken": {in: autoscaled("min-scale", "4", "max-scale", "4", "gpus", "8"),
			at:   inCluster("features", "kubernetes.podspec-tolerations", "enabled").under(house),
			want: kpa("min-scale", "4", "max-scale", "4", "initial-scale", "4"),
			pod: `{containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/gpu: "8"}, limits: {nvidia.com/gpu: "8"}}}],
				tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}, {key: dedicated, operator: Equal, value: gpu, effect: NoSchedule}]}`},
		"C32 a cluster that never scales to zero is warned of": {in: autoscaled("min-scale", "0"), at: inCluster("autoscaler", "enable-scale-to-zero", "false"),
			want:     kpa(),
			warnings: []string{"min-scale 0: the cluster does not scale to zero (enable-scale-to-zero of config-autoscaler), so one pod stays, of superseded revisions too"}},
		"all problems are named at once": {in: autoscaled("max-scale", "0", "min-scale", "x", "window", "1s", "max_scale", "3"),
			refused: []string{
				`metadata.annotations[autoscale.kubetorch.com/min-scale]: Invalid value: "x": invalid value: x` + scaleAllowed,
				param("window", "1s", "expected 6s <= 1s <= 1h0m0s"),
				param("max-scale", "0", "max-scale=0 is unlimited in Knative; allowed: 1 to 2147483647")}},
	})
}

func TestCasesTarget(t *testing.T) {
	const number, percent = "; allowed: a decimal number of at least 0.01", "; allowed: a percentage from 1 to 100, without a percent sign"
	bad := func(text string) value { return value{"target", text, "invalid value: " + text + number} }
	percentage := func(text string) value {
		return value{"target-utilization", text, "expected 1 <= " + text + " <= 100"}
	}
	runValues(t, map[string][]value{
		"D2 the smallest target is taken":            {{"target", "0.01", ""}},
		"a smaller target is refused":                {{"target", "0.009", "target 0.009 should be at least 0.01"}, {"target", "0", "target 0 should be at least 0.01"}, {"target", "-5", "target -5 should be at least 0.01"}},
		"D4 numbers in Go's notation are kept":       {{"target", "1e3", ""}, {"target", ".5", ""}, {"target", "+5", ""}},
		"D6 a target that is no number is refused":   {bad("NaN"), bad("Inf"), bad("+Inf"), bad("infinity")},
		"D8 a target that overflows is refused":      {bad("1e400")},
		"notations that few people read are refused": {bad("0x1p4"), bad("1_0"), bad("80%"), bad(" 10"), bad("10 ")},
		"D10 a percentage below 1 or above 100 is refused": {percentage("0"), percentage("100.1"), percentage("101"),
			{"target-utilization", "0.99", "expected 1 <= 0.99 <= 100; this is a percentage: write 99 for 0.99"},
			{"target-utilization", "0.7", "expected 1 <= 0.7 <= 100; this is a percentage: write 70 for 0.7"}},
		"D12 a percentage that is no number is refused": {{"target-utilization", "NaN", "invalid value: NaN" + percent}},
	})
	runRows(t, map[string]row{
		"D14 a tiny target with a tiny utilization is taken": {in: autoscaled("target", "0.01", "target-utilization", "1"),
			want: kpa("target", "0.01", "target-utilization-percentage", "1")},
	})
}

func TestCasesConcurrency(t *testing.T) {
	needsLimit := inCluster("defaults", "allow-container-concurrency-zero", "false")
	withLimit := func(n string) string {
		return `{containerConcurrency: ` + n + `, containers: [{image: "ghcr.io/acme/inference:v1"}]}`
	}
	limitField := "spec.template.spec.containerConcurrency: Invalid value: "
	runRows(t, map[string]row{
		"G2 the concurrency limit is the default target": {in: autoscaled("concurrency", "1"), want: kpa("target", "1"), pod: withLimit("1")},
		"G2 also a limit that the template states":       {in: autoscaled().pod(withLimit("1")), want: kpa("target", "1")},
		"the same limit twice is fine":                   {in: autoscaled("concurrency", "8").pod(withLimit("8")), want: kpa("target", "8")},
		"two limits are refused": {in: autoscaled("concurrency", "8").pod(withLimit("4")),
			refused: []string{param("concurrency", "8", "differs from spec.template.spec.containerConcurrency: 4; state it once")}},
		"G4 a target above the limit is taken with a warning": {in: autoscaled("concurrency", "5", "target", "10"), want: kpa("target", "10"), pod: withLimit("5"),
			warnings: []string{"target 10 is above the concurrency limit 5, so Knative aims at 5"}},
		"G6 a target below the limit is taken": {in: autoscaled("concurrency", "10", "target", "5", "target-utilization", "100"),
			want: kpa("target", "5", "target-utilization-percentage", "100"), pod: withLimit("10")},
		"G8 the limit has no part in a target of requests per second": {in: autoscaled("concurrency", "5", "metric", "rps", "target", "150"),
			want: kpa("metric", "rps", "target", "150"), pod: withLimit("5")},
		"G8 nor in the default one": {in: autoscaled("concurrency", "5", "metric", "rps"), want: kpa("metric", "rps", "target", "200"), pod: withLimit("5")},
		"G10 a limit above Knative's is refused": {in: autoscaled("concurrency", "1001"),
			refused: []string{param("concurrency", "1001", "expected 1 <= 1001 <= 1000 (container-concurrency-max-limit of config-defaults)")}},
		"G10 also on the template": {in: autoscaled().pod(withLimit("1001")), refused: []string{limitField + "1001: expected 0 <= 1001 <= 1000"}},
		"G10 the cluster may allow more": {in: autoscaled("concurrency", "1001"), at: inCluster("defaults", "container-concurrency-max-limit", "2000"),
			want: kpa("target", "1001"), pod: withLimit("1001")},
		"G12 a limit of 0 is refused": {in: autoscaled("concurrency", "0"), refused: []string{param("concurrency", "0", "expected 1 <= 0 <= the cluster's limit")}},
		"G12 no limit is refused where the cluster wants one": {in: autoscaled(), at: needsLimit,
			refused: []string{limitField + "0: expected 1 <= 0 <= 1000: the cluster asks for a limit (allow-container-concurrency-zero of config-defaults); set autoscale.kubetorch.com/concurrency"}},
		"G12 so is an explicit 0": {in: autoscaled().pod(withLimit("0")), at: needsLimit,
			refused: []string{limitField + "0: expected 1 <= 0 <= 1000: the cluster asks for a limit (allow-container-concurrency-zero of config-defaults)"}},
		"G12 a limit is taken there": {in: autoscaled("concurrency", "3"), at: needsLimit, want: kpa("target", "3"), pod: withLimit("3")},
		"G14 the cluster's default limit is the default target": {in: autoscaled(), at: inCluster("defaults", "container-concurrency", "7"),
			want: kpa("target", "7")},
		"the cluster's default target is taken": {in: autoscaled(), at: inCluster("autoscaler", "container-concurrency-target-default", "50"), want: kpa("target", "50")},
		"also that for requests per second": {in: autoscaled("metric", "rps"), at: inCluster("autoscaler", "requests-per-second-target-default", "120"),
			want: kpa("metric", "rps", "target", "120")},
	})
}
