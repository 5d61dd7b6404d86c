// What is left of an owner that was deleted holds GPUs, while its root makes others under the same entry.

package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// remember has a reader find objects that nobody was asked about.
func remember(t *testing.T, m *memory, texts ...string) {
	t.Helper()
	for _, text := range texts {
		o, err := manifest.Decode(jsonOf(t, text))
		require.NoError(t, err)
		kind := workload.KindOf(o)
		if m.objects[kind] == nil {
			m.objects[kind] = map[objectPlace]manifest.Object{}
		}
		m.objects[kind][objectPlace{"team", manifest.Text(o, "metadata", "name")}] = o
	}
}

// knativeObject is one that Knative made, selecting app: its name.
func knativeObject(version, kind, name, owner, spec string) string {
	return fmt.Sprintf(`{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: team, uid: %s-uid, labels: {app: s-1, serving.knative.dev/revisionUID: x}, ownerReferences: [%s]}, spec: {%s}}`,
		version, kind, name, name, owner, spec)
}

func controlledBy(version, kind, name string) string {
	return fmt.Sprintf(`{apiVersion: %s, kind: %s, name: %s, uid: %s-uid, controller: true}`, version, kind, name, name)
}

// knativeFamily are a Service of two pods of 4 GPUs, and what Knative made of it.
func knativeFamily() []string {
	const serving = "serving.knative.dev/v1"
	pods := `replicas: 2, selector: {matchLabels: {app: s-1}}, template: {spec: ` + podSpecOf(4) + `}`
	service := strings.Replace(knativeObject(serving, "Service", "s", "", ""), "ownerReferences: []", "generation: 1", 1)
	return []string{
		service, knativeObject(serving, "Configuration", "s", controlledBy(serving, "Service", "s"), ""),
		knativeObject(serving, "Revision", "s-1", controlledBy(serving, "Configuration", "s"), ""),
		knativeObject("apps/v1", "Deployment", "s-1-deployment", controlledBy(serving, "Revision", "s-1"), pods),
		knativeObject("apps/v1", "ReplicaSet", "s-1-a", controlledBy("apps/v1", "Deployment", "s-1-deployment"), pods),
	}
}

// What a Service had before, and that terminates, is not room for the pods of a Revision that Knative makes
// in the place of one that somebody deleted, also where it is counted already.
func TestPodsOfADeletedRevisionAreNoRoomForThoseOfTheNextOne(t *testing.T) {
	earlier := func(name string) string {
		return strings.Replace(strings.Replace(podOf(name, "s-0", controlledBy("apps/v1", "ReplicaSet", "s-0-a"), 4), "labels: {", "labels: {serving.knative.dev/revisionUID: u0, ", 1),
			"namespace: team,", "namespace: team, deletionTimestamp: x,", 1)
	}
	next := step{user: account("replicaset-controller"), object: strings.Replace(podOf("s-1-a-x", "s-1", controlledBy("apps/v1", "ReplicaSet", "s-1-a"), 4), "labels: {", "labels: {serving.knative.dev/revisionUID: x, ", 1)}
	for name, c := range map[string]struct {
		left    []string
		counted bool
		refused string
	}{
		"none":                                   {},
		"one that fits beside them":              {left: []string{strings.Replace(earlier("old"), "gpu: 4", "gpu: 2", 1)}},
		"two":                                    {left: []string{earlier("a"), earlier("b")}, refused: "2 of 10 are free in budget b"},
		"two that are counted by themselves":     {left: []string{earlier("a"), earlier("b")}, counted: true, refused: "0 of 10 are free in budget b"},
		"two that have ended":                    {left: []string{ended(earlier("a")), ended(earlier("b"))}},
		"a Revision whose Configuration is gone": {left: []string{leftRevision(4)}, refused: "2 of 10 are free in budget b"},
		"one that is counted by itself":          {left: []string{leftRevision(4)}, counted: true, refused: "0 of 10 are free in budget b"},
		"one that fits beside them, of a Revision alone": {left: []string{leftRevision(2)}},
		"two that were made for no Revision":             {left: []string{plain(earlier("a")), plain(earlier("b"))}},
		"the Service's own, beside the other":            {left: []string{strings.Replace(next.object, "s-1-a-x", "s-1-a-y", 2)}},
	} {
		t.Run(name, func(t *testing.T) {
			e, ledgers := standalone()
			family := append(knativeFamily(), c.left...)
			remember(t, e.remembered, family...)
			hold(t, ledgers, family[0], 8)
			for _, pod := range c.left {
				if c.counted {
					hold(t, ledgers, pod, 4)
				}
			}
			answer := e.validate(t.Context(), requestOf(t, next))
			if c.refused == "" {
				require.True(t, answer.Allowed, "%+v", answer.Result)
				return
			}
			require.False(t, answer.Allowed)
			assert.Contains(t, answer.Result.Message, c.refused)
		})
	}
}

