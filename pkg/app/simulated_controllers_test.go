package app

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// The controllers of Kubernetes, as far as they decide which pods there are. Each does one step of its
// work on one object.

func deletingNow(o manifest.Object) bool {
	return manifest.At(o, "metadata", "deletionTimestamp") != nil
}

func uidOf(o manifest.Object) string { return manifest.Text(o, "metadata", "uid") }

func nameIn(o manifest.Object) string { return manifest.Text(o, "metadata", "name") }

// controllerUID is that of the controller that an object states, of whatever kind.
func controllerUID(o manifest.Object) string {
	for _, ref := range manifest.Objects(o, "metadata", "ownerReferences") {
		if controls, _ := ref["controller"].(bool); controls {
			return manifest.Text(ref, "uid")
		}
	}
	return ""
}

func reference(kind schema.GroupKind, o manifest.Object) []any {
	return []any{manifest.Object{"apiVersion": schema.GroupVersion{Group: kind.Group, Version: "v1"}.String(), "kind": kind.Kind, "name": nameIn(o), "uid": uidOf(o), "controller": true}}
}

// claim is what ControllerRefManager does: keeps what refers to an owner and is selected, releases what
// is not selected any more, and adopts what nobody controls. By UID alone, as there.
func (s *simulated) claim(user string, of, kind schema.GroupKind, owner manifest.Object, named func(string) bool) (claimed []manifest.Object) {
	for _, child := range s.all(kind) {
		selected := workload.Selects(owner, child) && (named == nil || named(nameIn(child)))
		switch uid := controllerUID(child); {
		case uid == uidOf(owner) && selected:
			claimed = append(claimed, child)
		case uid == uidOf(owner) && !deletingNow(owner):
			s.update(user, kind, "", child, func(o manifest.Object) { delete(manifest.Map(o, "metadata"), "ownerReferences") })
		case uid == "" && selected && !deletingNow(owner) && !deletingNow(child):
			if s.update(user, kind, "", child, func(o manifest.Object) { manifest.Map(o, "metadata")["ownerReferences"] = reference(of, owner) }) {
				claimed = append(claimed, s.stored[kind][nameIn(child)])
			}
		}
	}
	return claimed
}

func (s *simulated) deploymentController(d manifest.Object) {
	const user = "system:serviceaccount:kube-system:deployment-controller"
	sets := s.claim(user, workload.DeploymentKind, workload.ReplicaSetKind, d, nil)
	if deletingNow(d) {
		return
	}
	slices.SortFunc(sets, func(a, b manifest.Object) int { return strings.Compare(uidOf(a), uidOf(b)) })
	replicas := workload.Replicas(d)
	var newest, latestOld manifest.Object
	var active []manifest.Object
	var sum int64
	scaling := false
	for _, set := range sets {
		if newest == nil && manifest.Equal(manifest.At(set, "spec", "template", "spec"), manifest.At(d, "spec", "template", "spec")) {
			newest = set
		} else {
			latestOld = set
		}
		if n := workload.Replicas(set); n > 0 {
			active, sum = append(active, set), sum+n
			desired, stated := manifest.Whole(set, "metadata", "annotations", "desired")
			scaling = scaling || (stated && desired != replicas)
		}
	}
	recreate := manifest.Text(d, "spec", "strategy", "type") == "Recreate"
	surge, unavailable := int64(0), int64(0)
	if !recreate {
		surge, _ = manifest.Whole(d, "spec", "strategy", "rollingUpdate", "maxSurge")
		unavailable, _ = manifest.Whole(d, "spec", "strategy", "rollingUpdate", "maxUnavailable")
		if surge+unavailable == 0 {
			unavailable = 1
		}
	}
	set := func(rs manifest.Object, n int64) {
		s.update(user, workload.ReplicaSetKind, "", rs, func(o manifest.Object) {
			manifest.Map(o, "spec")["replicas"] = max(0, n)
			manifest.Map(o, "metadata")["annotations"] = manifest.Object{"desired": replicas}
		})
	}
	paused, _ := manifest.At(d, "spec", "paused").(bool)
	if paused || scaling {
		switch only := only(active, newest, latestOld); {
		case only != nil:
			set(only, replicas)
		case recreate: // waits
		default: // in proportion: the newest one takes what there is to add, the largest one gives
			add := -sum
			if replicas > 0 {
				add = replicas + surge - sum
			}
			chosen := active[s.random.IntN(len(active))]
			set(chosen, workload.Replicas(chosen)+add)
		}
		return
	}
	if newest == nil {
		if recreate && (sum > 0 || s.anyPods(sets)) {
			for _, old := range active {
				set(old, 0)
			}
			return
		}
		n := min(max(0, replicas+surge-sum), replicas)
		s.uids++
		own := copied(manifest.Map(d, "spec", "selector", "matchLabels"))
		own[templateHash] = hashOf(manifest.At(d, "spec", "template", "spec"))
		rs := manifest.Object{"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": manifest.Object{"name": fmt.Sprintf("%s-%d", nameIn(d), s.uids), "namespace": team,
			"uid": fmt.Sprintf("00000000-0000-4000-8000-%012d", s.uids), "generation": int64(1), "labels": copied(own),
			"ownerReferences": reference(workload.DeploymentKind, d), "annotations": manifest.Object{"desired": replicas}},
			"spec": manifest.Object{"replicas": n, "selector": manifest.Object{"matchLabels": own}, "template": manifest.Map(d, "spec", "template")}}
		s.put(workload.ReplicaSetKind, clonedObject(rs)) // the webhook is not asked about it
		s.note("deployment-controller makes ReplicaSet/%s with %d", nameIn(rs), n)
		return
	}
	if recreate {
		for _, old := range active {
			if uidOf(old) != uidOf(newest) {
				set(old, 0)
				return
			}
		}
		if n := workload.Replicas(newest); n != replicas {
			set(newest, replicas)
		}
		return
	}
	n := workload.Replicas(newest)
	switch {
	case n > replicas:
		set(newest, replicas)
	case n < replicas && sum < replicas+surge:
		set(newest, n+min(replicas-n, replicas+surge-sum))
	default:
		spare := s.ready(sets) - (replicas - unavailable)
		for _, old := range active {
			if uidOf(old) != uidOf(newest) && spare > 0 {
				set(old, workload.Replicas(old)-min(spare, workload.Replicas(old)))
				return
			}
		}
	}
}

