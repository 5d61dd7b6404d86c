// Owners that a child names: only what the live one bears out counts, and Knative's own work
// goes on.

package review_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// tight is a policy that became stricter than what runs.
const tight = `{metadata: {name: tight}, spec: {bounds: {maxScale: {max: 1}, gpusPerPod: {max: 1}, gpusPerWorkload: {max: 1}}}}`

// TestKnativesOwnWorkGoesOn: what Knative makes of an object that was admitted is admitted,
// also after a policy became stricter, and each takes a read or two.
func TestKnativesOwnWorkGoesOn(t *testing.T) {
	family := []string{ksvc("9", 2, ""), configuration("9", 2, ofService), revisionOf("svc-00003", "9", 2, ofConfiguration), plainDeployment("svc-00003-deployment", "3", 2)}
	named := strings.Replace(configuration("9", 2, ofService), "template: {metadata: {", "template: {metadata: {name: svc-blue, ", 1)
	for name, test := range map[string]struct {
		object, old string
		family      []string
		asked       []string
	}{
		"a new Configuration":                       {object: configuration("9", 2, ofService), asked: []string{"get Service svc"}},
		"a Configuration that changes":              {object: configuration("9", 2, ofService), old: configuration("4", 1, ofService), asked: []string{"get Service svc"}},
		"a new Revision":                            {object: revisionOf("svc-00003", "9", 2, ofConfiguration), asked: []string{"get Configuration svc"}},
		"a new Revision with a name of the user's":  {object: revisionOf("svc-blue", "9", 2, ofConfiguration), family: []string{named}, asked: []string{"get Configuration svc"}},
		"a new PodAutoscaler":                       {object: autoscaler("9", "svc-00003-deployment", ofRevision), asked: []string{"get Deployment svc-00003-deployment", "get Revision svc-00003", "get Deployment svc-00003-deployment"}},
		"a PodAutoscaler whose Revision is idle":    {object: strings.Replace(autoscaler("9", "svc-00003-deployment", ofRevision), "spec: {", "spec: {reachability: Unreachable, ", 1), old: autoscaler("9", "svc-00003-deployment", ofRevision)},
		"a new Route":                               {object: routeTo(ofService, `{configurationName: svc, latestRevision: true, percent: 100}`)},
		"a Route that changes to the latest":        {object: routeTo(ofService, `{configurationName: svc, percent: 100}`), old: routeTo(ofService, `{revisionName: svc-00001, percent: 100}`)},
		"a Revision that gets a finalizer":          {object: revisionOf("svc-00002", "90", 8, "finalizers: [x], "+ofConfiguration), old: revisionOf("svc-00002", "90", 8, ofConfiguration)},
		"a Configuration that gets an annotation":   {object: configuration("90", 8, "annotations: {a: b}, "+ofService), old: configuration("90", 8, ofService)},
		"a Revision that comes down to below":       {object: revisionOf("svc-00002", "1", 8, ofConfiguration), old: revisionOf("svc-00002", "90", 8, ofConfiguration)},
		"an object that is within bounds by itself": {object: configuration("1", 1, ""), asked: nil},
	} {
		t.Run(name, func(t *testing.T) {
			if test.family == nil {
				test.family = family
			}
			answer, asked := judged(t, ask(test.object, test.old), storing(test.family...), tight)
			assert.Equal(t, review.Allow("u-1"), answer, "%s", reasonsOf(answer))
			assert.Equal(t, test.asked, asked)
		})
	}
	t.Run("and nothing is said twice of what a policy only warns of", func(t *testing.T) {
		for _, enforcement := range []string{"Warn", "Audit"} {
			soft := strings.Replace(tight, "spec: {", "spec: {enforcement: "+enforcement+", ", 1)
			answer, _ := judged(t, ask(configuration("9", 2, ofService), ""), storing(family...), soft)
			assert.Equal(t, review.Allow("u-1"), answer)
			answer, _ = judged(t, ask(configuration("9", 2, ""), ""), storing(family...), soft)
			assert.True(t, answer.Allowed)
			assert.Len(t, append(answer.Warnings, values(answer.AuditAnnotations)...), 3)
		}
	})
}

