package expand_test

import (
	"fmt"
	"testing"
)

// inRelease is a cluster of a release of Knative, with ConfigMap keys.
func inRelease(release int, triples ...string) cluster {
	c := inCluster(triples...)
	c.knative = c.knative.WithRelease(release)
	return c
}

func TestCasesOfReleases(t *testing.T) {
	const (
		gpu      = `{containers: [{image: "ghcr.io/acme/inference:v1", resources: {limits: {nvidia.com/gpu: 1}}}]}`
		delay    = "scale-down-delay 15m: Knative 1.17 holds the GPUs of superseded revisions so long too; 1.18 and later do not"
		starting = "initial-scale 3: in Knative 1.%d a revision that is superseded before it had so many pods goes on asking for them, and for their GPUs, until it is deleted; 1.21 and later scale it down"
		rooted   = "spec.template.spec.containers[0] states runAsNonRoot: false, which secure-pod-defaults of Knative 1.19 makes true, so it does not start as user 0; state it for the pod, with kubernetes.podspec-securitycontext"
	)
	initial := func(release int) []string { return []string{fmt.Sprintf(starting, release)} }
	delayed := kpa("scale-down-delay", "15m")
	started := kpa("min-scale", "3", "initial-scale", "3")
	secure := []string{"features", "secure-pod-defaults", "enabled", "features", "kubernetes.podspec-securitycontext", "enabled"}
	runRows(t, map[string]row{
		"a delay before 1.18 holds GPUs":                       {in: autoscaled("scale-down-delay", "15m").pod(gpu), at: inRelease(17), want: delayed, warnings: []string{delay}},
		"a delay from 1.18 on does not":                        {in: autoscaled("scale-down-delay", "15m").pod(gpu), at: inRelease(18), want: delayed},
		"a delay of nothing holds none":                        {in: autoscaled("scale-down-delay", "0s").pod(gpu), at: inRelease(17), want: kpa("scale-down-delay", "0s")},
		"the delay that nobody states is not spoken of":        {in: autoscaled().pod(gpu), at: inRelease(17), want: kpa()},
		"a delay without GPUs holds none":                      {in: autoscaled("scale-down-delay", "15m"), at: inRelease(17), want: delayed},
		"an initial scale before 1.21 holds GPUs":              {in: autoscaled("min-scale", "3").pod(gpu), at: inRelease(20), want: started, warnings: initial(20)},
		"an initial scale from 1.21 on does not":               {in: autoscaled("min-scale", "3").pod(gpu), at: inRelease(21), want: started},
		"root before 1.20 is taken away":                       {in: autoscaled().pod(onePod(`securityContext: {runAsNonRoot: false}`)), at: inRelease(19, secure...), want: kpa(), warnings: []string{rooted}},
		"root from 1.20 on stays":                              {in: autoscaled().pod(onePod(`securityContext: {runAsNonRoot: false}`)), at: inRelease(20, secure...), want: kpa()},
		"root that the pod states stays":                       {in: autoscaled().pod(`{securityContext: {runAsNonRoot: false}, containers: [{image: a/b, securityContext: {runAsUser: 0}}]}`), at: inRelease(19, secure...), want: kpa()},
		"root that AllowRootBounded of 1.20 leaves, stays":     {in: autoscaled().pod(onePod(`securityContext: {runAsUser: 0}`)), at: inRelease(20, "features", "secure-pod-defaults", "AllowRootBounded"), want: kpa()},
		"a profile of the pod under AllowRootBounded is taken": {in: autoscaled().pod(`{securityContext: {seccompProfile: {type: RuntimeDefault}}, containers: [{image: a/b}]}`), at: inRelease(20, "features", "secure-pod-defaults", "AllowRootBounded"), want: kpa()},
	})
}