// templateHash is the label by which a ReplicaSet of a Deployment and its pods are told from those of other templates.
const templateHash = "pod-template-hash"

// hashOf is the same for the same template, so that a ReplicaSet that is made anew adopts what the last one left.
func hashOf(template any) string {
	h := fnv.New32a()
	fmt.Fprint(h, template)
	return fmt.Sprint(h.Sum32())
}

// only is the ReplicaSet that is scaled as a whole: the one that is active, or, if none is, the newest
// or the latest of the others; nil if several are.
func only(active []manifest.Object, newest, latestOld manifest.Object) manifest.Object {
	switch {
	case len(active) == 1:
		return active[0]
	case len(active) > 1:
		return nil
	case newest != nil:
		return newest
	case latestOld != nil:
		return latestOld
	}
	return manifest.Object{"metadata": manifest.Object{}, "spec": manifest.Object{}} // nothing to scale
}

func (s *simulated) anyPods(owners []manifest.Object) bool { return len(s.podsOf(owners)) > 0 }

func (s *simulated) podsOf(owners []manifest.Object) (pods []manifest.Object) {
	for _, pod := range s.all(workload.PodKind) {
		for _, owner := range owners {
			if controllerUID(pod) == uidOf(owner) {
				pods = append(pods, pod)
			}
		}
	}
	return pods
}

func (s *simulated) ready(owners []manifest.Object) (n int64) {
	for _, pod := range s.podsOf(owners) {
		if manifest.Text(pod, "status", "phase") == "Running" && !deletingNow(pod) {
			n++
		}
	}
	return n
}

// replicaSetController keeps spec.replicas pods, of a ReplicaSet and of a ReplicationController.
func (s *simulated) replicaSetController(kind schema.GroupKind, account string, set manifest.Object) {
	user := "system:serviceaccount:kube-system:" + account
	var active []manifest.Object
	for _, pod := range s.claim(user, kind, workload.PodKind, set, nil) {
		if !deletingNow(pod) && !workload.Ended(pod) {
			active = append(active, pod)
		}
	}
	if deletingNow(set) || s.awaits(uidOf(set)) {
		return
	}
	switch more := workload.Replicas(set) - int64(len(active)); {
	case more > 0:
		s.sideBySide(uidOf(set), 1+s.random.Int64N(more), func() { s.makePod(user, kind, set, "", manifest.Map(set, "spec", "template", "spec")) })
	case more < 0:
		s.terminate(active[s.random.IntN(len(active))])
	}
}

func (s *simulated) makePod(user string, kind schema.GroupKind, owner manifest.Object, name string, spec manifest.Object) {
	if name == "" {
		s.uids++
		name = fmt.Sprintf("%s-%d", nameIn(owner), s.uids)
	}
	stated := manifest.Map(owner, "spec", "selector", "matchLabels")
	if kind == workload.ReplicationControllerKind {
		stated = manifest.Map(owner, "spec", "selector")
	}
	s.create(user, workload.PodKind, manifest.Object{"apiVersion": "v1", "kind": "Pod",
		"metadata": manifest.Object{"name": name, "labels": copied(stated), "ownerReferences": reference(kind, owner)}, "spec": clonedObject(spec)})
}

