package review_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestCasesOfKnativesKinds: what users write themselves of the kinds that Knative makes of
// a Service. W is the outcome in the case list.
func TestCasesOfKnativesKinds(t *testing.T) {
	const (
		tooMany  = "Forbidden: asks for up to 9999 pods; policy house allows at most 20 (bounds.maxScale.max)"
		tooLarge = "Forbidden: asks for 9999 GPUs (1 x 9999 pods); policy house allows at most 32 (bounds.gpusPerWorkload.max)"
		template = "spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: "
		own      = "metadata.annotations[autoscaling.knative.dev/max-scale]: "
	)
	both := func(path string) string { return path + tooMany + "; " + path + tooLarge }
	family := []string{ksvc("2", 1, ""), configuration("2", 1, ofService), revisionOf("svc-00003", "2", 1, ofConfiguration), plainDeployment("svc-00003-deployment", "1", 1)}
	greedy := revisionOf("svc-00003", "9999", 1, "")
	routed := strings.Replace(greedy, "annotations: {", `labels: {serving.knative.dev/routingState: active}, annotations: {serving.knative.dev/routes: svc, serving.knative.dev/routingStateModified: "2026-08-01T00:00:00Z", `, 1)
	require := func(text string) string { assert.NotEqual(t, greedy, routed); return text }
	tests := map[string]struct {
		object, old string
		policy      string
		want        string
	}{
		"M10 a Configuration with max-scale 9999":                          {object: configuration("9999", 1, ""), want: both(template)},
		"M10 one without max-scale is no smaller":                          {object: strings.Replace(configuration("9999", 1, ""), `autoscaling.knative.dev/max-scale: "9999"`, "", 1), want: "unbounded pods"},
		"M10 in the other spelling":                                        {object: strings.Replace(configuration("9999", 1, ""), "max-scale", "maxScale", 1), want: tooMany},
		"M10 Clamp is Deny here":                                           {object: configuration("9999", 0, ""), policy: strings.Replace(house, "{max: 20}", "{max: 20, enforcement: Clamp}", 1), want: template + tooMany},
		"M11 a Configuration that says it is a Service's, by a forged UID": {object: configuration("9999", 1, `labels: {serving.knative.dev/service: svc, serving.knative.dev/serviceUID: s-1}, `+ownedBy("Service", "svc", "forged")), want: both(template)},
		"M11 or by the right one":                                          {object: configuration("9999", 1, `labels: {serving.knative.dev/service: svc}, `+ofService), want: both(template)},
		"M12 a Revision of max-scale 2 is annotated 9999":                  {object: revisionOf("svc-00003", "9999", 1, ofConfiguration), old: revisionOf("svc-00003", "2", 1, ofConfiguration), want: both(own)},
		"M12 one that nobody owns, too":                                    {object: revisionOf("mine", "9999", 1, ""), old: revisionOf("mine", "2", 1, ""), want: both(own)},
		"M12 its max-scale is taken away":                                  {object: strings.Replace(revisionOf("svc-00003", "2", 1, ofConfiguration), `autoscaling.knative.dev/max-scale: "2"`, "", 1), old: revisionOf("svc-00003", "2", 1, ofConfiguration), want: "unbounded pods"},
		"M12 its initial-scale is raised":                                  {object: strings.Replace(revisionOf("svc-00003", "2", 1, ofConfiguration), `annotations: {`, `annotations: {autoscaling.knative.dev/initial-scale: "9999", `, 1), old: revisionOf("svc-00003", "2", 1, ofConfiguration), want: tooMany},
		"M13 a Revision is annotated -9":                                   {object: revisionOf("svc-00003", "-9", 1, ofConfiguration), old: revisionOf("svc-00003", "2", 1, ofConfiguration), want: "a number of pods that cannot be read (autoscaling.knative.dev/max-scale: -9)"},
		"M14 the labeler's patch of a Revision above a newer bound":        {object: require(routed), old: greedy},
		"M14 and the one that takes it out of traffic":                     {object: greedy, old: routed},
		"M9 an empty patch of a Configuration above a newer bound":         {object: configuration("9999", 1, ""), old: configuration("9999", 1, "")},
		"M9 an empty patch of a PodAutoscaler above a newer bound":         {object: autoscaler("9999", "trainer", ""), old: autoscaler("9999", "trainer", "")},
		"M15 a PodAutoscaler for any Deployment":                           {object: autoscaler("10", "trainer", ""), want: "spec.scaleTargetRef: Forbidden: names no Deployment that there is, and no Revision is seen to own this, so the GPUs of its pods cannot be counted; policy house bounds GPUs (bounds.gpusPerPod.max)"},
		"M15 for one with GPUs":                                            {object: autoscaler("40", "svc-00003-deployment", ""), policy: strings.Replace(house, "maxScale: {max: 20}, ", "", 1), want: own + "Forbidden: asks for 40 GPUs (1 x 40 pods); policy house allows at most 32 (bounds.gpusPerWorkload.max)"},
		"M15 one whose target was read and fits":                           {object: autoscaler("20", "svc-00003-deployment", "")},
		"M15 a PodAutoscaler of a Revision is annotated 9999":              {object: autoscaler("9999", "svc-00003-deployment", ofRevision), old: autoscaler("2", "svc-00003-deployment", ofRevision), want: both(own)},
		// Whether Knative's own webhooks skip a namespace (webhooks.knative.dev/exclude) is
		// nothing that a request tells, so the core has nothing to tell apart: M17 is the same
		// request in a namespace with the label. The shipped configurations exclude by name only.
		"M17 in a namespace that Knative's webhooks skip": {object: configuration("9999", 1, ""), want: both(template)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.policy == "" {
				test.policy = house
			}
			answer, _ := judged(t, ask(test.object, test.old), storing(family...), test.policy)
			if test.want == "" {
				assert.True(t, answer.Allowed, "%s", reasonsOf(answer))
				return
			}
			assert.False(t, answer.Allowed)
			assert.Contains(t, reasonsOf(answer), test.want)
			without, _ := judged(t, ask(test.object, test.old), storing(family...))
			assert.True(t, without.Allowed, "without a policy it is Knative's business")
		})
	}
}
