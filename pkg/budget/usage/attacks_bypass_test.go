// Bypass class: owners, names, statuses and traffic that a tenant wrote are counted like everything else.

package usage

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// Whatever an owner reference states beside the UID, only the child that the owner's controller would
// make is left out of the count.
func TestAForgedOwnerFreesNothing(t *testing.T) {
	service := []string{serviceText, configurationText, revisionText, podsText}
	mine := strings.NewReplacer("uid: d2", "uid: d9", "replicas: 3", "replicas: 4").Replace(podsText)
	for name, forged := range map[string]string{
		"a made-up name of the owner that fits its own": strings.NewReplacer("name: svc-00002-deployment", "name: made-up-deployment", "name: svc-00002,", "name: made-up,").Replace(mine),
		"a made-up version":                             strings.NewReplacer("name: svc-00002-deployment", "name: made-up-deployment", "serving.knative.dev/v1,", "serving.knative.dev/v9,", "name: svc-00002,", "name: made-up,").Replace(mine),
		"a made-up group":                               strings.NewReplacer("name: svc-00002-deployment", "name: mine", "serving.knative.dev/v1,", "serving.knative.dev.example.com/v1,").Replace(mine),
		"a name of its own":                             strings.NewReplacer("name: svc-00002-deployment", "name: mine").Replace(mine),
		"another kind":                                  strings.NewReplacer("name: svc-00002-deployment", "name: mine", "kind: Revision", "kind: Service").Replace(mine),
		"in another namespace":                          strings.NewReplacer("namespace: a", "namespace: b").Replace(mine),
	} {
		t.Run(name, func(t *testing.T) {
			got := counted(All(world(), objects(t, append(service[:4:4], forged)...)))
			delete(got, "Service svc")
			require.Len(t, got, 1)
			for _, sum := range got {
				assert.Equal(t, sums{gpus: 8}, sum)
			}
		})
	}
}

// What waits for a finalizer counts as what is below it, not once more beside what left it.
func TestWhatIsBeingDeletedCountsOnce(t *testing.T) {
	gone := func(text string) string {
		return strings.Replace(text, "namespace: a, ", `namespace: a, deletionTimestamp: "2026-01-01T00:00:00Z", `, 1)
	}
	alone := func(text string) string {
		return strings.Replace(text, "ownerReferences: [", "ownerReferences: [], former: [", 1)
	}
	service := map[string]sums{"Service svc": {gpus: 8}}
	for name, test := range map[string]struct {
		objects []string
		want    map[string]sums
	}{
		"a Service with what is below it":            {[]string{gone(serviceText), configurationText, revisionText, podsText}, service},
		"whose Configuration goes too":               {[]string{gone(serviceText), gone(configurationText), revisionText, podsText}, service},
		"whose Configuration has no Revision yet":    {[]string{gone(serviceText), configurationText}, service},
		"whose Configuration left it":                {[]string{gone(serviceText), alone(configurationText), revisionText, podsText}, map[string]sums{"Configuration svc": {gpus: 8}}},
		"whose Revision left its Configuration":      {[]string{gone(serviceText), gone(configurationText), alone(revisionText), podsText}, map[string]sums{"Revision svc-00002": {gpus: 8}}},
		"while its Configuration makes another":      {[]string{gone(serviceText), configurationText, alone(revisionText), podsText}, map[string]sums{"Service svc": {gpus: 8}, "Revision svc-00002": {gpus: 8}}},
		"while it makes another Configuration":       {[]string{serviceText, gone(configurationText), alone(revisionText), podsText}, map[string]sums{"Service svc": {gpus: 8}, "Revision svc-00002": {gpus: 8}}},
		"a Revision whose Deployment left it":        {[]string{gone(alone(revisionText)), alone(podsText)}, map[string]sums{"Deployment svc-00002-deployment": {gpus: 6}}},
		"a Revision with its Deployment":             {[]string{gone(alone(revisionText)), podsText}, map[string]sums{"Revision svc-00002": {gpus: 8}}},
		"a Configuration by itself, with a Revision": {[]string{gone(alone(configurationText)), revisionText, podsText}, map[string]sums{"Configuration svc": {gpus: 8}}},
		"a Service whose earlier revision has pods still": {
			[]string{gone(serviceText), gone(configurationText), sub(revisionText, "svc-00002", "svc-00001", "r2", "r1"), sub(podsText, "svc-00002", "svc-00001", "r2", "r1")}, service},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, counted(All(world(), objects(t, test.objects...))))
		})
	}
}

// A pod or a ReplicaSet that a tenant writes counts, whoever it says owns it.
func TestATenantsOwnChildrenCount(t *testing.T) {
	deployment := plain("apps/v1", "Deployment", byItself("d", "d"), `replicas: 1, `, "1")
	set := plain("apps/v1", "ReplicaSet", owned("s", "s", "apps/v1", "Deployment", "d"), `replicas: 9, `, "8")
	large := podOf("p", owned("p", "p", "apps/v1", "ReplicaSet", "s"), "64", "Running")
	assert.Equal(t, map[string]sums{"Deployment d": {56, 8}}, counted(All(world(), objects(t, deployment, strings.Replace(set, "replicas: 9", "replicas: 1", 1), large))),
		"its ReplicaSet's controller counts it, and no rollout makes such a pod")
	assert.Equal(t, map[string]sums{"Deployment d": {gpus: 72}}, counted(All(world(), objects(t, deployment, set))), "more than a rollout has")
	for name, owner := range map[string][2]string{"labels that are not selected": {"labels: {app: x}", "labels: {app: y}"}, "another UID": {"uid: d,", "uid: e,"}} {
		t.Run(name, func(t *testing.T) {
			forged := strings.Replace(set, owner[0], owner[1], 1)
			assert.Equal(t, map[string]sums{"Deployment d": {gpus: 1}, "ReplicaSet s": {gpus: 72}}, counted(All(world(), objects(t, deployment, forged))))
		})
	}
}