// statefulSetController has one pod in each place, at an earlier template below the partition.
func (s *simulated) statefulSetController(set manifest.Object) {
	const user = "system:serviceaccount:kube-system:statefulset-controller"
	prefix := nameIn(set) + "-"
	pods := s.claim(user, workload.StatefulSetKind, workload.PodKind, set, func(name string) bool { return strings.HasPrefix(name, prefix) })
	if deletingNow(set) {
		return
	}
	update := manifest.Map(set, "spec", "template", "spec")
	earlier := manifest.Map(s.earlier[uidOf(set)], "spec")
	partition, _ := manifest.Whole(set, "spec", "updateStrategy", "rollingUpdate", "partition")
	replicas := workload.Replicas(set)
	byName := map[string]manifest.Object{}
	for _, pod := range pods {
		byName[nameIn(pod)] = pod
	}
	var missing []int64
	for i := range replicas {
		if name := fmt.Sprintf("%s%d", prefix, i); byName[name] == nil && s.stored[workload.PodKind][name] == nil {
			missing = append(missing, i)
		}
	}
	if n := int64(len(missing)); n > 0 { // with podManagementPolicy Parallel
		next := 0
		s.sideBySide(uidOf(set), 1+s.random.Int64N(n), func() {
			i, spec := missing[next], update
			if next++; i < partition && earlier != nil {
				spec = earlier
			}
			s.makePod(user, workload.StatefulSetKind, set, fmt.Sprintf("%s%d", prefix, i), spec)
		})
		return
	}
	for i := range replicas {
		switch pod := byName[fmt.Sprintf("%s%d", prefix, i)]; {
		case pod != nil && !deletingNow(pod) && (workload.Ended(pod) || (i >= partition && !manifest.Equal(manifest.At(pod, "spec"), update))):
			s.terminate(pod)
			return
		}
	}
	for i := replicas; i < replicas+6; i++ {
		if pod := byName[fmt.Sprintf("%s%d", prefix, i)]; pod != nil && !deletingNow(pod) {
			s.terminate(pod)
			return
		}
	}
}

// jobController runs pods side by side until enough have succeeded.
func (s *simulated) jobController(job manifest.Object) {
	const user = "system:serviceaccount:kube-system:job-controller"
	var active, terminating, succeeded int64
	var running []manifest.Object
	for _, pod := range s.claim(user, workload.JobKind, workload.PodKind, job, nil) {
		switch {
		case manifest.Text(pod, "status", "phase") == "Succeeded":
			succeeded++
		case workload.Ended(pod):
		case deletingNow(pod):
			terminating++
		default:
			active, running = active+1, append(running, pod)
		}
	}
	if deletingNow(job) || s.awaits(uidOf(job)) {
		return
	}
	if before, _ := manifest.Whole(job, "status", "succeeded"); succeeded > before {
		s.update(user, workload.JobKind, "status", job, func(o manifest.Object) { o["status"] = manifest.Object{"succeeded": succeeded} })
		return
	}
	// What succeeded was counted, whatever became of the pod.
	counted, _ := manifest.Whole(job, "status", "succeeded")
	parallelism, _ := manifest.Whole(job, "spec", "parallelism")
	completions, _ := manifest.Whole(job, "spec", "completions")
	succeeded = max(succeeded, counted)
	wanted := min(parallelism, max(0, completions-succeeded))
	if suspended, _ := manifest.At(job, "spec", "suspend").(bool); suspended {
		wanted = 0
	}
	have := active
	if manifest.Text(job, "spec", "podReplacementPolicy") == "Failed" {
		have += terminating
	}
	switch {
	case active > wanted:
		s.terminate(running[0])
	case have < wanted:
		s.sideBySide(uidOf(job), 1+s.random.Int64N(wanted-have), func() { s.makePod(user, workload.JobKind, job, "", manifest.Map(job, "spec", "template", "spec")) })
	}
}

// nodes of the simulated cluster.
const simulatedNodes = 3

