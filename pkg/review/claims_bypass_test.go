// A child leaves the owner that was charged for it, a superseded revision is woken, others'
// revisions are named in traffic, and a rollout leaves pods behind.

package review_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// claimed is what a request asks of ledgers beyond what it had, and the overlap.
func claimed(t *testing.T, object, old string, family ...string) (rises, overlap int64) {
	t.Helper()
	w := world()
	w.Live, w.Cluster = storing(family...), &review.Cluster{Knative: true}
	r, answer := review.Read(ask(object, old))
	require.Nil(t, answer)
	w.Revisions = must(cluster.Named(t.Context(), w.Live, review.RevisionKind, "", r.NamedRevisions()))
	for _, c := range claimsOf(r, w) {
		for _, p := range c.New {
			rises += p.GPUs
		}
		for _, p := range c.Old {
			rises -= p.GPUs
		}
		for _, p := range c.Overlap {
			overlap += p.GPUs
		}
	}
	return rises, overlap
}

// ofDeployment is the owner of a Knative Service that was made from labelledDeployment.
const ofDeployment = "ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: svc, uid: d-1, controller: true}]"

func labelledDeployment(more string) string {
	return `{apiVersion: apps/v1, kind: Deployment, metadata: {name: svc, uid: d-1, ` + more + `labels: {kubetorch.com/autoscale: "true"}}, spec: {replicas: 0, template: {spec: {` + gpuPod(2) + `}}}}`
}

// TestNothingGetsOutOfItsOwnersClaimUncharged: what an owner answered for was charged under
// the owner's key only.
func TestNothingGetsOutOfItsOwnersClaimUncharged(t *testing.T) {
	service, config := ksvc("9", 2, ""), configuration("9", 2, ofService)
	deleted := strings.Replace(service, "uid: s-1,", "uid: s-1, deletionTimestamp: \"2026-01-01T00:00:00Z\",", 1)
	for name, test := range map[string]struct {
		object, old string
		family      []string
		want        int64
	}{
		"a Configuration that drops its Service": {configuration("9", 2, ""), config, []string{service}, 18},
		"unless the Service is being deleted":    {configuration("9", 2, ""), config, []string{deleted}, 0},
		"a Revision that drops its Configuration": {
			revisionOf("svc-00002", "9", 2, ""), revisionOf("svc-00002", "9", 2, ofConfiguration), []string{service, config}, 18},
		"but not to be given more of its name": {configuration("9", 2, ofService), "", []string{deleted}, 18},
		"a Revision that gets a second owner": {
			revisionOf("svc-00002", "9", 2, strings.Replace(ofConfiguration, "[", "[{apiVersion: v1, kind: ConfigMap, name: x, uid: x}, ", 1)), revisionOf("svc-00002", "9", 2, ofConfiguration), []string{service, config}, 0},
		"a Revision that changes its scale": {
			revisionOf("svc-00002", "9", 2, ofConfiguration), revisionOf("svc-00002", "90", 2, ofConfiguration), []string{service, config}, 18},
		"a Revision that says traffic goes to it": {
			revisionOf("svc-00002", "9", 2, "labels: {serving.knative.dev/routingState: active}, "+ofConfiguration), revisionOf("svc-00002", "9", 2, ofConfiguration), []string{service, config}, 18},
		"a Revision that says no more that none goes to it": {
			revisionOf("svc-00002", "9", 2, ofConfiguration), revisionOf("svc-00002", "9", 2, "labels: {serving.knative.dev/routingState: reserve}, "+ofConfiguration), []string{service, config}, 18},
		"a Revision that says that is open": {
			revisionOf("svc-00002", "9", 2, "labels: {serving.knative.dev/routingState: pending}, "+ofConfiguration), revisionOf("svc-00002", "9", 2, "labels: {serving.knative.dev/routingState: reserve}, "+ofConfiguration), []string{service, config}, 18},
		"a Revision that says none goes to it": {
			revisionOf("svc-00002", "9", 2, "labels: {serving.knative.dev/routingState: reserve}, "+ofConfiguration), revisionOf("svc-00002", "9", 2, ofConfiguration), []string{service, config}, 0},
		"and one of which the Service says so": {
			revisionOf("svc-00002", "9", 2, "labels: {serving.knative.dev/routingState: active}, "+ofConfiguration), revisionOf("svc-00002", "9", 2, ofConfiguration),
			[]string{strings.Replace(service, "spec: {template", "spec: {traffic: [{revisionName: svc-00002, tag: old}], template", 1), config}, 0},
		"and a Route": {
			revisionOf("svc-00002", "9", 2, "labels: {serving.knative.dev/routingState: active}, "+ofConfiguration), revisionOf("svc-00002", "9", 2, ofConfiguration),
			[]string{service, config, routeTo("", "{revisionName: svc-00002, percent: 100}")}, 0},
		"and one of which a status says that it is the latest that is ready": {
			revisionOf("svc-00002", "9", 2, "labels: {serving.knative.dev/routingState: active}, "+ofConfiguration), revisionOf("svc-00002", "9", 2, ofConfiguration),
			[]string{service, strings.Replace(config, "spec: {template", "status: {latestReadyRevisionName: svc-00002}, spec: {template", 1)}, 18},
		"the Revision of the template": {
			revisionOf("svc-00003", "9", 2, "labels: {serving.knative.dev/routingState: active}, "+ofConfiguration), revisionOf("svc-00003", "9", 2, ofConfiguration), []string{service, config}, 0},
		"a label that is none of this": {
			revisionOf("svc-00002", "9", 2, "labels: {a: b}, "+ofConfiguration), revisionOf("svc-00002", "9", 2, ofConfiguration), []string{service, config}, 0},
		"a PodAutoscaler that is aimed at pods beside its Revision's": {
			autoscaler("9", "other", ofRevision), autoscaler("9", "svc-00003-deployment", ofRevision),
			[]string{revisionOf("svc-00003", "9", 2, ofConfiguration), plainDeployment("svc-00003-deployment", "9", 2), plainDeployment("other", "0", 2)}, 18},
		"a Service that drops the Deployment it was made from": {
			ksvc("9", 2, ""), ksvc("9", 2, ofDeployment), nil, 0},
		"unless that is there, and would have another": {ksvc("9", 2, ""), ksvc("9", 2, ofDeployment), []string{labelledDeployment("")}, 18},
		"by whatever name it states it": {
			ksvc("9", 2, ""), ksvc("9", 2, strings.Replace(ofDeployment, "name: svc", "name: x", 1)), []string{labelledDeployment("")}, 18},
		"or that goes too": {ksvc("9", 2, ""), ksvc("9", 2, ofDeployment), []string{labelledDeployment(`deletionTimestamp: "2026-01-01T00:00:00Z", `)}, 0},
		"or has pods of its own": {
			ksvc("9", 2, ""), ksvc("9", 2, ofDeployment), []string{strings.Replace(labelledDeployment(""), `"true"`, `"false"`, 1)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			rises, _ := claimed(t, test.object, test.old, test.family...)
			assert.Equal(t, test.want, rises)
		})
	}
}