func values(m map[string]string) (all []string) {
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// TestAnOwnerIsBelievedOnlyAsFarAsTheLiveOneBearsItOut: each of these is a child that is
// not, or asks for more than its owner, and has to keep within the bounds by itself.
func TestAnOwnerIsBelievedOnlyAsFarAsTheLiveOneBearsItOut(t *testing.T) {
	service, config, revision := ksvc("9", 2, ""), configuration("9", 2, ofService), revisionOf("svc-00003", "9", 2, ofConfiguration)
	target := plainDeployment("svc-00003-deployment", "3", 2)
	renamed := func(object, from, to string) string {
		return strings.Replace(object, "name: "+from+",", "name: "+to+",", 1)
	}
	unowned := strings.Replace(ofService, "controller: true", "controller: false", 1)
	for name, test := range map[string]struct {
		object, old string
		family      []string
	}{
		"labels alone":                                       {object: configuration("9", 2, "labels: {serving.knative.dev/service: svc, serving.knative.dev/serviceUID: s-1}"), family: []string{service}},
		"an owner of another UID":                            {object: configuration("9", 2, ownedBy("Service", "svc", "s-2")), family: []string{service}},
		"an owner without a UID":                             {object: configuration("9", 2, ownedBy("Service", "svc", `""`)), family: []string{strings.Replace(service, "uid: s-1, ", "", 1)}},
		"an owner that there is not":                         {object: configuration("9", 2, ofService)},
		"an owner that does not control it":                  {object: configuration("9", 2, unowned), family: []string{service}},
		"an owner of a kind of that name":                    {object: configuration("9", 2, strings.Replace(ofService, "serving.knative.dev", "serving.example.com", 1)), family: []string{service}},
		"an owner of the wrong kind":                         {object: configuration("9", 2, ownedBy("Route", "svc", "t-1")), family: []string{service, routeTo("", "")}},
		"a second Configuration of one Service":              {object: renamed(configuration("9", 2, ofService), "svc", "more"), family: []string{service}},
		"a Configuration with more pods":                     {object: configuration("10", 2, ofService), family: []string{service}},
		"a Configuration with more GPUs":                     {object: configuration("9", 3, ofService), family: []string{service}},
		"a Configuration that is edited to more":             {object: configuration("10", 2, ofService), old: config, family: []string{service}},
		"a Revision of another generation":                   {object: revisionOf("svc-00004", "9", 2, ofConfiguration), family: []string{config}},
		"a Revision of any name":                             {object: revisionOf("svc-00003x", "9", 2, ofConfiguration), family: []string{config}},
		"a Revision of a Service":                            {object: revisionOf("svc", "9", 2, ofService), family: []string{service}},
		"an earlier Revision that is raised to the latest's": {object: revisionOf("svc-00001", "9", 2, ofConfiguration), old: revisionOf("svc-00001", "2", 2, ofConfiguration), family: []string{config}},
		"a PodAutoscaler of a forged UID":                    {object: autoscaler("9", "svc-00003-deployment", ownedBy("Revision", "svc-00003", "r-2")), family: []string{revision, target}},
		"a PodAutoscaler of another name":                    {object: renamed(autoscaler("9", "svc-00003-deployment", ofRevision), "svc-00003", "more"), family: []string{revision, target}},
		"a PodAutoscaler with more pods":                     {object: autoscaler("10", "svc-00003-deployment", ofRevision), family: []string{revision, target}},
		"a PodAutoscaler of another Deployment":              {object: autoscaler("9", "large", ofRevision), family: []string{revision, target, plainDeployment("large", "1", 4)}},
		"a PodAutoscaler of another one as large":            {object: autoscaler("9", "other", ofRevision), family: []string{revision, target, plainDeployment("other", "0", 2)}},
		"a Deployment that was there before Knative's":       {object: autoscaler("9", "svc-00003-deployment", ofRevision), family: []string{revision, plainDeployment("svc-00003-deployment", "1", 4)}},
		"a PodAutoscaler of a StatefulSet":                   {object: strings.Replace(autoscaler("9", "svc-00003-deployment", ofRevision), "kind: Deployment", "kind: StatefulSet", 1), family: []string{revision, target}},
		"a PodAutoscaler that is aimed at another":           {object: autoscaler("9", "large", ofRevision), old: autoscaler("9", "svc-00003-deployment", ofRevision), family: []string{revision, target, plainDeployment("large", "1", 4)}},
		"a PodAutoscaler whose Deployment is not there":      {object: autoscaler("1", "svc-00003-deployment", ofRevision), family: []string{revision}},
	} {
		t.Run(name, func(t *testing.T) {
			answer, _ := judged(t, ask(test.object, test.old), storing(test.family...), tight)
			assert.False(t, answer.Allowed)
			answer, _ = judged(t, ask(test.object, test.old), storing(test.family...))
			assert.True(t, answer.Allowed, "without a bound all is well")
		})
	}
}

// TestGPUsOfAnotherTypeAreNotTheOwners: a child on dearer GPUs is judged by itself.
func TestGPUsOfAnotherTypeAreNotTheOwners(t *testing.T) {
	const types = `{metadata: {name: types}, spec: {bounds: {gpuTypes: {allowed: [NVIDIA-L4]}}}}`
	pinned := func(object, to string) string {
		return strings.Replace(object, "containers:", "nodeSelector: {nvidia.com/gpu.product: "+to+"}, containers:", 1)
	}
	service, config := pinned(ksvc("9", 2, ""), "H100"), pinned(configuration("9", 2, ofService), "H100")
	answer, _ := judged(t, ask(config, ""), storing(service), types)
	assert.True(t, answer.Allowed, "admitted by somebody who is exempt, say")
	answer, _ = judged(t, ask(pinned(configuration("9", 2, ofService), "A100"), ""), storing(service), types)
	assert.False(t, answer.Allowed)
	answer, _ = judged(t, ask(pinned(configuration("9", 2, ofService), "A100"), config), storing(service), types)
	assert.False(t, answer.Allowed, "on UPDATE, too")
}

// TestAnotherLabelOfTheOwnersTypeIsNotItsType: budgets know the type by well-known labels
// only, so the same value under another label may be any type.
func TestAnotherLabelOfTheOwnersTypeIsNotItsType(t *testing.T) {
	pinned := func(object, label string) string {
		return strings.Replace(object, "containers:", "nodeSelector: {"+label+": 'true'}, containers:", 1)
	}
	service := pinned(ksvc("9", 2, ""), "nvidia.com/gpu.product")
	rises, _ := claimed(t, pinned(configuration("9", 2, ofService), "gpu"), "", service)
	assert.EqualValues(t, 18, rises)
	rises, _ = claimed(t, pinned(configuration("9", 2, ofService), "nvidia.com/gpu.product"), "", service)
	assert.Zero(t, rises)
}

// TestWhatABudgetCounts: nothing twice, and nothing that is only claimed to be another's.
func TestWhatABudgetCounts(t *testing.T) {
	family := storing(ksvc("9", 2, ""), configuration("9", 2, ofService), revisionOf("svc-00003", "9", 2, ofConfiguration), plainDeployment("svc-00003-deployment", "3", 2), plainDeployment("trainer", "1", 4))
	for name, test := range map[string]struct {
		object string
		want   []workload.Part
	}{
		"a Service":                           {ksvc("9", 2, ""), []workload.Part{{GPUs: 18}}},
		"its Configuration":                   {configuration("9", 2, ofService), nil},
		"one that stands alone":               {configuration("9", 2, ""), []workload.Part{{GPUs: 18}}},
		"its Revision":                        {revisionOf("svc-00003", "9", 2, ofConfiguration), nil},
		"an earlier one":                      {revisionOf("svc-00002", "9", 2, ofConfiguration), []workload.Part{{Revision: "svc-00002", GPUs: 18}}},
		"its PodAutoscaler":                   {autoscaler("9", "svc-00003-deployment", ofRevision), nil},
		"one of a Deployment":                 {autoscaler("9", "trainer", ""), []workload.Part{{GPUs: 36}}},
		"its Route":                           {routeTo(ofService, `{configurationName: svc, percent: 100}`), nil},
		"a Route to what counts by itself":    {routeTo("", `{configurationName: svc, percent: 100}`), nil},
		"a Route to a revision":               {routeTo("", `{revisionName: svc-00003, percent: 100}`), []workload.Part{{Revision: "svc-00003", GPUs: 18}}},
		"a Deployment":                        {plainDeployment("other", "3", 2), []workload.Part{{GPUs: 6}}},
		"a Deployment without GPUs":           {plainDeployment("other", "3", 0), nil},
		"one without GPUs needs nothing read": {configuration("9", 0, ofService), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := world()
			w.Live, w.Cluster = family, &review.Cluster{Knative: true}
			family.asked = nil
			r, answer := review.Read(ask(test.object, ""))
			assert.Nil(t, answer)
			var parts []workload.Part
			for _, c := range claimsOf(r, w) {
				parts = append(parts, c.New...)
			}
			assert.Equal(t, test.want, parts)
			if strings.Contains(test.object, "gpu: 0") && !strings.Contains(test.object, "Deployment") {
				assert.Empty(t, family.asked)
			}
		})
	}
	w := world()
	w.Live, w.Cluster = storing(), &review.Cluster{Knative: true}
	r, _ := review.Read(ask(autoscaler("9", "trainer", ""), ""))
	claims := claimsOf(r, w)
	require.Len(t, claims, 1)
	assert.Len(t, claims[0].Unknown, 1, "GPUs that cannot be counted are said so")
}