// Of a Service's revisions one is what the latest template makes, whatever its template is called and
// whatever a status says: others count beside it.
func TestOneRevisionIsTheLatest(t *testing.T) {
	const spec = `spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "4"}}`
	revision := func(name, uid, gpus, status string) string {
		return sub(revisionText, "svc-00002", name, "uid: r2", "uid: "+uid, "gpu: 2", "gpu: "+gpus, "status: {}", "status: {"+status+"}")
	}
	routed := func(chosen, names, latest string) string {
		return sub(serviceText, spec, `spec: {traffic: [`+names+`], template: {metadata: {`+chosen+`annotations: {autoscaling.knative.dev/max-scale: "4"}}`,
			"latestCreatedRevisionName: svc-00002", "latestCreatedRevisionName: "+latest)
	}
	configuration := func(latest string) string {
		return sub(configurationText, "latestCreatedRevisionName: svc-00002", "latestCreatedRevisionName: "+latest)
	}
	const both = `{revisionName: svc-one, percent: 50}, {revisionName: svc-two, percent: 50}`
	for name, test := range map[string]struct {
		objects []string
		want    sums
	}{
		"a template named like a revision with another spec hides neither": {
			[]string{routed("name: svc-one, ", both, "svc-two"), configuration("svc-two"), revision("svc-one", "r1", "1", ""), revision("svc-two", "r2", "2", "")}, sums{gpus: 8 + 4 + 8}},
		"one named like the revision that it made is that": {
			[]string{routed("name: svc-two, ", both, "svc-two"), configuration("svc-two"), revision("svc-one", "r1", "1", ""), revision("svc-two", "r2", "2", "")}, sums{gpus: 4 + 8}},
		"a status that calls an earlier revision the latest hides neither": {
			[]string{routed("", `{revisionName: svc-one, tag: a}, {latestRevision: true, percent: 100}`, "svc-one"), configuration("svc-two"), revision("svc-one", "r1", "2", ""), revision("svc-two", "r2", "2", "")},
			sums{gpus: 16}},
		"nor does one that says that the other has no pods": {
			[]string{routed("", `{revisionName: svc-one, tag: a}, {latestRevision: true, percent: 100}`, "svc-one"), configuration("svc-two"), revision("svc-one", "r1", "2", ""),
				revision("svc-two", "r2", "2", `conditions: [{type: Active, status: "False"}]`), sub(podsText, "svc-00002", "svc-two")}, sums{gpus: 16}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, map[string]sums{"Service svc": test.want}, counted(All(world(), objects(t, test.objects...))))
		})
	}
}

// What never goes to zero is a claim, and of what does one version is beside the claim.
func TestEarlierVersionsDoNotPileUpAsOverlap(t *testing.T) {
	earlier := func(n int, more string) string {
		return sub(revisionText, "svc-00002", "svc-1000"+strconv.Itoa(n), "uid: r2", "uid: e"+strconv.Itoa(n), `max-scale: "4"`, `max-scale: "4"`+more)
	}
	family := []string{serviceText, configurationText, revisionText}
	const hpa = `, autoscaling.knative.dev/class: hpa.autoscaling.knative.dev`
	assert.Equal(t, map[string]sums{"Service svc": {gpus: 8 + 3*8}}, counted(All(world(), objects(t, append(family[:3:3], earlier(1, hpa), earlier(2, hpa), earlier(3, hpa))...))))
	assert.Equal(t, map[string]sums{"Service svc": {8 + 2*8, 8}}, counted(All(world(), objects(t, append(family[:3:3], earlier(1, ""), earlier(2, ""), earlier(3, ""))...))))
	assert.Equal(t, map[string]sums{"Service svc": {8 + 8, 8}}, counted(All(world(), objects(t, append(family[:3:3], earlier(1, hpa), earlier(2, ""))...))))
}

func TestAnEarlierVersionWithoutGPUsIsNothing(t *testing.T) {
	without := sub(revisionText, "svc-00002", "svc-00001", "uid: r2", "uid: e1", "nvidia.com/gpu", "example.com/fpga")
	family := objects(t, serviceText, configurationText, revisionText, without)
	assert.Equal(t, map[string]sums{"Service svc": {gpus: 8}}, counted(All(world(), family)))
}

// Routes with many entries take time in proportion to them.
func TestTrafficOfManyEntries(t *testing.T) {
	route := func(entries int) cluster.Item {
		var traffic []any
		for i := range entries {
			traffic = append(traffic, manifest.Object{"revisionName": "svc-" + strconv.Itoa(i), "percent": int64(0)})
		}
		return cluster.Of(manifest.Object{"apiVersion": "serving.knative.dev/v1", "kind": "Route", "metadata": manifest.Object{"name": "r", "namespace": "a", "uid": "u"},
			"spec": manifest.Object{"traffic": traffic}})
	}
	o := objects(t, serviceText, configurationText, revisionText)
	o.Routes = append(o.Routes, route(100_000))
	best := time.Hour
	for range 3 {
		start := time.Now()
		require.Len(t, All(world(), o), 1)
		best = min(best, time.Since(start))
	}
	assert.Less(t, best, 3*time.Second, "comparing each with each other takes most of a minute")
}