// A Revision that outlives its Service is counted by itself, which nobody was asked about: its pods have to have room.
func TestPodsOfARevisionThatOutlivesItsServiceHaveToHaveRoom(t *testing.T) {
	next := step{user: account("replicaset-controller"), object: strings.Replace(podOf("s-1-a-x", "s-1", controlledBy("apps/v1", "ReplicaSet", "s-1-a"), 4), "labels: {", "labels: {serving.knative.dev/revisionUID: x, ", 1)}
	for name, others := range map[string]int64{"where there is some": 2, "where there is none": 10} {
		t.Run(name, func(t *testing.T) {
			e, ledgers := standalone()
			family := knativeFamily()[2:]
			remember(t, e.remembered, family...)
			hold(t, ledgers, family[0], 8)
			hold(t, ledgers, of("apps/v1", "StatefulSet", "other", "replicas: 1", int(others)), others)
			answer := e.validate(t.Context(), requestOf(t, next))
			require.Equal(t, others == 2, answer.Allowed, "%+v", answer.Result)
		})
	}
}

// leftRevision is one that asks for some GPUs in its one pod.
func leftRevision(gpus int) string {
	return strings.Replace(knativeObject("serving.knative.dev/v1", "Revision", "s-0", controlledBy("serving.knative.dev/v1", "Configuration", "gone"), strings.Trim(podSpecOf(gpus), "{}")),
		"metadata: {", `metadata: {annotations: {autoscaling.knative.dev/max-scale: "1"}, `, 1)
}

func ended(pod string) string {
	return strings.Replace(pod, "spec: {", "status: {phase: Failed}, spec: {", 1)
}

func plain(pod string) string {
	return strings.Replace(pod, "serving.knative.dev/revisionUID: u0, ", "", 1)
}

// hold has the ledger hold GPUs for an object.
func hold(t *testing.T, ledgers *charge.Memory, text string, gpus int64) {
	t.Helper()
	o, err := manifest.Decode(jsonOf(t, text))
	require.NoError(t, err)
	ledgers.Hold("b", "team", review.KeyOf(o, false), gpus)
}

// The garbage collector takes objects from an owner that is deleted without them. Where what the owner
// belongs to goes on, it makes others in their place, so that there has to be room for both.
func TestWhatIsOrphanedFromARootThatGoesOnIsCharged(t *testing.T) {
	const goes = ", deletionTimestamp: x, uid:"
	collector := account("generic-garbage-collector")
	gone := func(text string) string { return strings.Replace(text, ", uid:", goes, 1) }
	loose := func(text string) string {
		at := strings.Index(text, "ownerReferences: [")
		return text[:at] + "ownerReferences: []" + text[at+strings.Index(text[at:], "]")+1:]
	}
	set := of("apps/v1", "ReplicaSet", "rs", "replicas: 2", 4)
	pod := podOf("rs-a", "rs", ownerOf("apps/v1", "ReplicaSet", "rs"), 4)
	deployment := of("apps/v1", "Deployment", "web", "replicas: 2", 4)
	owned := strings.Replace(strings.ReplaceAll(set, "app: rs", "app: web"), "uid: rs-uid", "uid: rs-uid, ownerReferences: ["+ownerOf("apps/v1", "Deployment", "web")+"]", 1)
	family := knativeFamily()
	service, revision, knatives, replicas := family[0], family[2], family[3], family[4]
	for name, c := range map[string]struct {
		stored  []string
		taken   string
		refused string
	}{
		"a pod of a ReplicaSet":                               {[]string{gone(set)}, pod, ""},
		"a pod of a Deployment's ReplicaSet, which adopts it": {[]string{deployment, gone(owned)}, strings.Replace(pod, "app: rs", "app: web", 1), ""},
		"the Deployment goes too":                             {[]string{gone(deployment), gone(owned)}, strings.Replace(pod, "app: rs", "app: web", 1), ""},
		"a ReplicaSet of a Deployment, with its pods": {[]string{gone(deployment), podOf("a", "web", ownerOf("apps/v1", "ReplicaSet", "rs"), 4),
			podOf("b", "web", ownerOf("apps/v1", "ReplicaSet", "rs"), 4)}, owned, ""},
		"one that has one of its two pods":        {[]string{gone(deployment), podOf("a", "web", ownerOf("apps/v1", "ReplicaSet", "rs"), 4)}, owned, "asks for 8 GPUs"},
		"a ReplicaSet of a Revision's Deployment": {append(slices.Clone(family[:3]), gone(knatives)), replicas, "asks for 8 GPUs"},
		"that of a Revision by itself":            {[]string{loose(revision), gone(knatives)}, replicas, "asks for 8 GPUs"},
		"that of a Service that goes too": {append([]string{gone(service)}, family[1], gone(revision), gone(knatives),
			podOf("a", "s-1", ownerOf("apps/v1", "ReplicaSet", "s-1-a"), 4), podOf("b", "s-1", ownerOf("apps/v1", "ReplicaSet", "s-1-a"), 4)), replicas, ""},
		"its controller lets go of a pod, with room":                   {[]string{set}, strings.Replace(podOf("rs-a", "rs", ownerOf("apps/v1", "ReplicaSet", "rs"), 2), "app: rs", "app: other", 1), ""},
		"its controller lets go of a pod that got other labels unseen": {[]string{set}, strings.Replace(pod, "app: rs", "app: other", 1), "asks for 4 GPUs"},
	} {
		t.Run(name, func(t *testing.T) {
			e, ledgers := standalone()
			e.charging.everything = false // as in a cluster
			remember(t, e.remembered, c.stored...)
			hold(t, ledgers, service, 8)
			answer := e.validate(t.Context(), requestOf(t, step{user: collector, object: loose(c.taken), old: c.taken}))
			if c.refused == "" {
				require.True(t, answer.Allowed, "%+v", answer.Result)
				return
			}
			require.False(t, answer.Allowed)
			assert.Contains(t, answer.Result.Message, c.refused)
		})
	}
}