// daemonSetController has a pod on each node; a rollout may have one more on a node that has an old one,
// or replaces that.
func (s *simulated) daemonSetController(set manifest.Object) {
	const user = "system:serviceaccount:kube-system:daemon-set-controller"
	byNode := map[string][]manifest.Object{}
	for _, pod := range s.claim(user, workload.DaemonSetKind, workload.PodKind, set, nil) {
		node := manifest.Text(pod, "spec", "nodeName")
		byNode[node] = append(byNode[node], pod)
	}
	if deletingNow(set) {
		return
	}
	surge, _ := manifest.Whole(set, "spec", "updateStrategy", "rollingUpdate", "maxSurge")
	template := manifest.Map(set, "spec", "template", "spec")
	node := fmt.Sprint("node-", s.random.IntN(simulatedNodes))
	var old, current []manifest.Object
	for _, pod := range byNode[node] {
		asked := clonedObject(manifest.Map(pod, "spec"))
		delete(asked, "nodeName")
		switch {
		case workload.Ended(pod):
			s.terminate(pod)
		case deletingNow(pod):
		case manifest.Equal(asked, template):
			current = append(current, pod)
		default:
			old = append(old, pod)
		}
	}
	switch {
	case len(current) == 0 && (len(old) == 0 || surge > 0):
		spec := clonedObject(template)
		spec["nodeName"] = node
		s.makePod(user, workload.DaemonSetKind, set, "", spec)
	case len(old) > 0:
		s.terminate(old[0])
	case len(current) > 1:
		s.terminate(current[0])
	}
}

// cronJobController makes a Job, whether the last one has ended or not.
func (s *simulated) cronJobController(cron manifest.Object) {
	const user = "system:serviceaccount:kube-system:cronjob-controller"
	if suspended, _ := manifest.At(cron, "spec", "suspend").(bool); suspended || deletingNow(cron) || s.random.IntN(3) > 0 {
		return
	}
	s.uids++
	label := manifest.Object{"job": fmt.Sprint("c", s.uids)}
	spec := clonedObject(manifest.Map(cron, "spec", "jobTemplate", "spec"))
	spec["selector"] = manifest.Object{"matchLabels": label}
	manifest.Map(spec, "template")["metadata"] = manifest.Object{"labels": label}
	s.create(user, workload.JobKind, clonedObject(manifest.Object{"apiVersion": "batch/v1", "kind": "Job", "spec": spec,
		"metadata": manifest.Object{"name": fmt.Sprintf("%s-%d", nameIn(cron), s.uids), "labels": label, "ownerReferences": reference(workload.CronJobKind, cron)}}))
}

// autoscaler has an object ask for some number of replicas, up to its limit.
func (s *simulated) autoscaler(hpa manifest.Object) {
	target := workload.AutoscalerTarget(hpa)
	o := s.stored[target.GroupKind][target.Name]
	if o == nil || workload.Replicas(o) == 0 || deletingNow(o) {
		return
	}
	limit, _ := manifest.Whole(hpa, "spec", "maxReplicas")
	s.scale("system:serviceaccount:kube-system:horizontal-pod-autoscaler", target.GroupKind, o, 1+s.random.Int64N(limit))
}

// terminate begins to delete a pod: it stays until the kubelet has ended it.
func (s *simulated) terminate(pod manifest.Object) {
	if now := s.stored[workload.PodKind][nameIn(pod)]; now != nil && !deletingNow(now) {
		o := clonedObject(now)
		manifest.Map(o, "metadata")["deletionTimestamp"] = "2026-01-01T00:00:00Z"
		s.put(workload.PodKind, o)
	}
}

// kubelet goes on with a pod.
func (s *simulated) kubelet(pod manifest.Object) {
	phase := manifest.Text(pod, "status", "phase")
	switch {
	case deletingNow(pod):
		delete(s.alive, uidOf(pod))
		s.drop(workload.PodKind, pod)
		s.note("pod %s is gone", nameIn(pod))
	case s.alive[uidOf(pod)].gpus == 0 && phase != "":
	case phase == "":
		s.phase(pod, "Running")
	case s.random.IntN(6) == 0:
		delete(s.alive, uidOf(pod))
		s.phase(pod, []string{"Succeeded", "Failed"}[s.random.IntN(2)])
	}
}

func (s *simulated) phase(pod manifest.Object, phase string) {
	o := clonedObject(pod)
	o["status"] = manifest.Object{"phase": phase}
	s.put(workload.PodKind, o)
}

// collector deletes what has an owner that is gone, and forgets pods that have ended.
func (s *simulated) collector() {
	uids := map[string]bool{"": true}
	for _, kind := range workload.Kinds() {
		for _, o := range s.all(kind.GroupKind) {
			uids[uidOf(o)] = true
		}
	}
	for _, kind := range workload.Kinds() {
		for _, o := range s.all(kind.GroupKind) {
			if kind.GroupKind != workload.PodKind && deletingNow(o) {
				s.orphan(kind.GroupKind, o)
				return
			}
			if !uids[controllerUID(o)] {
				if kind.GroupKind == workload.PodKind {
					s.terminate(o)
				} else {
					s.drop(kind.GroupKind, o)
				}
				return
			}
		}
	}
	for _, pod := range s.all(workload.PodKind) {
		if s.alive[uidOf(pod)].gpus == 0 && workload.Ended(pod) && s.random.IntN(3) == 0 {
			s.drop(workload.PodKind, pod)
			return
		}
	}
}

func copied(m manifest.Object) manifest.Object { return clonedObject(m) }