// TestARevisionOfOthersIsNotCredited: what a Service's traffic names of others was never in
// the Service's entry, so it cannot be exchanged for pods of its own.
func TestARevisionOfOthersIsNotCredited(t *testing.T) {
	foreign := revisionOf("x-00001", "99", 1, ownedBy("Configuration", "x", "c-9"))
	old := strings.Replace(ksvc("1", 1, ""), "spec: {template", "spec: {traffic: [{revisionName: x-00001, tag: x}], template", 1)
	w := world()
	w.Live, w.Cluster = storing(foreign), &review.Cluster{Knative: true}
	r, _ := review.Read(ask(ksvc("100", 1, ""), old))
	w.Revisions = map[string]map[string]any{"x-00001": decoded(foreign)}
	claims := claimsOf(r, w)
	require.Len(t, claims, 1)
	assert.EqualValues(t, 100, claims[0].New[0].GPUs)
	require.Len(t, claims[0].Old, 1)
	assert.EqualValues(t, 1, claims[0].Old[0].GPUs)
}

// TestARevisionThatSaysItIsTheServicesIsNotCredited: it counts by itself.
func TestARevisionThatSaysItIsTheServicesIsNotCredited(t *testing.T) {
	for uid, credited := range map[string]int64{"c-1": 100, "c-9": 1} {
		revision := revisionOf("svc-00001", "99", 1, ownedBy("Configuration", "svc", uid))
		old := strings.Replace(ksvc("1", 1, ""), "spec: {template", "spec: {traffic: [{revisionName: svc-00001, tag: x}], template", 1)
		w := world()
		w.Live, w.Cluster = storing(revision, configuration("1", 1, ofService)), &review.Cluster{Knative: true}
		r, _ := review.Read(ask(ksvc("100", 1, ""), old))
		w.Revisions = map[string]map[string]any{"svc-00001": decoded(revision)}
		var had int64
		for _, p := range claimsOf(r, w)[0].Old {
			had += p.GPUs
		}
		assert.Equal(t, credited, had, uid)
	}
}