// Who answers for the pods of a ReplicaSet hangs on whose it is as long as it is there.
func TestAReplicaSetThatIsBeingDeletedDoesNotLeaveItsDeployment(t *testing.T) {
	deployment := of("apps/v1", "Deployment", "web", "replicas: 2", 4)
	set := strings.Replace(of("apps/v1", "ReplicaSet", "web", "replicas: 2", 4), "name: web, namespace: team, uid: web-uid",
		"name: web-1, namespace: team, deletionTimestamp: x, finalizers: [a/b], uid: web-1-uid, ownerReferences: ["+ownerOf("apps/v1", "Deployment", "web")+"]", 1)
	pod := func(name string) string { return podOf(name, "web", ownerOf("apps/v1", "ReplicaSet", "web-1"), 4) }
	for name, changed := range map[string]string{
		"its owner":  strings.Replace(set, "ownerReferences: ["+ownerOf("apps/v1", "Deployment", "web")+"]", "ownerReferences: []", 1),
		"its labels": strings.Replace(set, "labels: {app: web}", "labels: {app: other}", 1),
	} {
		t.Run(name, func(t *testing.T) {
			e, ledgers := standalone()
			e.charging.everything = false
			remember(t, e.remembered, deployment, set, pod("a"), pod("b"))
			hold(t, ledgers, deployment, 8)
			answer := e.validate(t.Context(), requestOf(t, step{user: "eve", object: changed, old: set}))
			require.False(t, answer.Allowed)
			assert.Contains(t, answer.Result.Message, "2 of 10 are free in budget b")
			gone := strings.Replace(set, "finalizers: [a/b]", "finalizers: []", 1)
			assert.True(t, e.validate(t.Context(), requestOf(t, step{user: "eve", object: gone, old: set})).Allowed, "its finalizer")
		})
	}
}

// goneFromLists is a reader of a cluster where objects of a kind went after they were read by their names.
type goneFromLists struct {
	cluster.Reader
	kind schema.GroupKind
}

func (g goneFromLists) List(ctx context.Context, kind schema.GroupKind, namespace string, selector labels.Selector) ([]manifest.Object, error) {
	if kind == g.kind {
		return nil, nil
	}
	return g.Reader.List(ctx, kind, namespace, selector)
}

// The garbage collector takes the owners of a Pod while they are read, and another Service has the entry of the
// one that was deleted. The Pod is part of neither.
func TestAPodWhoseOwnersGoWhileTheyAreReadIsCharged(t *testing.T) {
	next := step{user: account("replicaset-controller"), object: strings.Replace(podOf("s-1-a-x", "s-1", controlledBy("apps/v1", "ReplicaSet", "s-1-a"), 4), "labels: {", "labels: {serving.knative.dev/revisionUID: x, ", 1)}
	old := strings.Replace(podOf("old", "s-0", controlledBy("apps/v1", "ReplicaSet", "s-0-a"), 4), "labels: {", "labels: {serving.knative.dev/revisionUID: u0, ", 1)
	for name, kind := range map[string]schema.GroupKind{
		"its ReplicaSet": workload.ReplicaSetKind, "its Deployment": workload.DeploymentKind, "its Revision": review.RevisionKind,
	} {
		t.Run(name, func(t *testing.T) {
			for held, refused := range map[int64]string{6: "asks for 4 GPUs (4 x 1 pod); 0 of 10 are free in budget b", 2: ""} {
				e, ledgers := standalone()
				family := append(knativeFamily(), old)
				remember(t, e.remembered, family...)
				e.reader = goneFromLists{e.remembered, kind}
				hold(t, ledgers, old, 4) // counted already
				hold(t, ledgers, family[0], held)
				answer := e.validate(t.Context(), requestOf(t, next))
				require.Equal(t, refused == "", answer.Allowed, "%+v", answer.Result)
				if refused != "" {
					assert.Contains(t, answer.Result.Message, refused)
				}
			}
		})
	}
}