// TestOnlyAPolicyExempts: nothing that a tenant writes does, and what Knative makes for
// somebody who is exempt is the owner's.
func TestOnlyAPolicyExempts(t *testing.T) {
	exempting := func(entry string) string {
		return strings.Replace(tight, "bounds:", "exempt: ["+entry+"], bounds:", 1)
	}
	const marks = `labels: {kubetorch.com/exempt: "true", policy.kubetorch.com/exempt: "true", kubetorch.com/autoscale: "false"}, annotations: {kubetorch.com/exempt: "true", serving.knative.dev/creator: root}`
	none := storing()
	answer, _ := judged(t, ask(configuration("9", 2, marks), ""), none, exempting("{users: [root]}"))
	assert.False(t, answer.Allowed, "who wrote it is the request's to say")
	for _, entry := range []string{"{users: [ada]}", "{namespaces: [ml]}"} {
		answer, _ = judged(t, ask(configuration("9", 2, ""), ""), none, exempting(entry))
		assert.True(t, answer.Allowed, entry)
	}
	byKnative := ask(configuration("9", 2, ofService), "")
	byKnative.UserInfo.Username = "system:serviceaccount:knative-serving:controller"
	answer, _ = judged(t, byKnative, storing(ksvc("9", 2, "")), exempting("{users: [ada]}"))
	assert.True(t, answer.Allowed, "made for ada")
	answer, _ = judged(t, byKnative, none, exempting("{users: [ada]}"))
	assert.False(t, answer.Allowed, "a user name alone exempts nobody")
}