// TestEveryEarlierRevisionWithPodsCounts: not only the one that is replaced now. One of them overlaps with
// what replaces it, the others are claims.
func TestEveryEarlierRevisionWithPodsCounts(t *testing.T) {
	old := strings.Replace(ksvc("9", 2, "generation: 3"), "spec: {template", "status: {observedGeneration: 3, latestCreatedRevisionName: svc-00003}, spec: {template", 1)
	idle := strings.Replace(revisionOf("svc-00001", "9", 2, ofConfiguration), "spec: {", "status: {conditions: [{type: Active, status: \"False\"}]}, spec: {", 1)
	rises, overlap := claimed(t, ksvc("8", 2, ""), old, configuration("9", 2, ofService), idle, revisionOf("svc-00002", "9", 2, ofConfiguration), revisionOf("svc-00003", "9", 2, ofConfiguration))
	assert.Equal(t, []int64{16, 18}, []int64{rises, overlap})
	stays := strings.Replace(revisionOf("svc-00002", "9", 2, ofConfiguration), "annotations: {", "annotations: {autoscaling.knative.dev/class: hpa.autoscaling.knative.dev, ", 1)
	rises, overlap = claimed(t, ksvc("8", 2, ""), old, configuration("9", 2, ofService), stays)
	assert.Equal(t, []int64{-2, 18}, []int64{rises, overlap}, "one that keeps its pods is a claim already")
	hpa := func(text string) string {
		return strings.Replace(text, "annotations: {", "annotations: {autoscaling.knative.dev/class: hpa.autoscaling.knative.dev, ", 1)
	}
	rises, overlap = claimed(t, hpa(ksvc("8", 2, "")), hpa(old), configuration("9", 2, ofService))
	assert.Equal(t, []int64{16, 0}, []int64{rises, overlap}, "one that is going to keep its pods is a claim beside the new one")
}

// TestTheLatestRevisionIsNotCountedTwiceBeforeTheStatusNamesIt: the Configuration tells by its template that
// the stored one made it, and by another that it did not.
func TestTheLatestRevisionIsNotCountedTwiceBeforeTheStatusNamesIt(t *testing.T) {
	old := ksvc("9", 2, "generation: 3")
	rises, overlap := claimed(t, ksvc("18", 2, "generation: 4"), old, configuration("9", 2, ofService), revisionOf("svc-00003", "9", 2, ofConfiguration))
	assert.Equal(t, []int64{18, 18}, []int64{rises, overlap})
	rises, overlap = claimed(t, ksvc("18", 2, "generation: 4"), old, configuration("8", 2, ofService), revisionOf("svc-00003", "8", 2, ofConfiguration))
	assert.Equal(t, []int64{18 + 16, 18}, []int64{rises, overlap})
}

// TestARolloutOfAConfigurationOverlapsLikeThatOfAService: unless it is the Service's own, which
// was charged.
func TestARolloutOfAConfigurationOverlapsLikeThatOfAService(t *testing.T) {
	old, now := configuration("9", 2, ""), configuration("8", 2, "")
	_, overlap := claimed(t, now, old, old, revisionOf("svc-00001", "9", 2, ofConfiguration))
	assert.EqualValues(t, 18, overlap)
	_, overlap = claimed(t, configuration("8", 2, ofService), configuration("9", 2, ofService), ksvc("8", 2, ""), revisionOf("svc-00001", "9", 2, ofConfiguration))
	assert.Zero(t, overlap)
}

