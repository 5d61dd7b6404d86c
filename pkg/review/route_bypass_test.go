// Routes keep revisions running, of one's own and of others.

package review_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestARouteIsJudgedOnAllThatItNames: revisions that each fit, and a tag that keeps them
// alive.
func TestARouteIsJudgedOnAllThatItNames(t *testing.T) {
	first, second := revisionOf("svc-00001", "10", 2, ofConfiguration), revisionOf("svc-00002", "10", 2, ofConfiguration)
	const pinned = `{revisionName: svc-00001, percent: 50}, {revisionName: svc-00002, percent: 50}`
	service := func(traffic string) string {
		return strings.Replace(ksvc("10", 2, ""), "spec: {", "spec: {traffic: ["+traffic+"], ", 1)
	}
	const over = "spec.traffic: Forbidden: asks for 40 GPUs over all that it names; policy house allows at most 32 (bounds.gpusPerWorkload.max)"
	for name, test := range map[string]struct {
		object, old string
		service     string
		want        string
	}{
		"two revisions":       {object: routeTo("", pinned), want: over},
		"one of them":         {object: routeTo("", `{revisionName: svc-00001, percent: 100}`)},
		"the second as a tag": {object: routeTo("", `{revisionName: svc-00001, percent: 100}, {revisionName: svc-00002, tag: old}`), want: over},
		"a Configuration and an earlier revision":    {object: routeTo("", `{configurationName: svc, percent: 100}, {revisionName: svc-00001, tag: old}`), want: over},
		"the second by an update":                    {object: routeTo("", pinned), old: routeTo("", `{revisionName: svc-00001, percent: 100}`), want: over},
		"another split of the same":                  {object: routeTo("", strings.ReplaceAll(pinned, "50", "49")), old: routeTo("", pinned)},
		"the same, with a label":                     {object: routeTo("labels: {a: b}", pinned), old: routeTo("", pinned)},
		"fewer than before":                          {object: routeTo("", `{revisionName: svc-00001, percent: 100}`), old: routeTo("", pinned)},
		"a Service's own Route":                      {object: routeTo(ofService, pinned), service: service(pinned)},
		"one that names more than the Service does":  {object: routeTo(ofService, pinned), service: service(`{revisionName: svc-00001, percent: 100}`), want: over},
		"one that names another's Configuration":     {object: routeTo(ofService, pinned+`, {configurationName: more, tag: x}`), service: service(pinned), want: "asks for"},
		"one that says it is a Service's":            {object: routeTo(ownedBy("Service", "svc", "forged"), pinned), service: service(pinned), want: over},
		"a second Route of one Service":              {object: strings.Replace(routeTo(ofService, pinned), "name: svc,", "name: more,", 1), service: service(pinned), want: over},
		"a name beside latestRevision is no way out": {object: routeTo("", `{revisionName: svc-00001, latestRevision: true}, {revisionName: svc-00002, latestRevision: true}`), want: over},
	} {
		t.Run(name, func(t *testing.T) {
			family := []string{configuration("10", 2, ofService), first, second}
			if test.service != "" {
				family = append(family, test.service)
			}
			answer, _ := judged(t, ask(test.object, test.old), storing(family...), house)
			assert.Equal(t, test.want == "", answer.Allowed, "%s", reasonsOf(answer))
			assert.Contains(t, reasonsOf(answer), test.want)
			answer, asked := judged(t, ask(test.object, test.old), storing(family...), `{metadata: {name: pods}, spec: {bounds: {maxScale: {max: 1}}}}`)
			assert.True(t, answer.Allowed, "a Route has no pods of its own")
			assert.Empty(t, asked, "where no bound speaks of GPUs nothing is read")
		})
	}
}

// TestAServiceCountsRevisionsThatRoutesName: they keep their pods, so what the Service may
// add is less.
func TestAServiceCountsRevisionsThatRoutesName(t *testing.T) {
	old, mine := ksvc("8", 2, ""), revisionOf("svc-00001", "8", 2, ofConfiguration)
	route := strings.Replace(routeTo("", `{revisionName: svc-00001, tag: a}, {revisionName: other-00001, tag: b}`), "name: svc,", "name: theirs,", 1)
	others := revisionOf("other-00001", "8", 2, ownedBy("Configuration", "other", "c-2"))
	answer, asked := judged(t, ask(ksvc("9", 2, ""), old), storing(route, mine, others), house)
	assert.Equal(t, "spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for 34 GPUs (2 x 9 pods, and 16 GPUs of other revisions in traffic); policy house allows at most 32 (bounds.gpusPerWorkload.max)", reasonsOf(answer))
	assert.Equal(t, []string{"list Route", "get Revision other-00001 svc-00001"}, asked)

	stripped := strings.Replace(mine, ofConfiguration, "labels: {serving.knative.dev/service: svc}", 1)
	answer, _ = judged(t, ask(ksvc("9", 2, ""), old), storing(route, stripped, others), house)
	assert.False(t, answer.Allowed, "a label is enough to be counted")

	for name, test := range map[string]struct {
		object string
		s      *namespace
	}{
		"another's revision":           {ksvc("9", 2, ""), storing(route, others)},
		"no Route":                     {ksvc("9", 2, ""), storing(mine, others)},
		"a Service that asks for less": {ksvc("7", 2, ""), storing(route, mine, others)},
		"a new Service has none":       {ksvc("16", 2, ""), storing(route, mine, others)},
	} {
		t.Run(name, func(t *testing.T) {
			before := old
			if name == "a new Service has none" {
				before = ""
			}
			answer, _ := judged(t, ask(test.object, before), test.s, house)
			assert.True(t, answer.Allowed, "%s", reasonsOf(answer))
		})
	}
	answer, asked = judged(t, ask(old, old), storing(route, mine, others), house)
	assert.True(t, answer.Allowed)
	assert.Empty(t, asked, "an update that asks for the same reads nothing")
}
