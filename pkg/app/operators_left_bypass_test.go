// What an operator made is taken from its object, or left behind, while the operator makes another in its
// place.

package app

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhatAnOperatorsObjectLeavesIsNoRoomForMore: a budget of 10 GPUs, of which 6 are those of an operator's
// object.
func TestWhatAnOperatorsObjectLeavesIsNoRoomForMore(t *testing.T) {
	const two = "parallelism: 2, completions: 2"
	going := func(o string) string {
		return strings.Replace(o, "namespace: team,", "namespace: team, deletionTimestamp: x,", 1)
	}
	cluster := fmt.Sprintf(`headGroupSpec: {template: {spec: {}}}, workerGroupSpecs: [{replicas: 2, maxReplicas: 2, template: {spec: %s}}]`, podSpecOf(3))
	ray := func(name string) string {
		return fmt.Sprintf(`{apiVersion: %s, kind: RayCluster, metadata: {name: %s, namespace: team, uid: %s-uid}, spec: {%s}}`, rayAPI, name, name, cluster)
	}
	run := fmt.Sprintf(`{apiVersion: %s, kind: RayJob, metadata: {name: run, namespace: team, uid: run-uid}, spec: {rayClusterSpec: {%s}}}`, rayAPI, cluster)
	ofRun := owned(ray("one"), rayAPI, "RayJob", "run")
	worker := func(of, name string) string { return podOf(name, of, ownerOf(rayAPI, "RayCluster", of), 3) }
	gang := fmt.Sprintf(`{apiVersion: %s, kind: JobSet, metadata: {name: gang, namespace: team, uid: gang-uid}, spec: {replicatedJobs: [{name: w, template: {spec: {%s, template: {spec: %s}}}}]}}`,
		jobSetAPI, two, podSpecOf(3))
	free := of("batch/v1", "Job", "w-0", two, 3)
	job := owned(free, jobSetAPI, "JobSet", "gang")
	pod := func(name string) string { return podOf(name, "w-0", ownerOf("batch/v1", "Job", "w-0"), 3) }
	alone := func(name string) string { return podOf(name, "w-0", "", 3) }
	group := fmt.Sprintf(`{apiVersion: %s, kind: LeaderWorkerSet, metadata: {name: llm, namespace: team, uid: llm-uid}, spec: {replicas: 1, leaderWorkerTemplate: {size: 3, workerTemplate: {spec: %s}}}}`, groupAPI, podSpecOf(2))
	leaders := owned(of("apps/v1", "StatefulSet", "llm", "replicas: 1", 2), groupAPI, "LeaderWorkerSet", "llm")
	leader := podOf("llm-0", "llm", ownerOf("apps/v1", "StatefulSet", "llm"), 2)
	workers := owned(of("apps/v1", "StatefulSet", "llm-0", "replicas: 2", 2), "v1", "Pod", "llm-0")
	collector := account("generic-garbage-collector")
	const none = "4 of 10 are free in budget b"
	for name, c := range map[string]struct {
		root   string
		stored []string
		step
	}{
		"a tenant takes a pod from a RayCluster": {ray("ray"), []string{worker("ray", "a"), worker("ray", "b")},
			step{user: "eve", object: podOf("a", "ray", "", 3), old: worker("ray", "a")}},
		"takes another": {ray("ray"), []string{worker("ray", "a"), alone("b")},
			step{user: "eve", object: podOf("a", "ray", "", 5), old: podOf("a", "ray", ownerOf(rayAPI, "RayCluster", "ray"), 5), refused: none}},
		"takes one that terminates": {ray("ray"), []string{worker("ray", "a")},
			step{user: "eve", object: going(podOf("a", "ray", "", 5)), old: going(podOf("a", "ray", ownerOf(rayAPI, "RayCluster", "ray"), 5)), refused: none}},
		"the RayCluster is deleted without its pods": {going(ray("ray")), []string{worker("ray", "a")},
			step{user: collector, object: podOf("a", "ray", "", 5), old: podOf("a", "ray", ownerOf(rayAPI, "RayCluster", "ray"), 5)}},
		"a RayCluster, whose RayJob goes on, is deleted without its pods": {run, []string{going(ofRun)},
			step{user: collector, object: podOf("a", "one", "", 5), old: podOf("a", "one", ownerOf(rayAPI, "RayCluster", "one"), 5), refused: none}},
		"a pod of a RayCluster of a RayJob": {run, []string{ofRun, worker("one", "a")}, step{user: rayMaker, object: worker("one", "b")}},
		"a pod beyond it":                   {run, []string{ofRun, worker("one", "a"), worker("one", "b")}, step{user: rayMaker, object: podOf("c", "one", ownerOf(rayAPI, "RayCluster", "one"), 5), refused: none}},
		"a RayCluster is taken from its RayJob": {run, []string{ofRun},
			step{user: "eve", object: ray("one"), old: ofRun, refused: "asks for 6 GPUs (3 x 2 pods); " + none}},
		"also while it waits for a finalizer": {run, []string{going(ofRun), worker("one", "a"), worker("one", "b")},
			step{user: "eve", object: going(ray("one")), old: going(ofRun), refused: none}},
		"a RayJob makes another RayCluster beside pods of one that is gone": {run, []string{worker("gone", "a"), worker("gone", "b")},
			step{user: rayMaker, object: ofRun, refused: none}},
		"a Job is taken from its JobSet": {gang, []string{job}, step{user: "eve", object: free, old: job, refused: "asks for 6 GPUs (3 x 2 pods); " + none}},
		"also while it waits":            {gang, []string{going(job), pod("a"), pod("b")}, step{user: "eve", object: going(free), old: going(job), refused: none}},
		"from one that goes":             {going(gang), []string{job}, step{user: collector, object: free, old: job}},
		"from one that is gone":          {ray("other"), []string{job}, step{user: collector, object: free, old: job, refused: none}},
		"from one that is gone, by anybody": {ray("other"), []string{job},
			step{user: "eve", object: strings.Replace(free, "namespace: team,", "namespace: team, labels: {app: x},", 1), old: job, refused: none}},
		"a RayCluster is taken from a RayJob that is gone": {ray("other"), []string{ofRun}, step{user: collector, object: ray("one"), old: ofRun, refused: none}},
		"workers are taken from a leader that is gone, and all that it was of": {ray("other"), nil,
			step{user: collector, object: strings.Replace(strings.Replace(workers, ownerOf("v1", "Pod", "llm-0"), "", 1), "replicas: 2", "replicas: 3", 1), old: strings.Replace(workers, "replicas: 2", "replicas: 3", 1), refused: none}},
		"a Job is deleted without its pods": {gang, []string{going(job), pod("a")},
			step{user: collector, object: podOf("b", "w-0", "", 5), old: podOf("b", "w-0", ownerOf("batch/v1", "Job", "w-0"), 5), refused: none}},
		"as its JobSet is": {going(gang), []string{going(job), pod("a")},
			step{user: collector, object: podOf("b", "w-0", "", 5), old: podOf("b", "w-0", ownerOf("batch/v1", "Job", "w-0"), 5)}},
		"a Job is made anew":                              {gang, nil, step{user: jobSetMaker, object: job}},
		"beside pods of the one before":                   {gang, []string{pod("a"), pod("b")}, step{user: jobSetMaker, object: job, refused: none}},
		"beside one of them":                              {gang, []string{pod("a"), ended(pod("b"))}, step{user: jobSetMaker, object: job}},
		"beside pods of nobody":                           {gang, []string{alone("a"), alone("b")}, step{user: jobSetMaker, object: job, refused: none}},
		"a Job asks for no more":                          {gang, []string{alone("a"), alone("b"), job}, step{user: jobSetMaker, object: strings.Replace(job, "completions: 2", "completions: 1", 1), old: job}},
		"the workers of a leader that is gone are let go": {group, []string{leaders, going(leader)}, step{user: collector, object: strings.Replace(workers, ownerOf("v1", "Pod", "llm-0"), "", 1), old: workers}},
		"with less room":                                  {group, []string{leaders, going(leader), alone("a")}, step{user: collector, object: strings.Replace(strings.Replace(workers, ownerOf("v1", "Pod", "llm-0"), "", 1), "replicas: 2", "replicas: 3", 1), old: workers, refused: none}},
		"workers beside those of a leader that is gone":   {group, []string{leaders, leader, podOf("x-1", "x", ownerOf("apps/v1", "StatefulSet", "x"), 5)}, step{user: groupMaker, object: workers, refused: none}},
	} {
		t.Run(name, func(t *testing.T) {
			e, ledgers := standalone()
			e.charging.everything = false // as in a cluster
			remember(t, e.remembered, append(c.stored, c.root)...)
			hold(t, ledgers, c.root, 6)
			answer := e.validate(t.Context(), requestOf(t, c.step))
			if c.refused == "" {
				require.True(t, answer.Allowed, "%+v", answer.Result)
				return
			}
			require.False(t, answer.Allowed)
			assert.Contains(t, answer.Result.Message, c.refused)
		})
	}
}