// TestARevisionThatIsNotThereIsNoCreditOfARoute: it is counted like the largest one that is.
func TestARevisionThatIsNotThereIsNoCreditOfARoute(t *testing.T) {
	first, second := revisionOf("svc-00001", "9", 2, ofConfiguration), revisionOf("svc-00002", "9", 2, ofConfiguration)
	const with = "{revisionName: svc-00001, percent: 50}, {revisionName: "
	rises, _ := claimed(t, routeTo("", with+"svc-00002, percent: 50}"), routeTo("", with+"missing, percent: 50}"), first, second)
	assert.EqualValues(t, 18, rises)
	rises, _ = claimed(t, routeTo("", with+"svc-00002, percent: 50}"), routeTo("", with+"svc-00002, percent: 40}"), first, second)
	assert.Zero(t, rises)
}

// TestATemplateThatIsNotMadeYetHidesNoRevision: the latest one is then that of an earlier
// template, and runs whatever the one between asked for.
func TestATemplateThatIsNotMadeYetHidesNoRevision(t *testing.T) {
	const lagging = "status: {observedGeneration: 3, latestCreatedRevisionName: svc-00003}, spec: {template"
	family := []string{configuration("9", 2, ofService), revisionOf("svc-00003", "9", 2, ofConfiguration)}
	for gpus, want := range map[int]int64{0: 18, 2: 18} {
		old := strings.Replace(ksvc("9", gpus, "generation: 4"), "spec: {template", lagging, 1)
		_, overlap := claimed(t, ksvc("8", 2, "generation: 5"), old, family...)
		assert.Equal(t, want, overlap, "over a template of %d GPUs", gpus)
	}
	between := strings.Replace(ksvc("9", 0, "generation: 4"), "spec: {template", "status: {observedGeneration: 4, latestCreatedRevisionName: svc-00004}, spec: {template", 1)
	_, overlap := claimed(t, ksvc("8", 2, "generation: 5"), between, family...)
	assert.EqualValues(t, 18, overlap, "nor does one without GPUs that is made")
}

// TestADeploymentThatNoLongerExpandsGivesUpItsPlan: where nobody counts afresh, its entry is
// set to nothing.
func TestADeploymentThatNoLongerExpandsGivesUpItsPlan(t *testing.T) {
	w := world()
	w.Cluster = &review.Cluster{Knative: true}
	labelled := `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: ml, uid: d-1, labels: {kubetorch.com/autoscale: "true"}, annotations: {compute.kubetorch.com/gpus: "2"}}, spec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "nginx:1"}]}}}}`
	plain := strings.Replace(labelled, `labels: {kubetorch.com/autoscale: "true"}, `, "", 1)
	r, _ := review.Read(ask(plain, labelled))
	var keys []ledger.Key
	for _, c := range claimsOf(r, w) {
		assert.Empty(t, c.New)
		keys = append(keys, c.Key)
	}
	assert.Contains(t, keys, review.PlanKey(decoded(labelled)))
}

// TestPodsGetNoOtherGPUsBehindAPodAutoscaler: it was charged to the budgets of the type that
// they had.
func TestPodsGetNoOtherGPUsBehindAPodAutoscaler(t *testing.T) {
	pinned := func(to string) string {
		return strings.Replace(plainDeployment("trainer", "0", 2), "containers:", "nodeSelector: {nvidia.com/gpu.product: "+to+"}, containers:", 1)
	}
	w := world()
	w.Live, w.Cluster = storing(autoscaler("9", "trainer", "")), &review.Cluster{Knative: true}
	r, _ := review.Read(ask(pinned("A100"), pinned("NVIDIA-L4")))
	claims := claimsOf(r, w)
	require.Len(t, claims, 1)
	assert.True(t, review.Grows(claims))
	assert.Equal(t, []workload.Part{{GPUs: 18, Type: "A100"}}, claims[0].New)
}

// TestWhatCannotBeCountedDoesNotGrow: no budget can tell how many GPUs more pods of it have.
func TestWhatCannotBeCountedDoesNotGrow(t *testing.T) {
	claimed := func(maxScale string) string {
		return strings.Replace(ksvc(maxScale, 0, ""), "containers:", "resourceClaims: [{name: gpu, resourceClaimTemplateName: large}], containers:", 1)
	}
	unknown := func(object, old string) bool {
		r, _ := review.Read(ask(object, old))
		return review.Grows(claimsOf(r, world()))
	}
	assert.True(t, unknown(claimed("9"), ""))
	assert.True(t, unknown(claimed("9"), claimed("8")))
	assert.False(t, unknown(claimed("7"), claimed("8")))
}
