package cmd

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kubetorch/webhook/pkg/dryrun"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/simulate"
)

// mostPods is where the search for a number of pods that fits begins, if a workload has no maximum.
const mostPods = 1 << 20

// lowered is what was made of a workload that budgets refuse, so that it fits.
type lowered struct {
	// values of parameters that fit.
	values simulate.Parameters
	// reasons are the refusals of the workload as it is written.
	reasons []string
	// from names the budgets and how many pods were asked for.
	from string
}

// lower gives each workload that nothing but budgets refuse as many pods as they have room for, in
// place. lowered are by the index of the outcome.
func (s *simulator) lower(docs []offline.Document, outcomes []offline.Preview) ([]offline.Preview, map[int]lowered) {
	all := map[int]lowered{}
	for i := range outcomes {
		if v := outcomes[i].Verdict; !isService(outcomes[i].Object) || len(v.Errors) > 0 || len(v.Denied) == 0 || slices.ContainsFunc(v.Denied, notOfBudget) {
			continue
		}
		l := lowered{from: "budget " + strings.Join(policies(outcomes[i].Verdict.Denied), ", ") + ", of " + asked(outcomes[i]) + " asked for"}
		for _, x := range outcomes[i].Verdict.Denied {
			l.reasons = append(l.reasons, x.Error.Error())
		}
		n := s.largest(docs, outcomes[i], i, func(all []offline.Preview) bool {
			return !slices.ContainsFunc(all[i].Verdict.Denied, ofBudget) && noneBut(i, outcomes, all)
		})
		if n == 0 {
			continue
		}
		l.values = scaledTo(outcomes[i], n)
		changed := copyDocuments(docs)
		dryrun.Set(offline.Flatten(changed)[i].Object, l.values)
		if again := offline.Expand(copyDocuments(changed), s.inputs); !again[i].Verdict.Refused() && noneBut(i, outcomes, again) {
			copy(docs, changed)
			outcomes, all[i] = again, l
		}
	}
	return outcomes, all
}

// noneBut tells whether no other object is refused that was not before: what is admitted as it is written
// stays so.
func noneBut(index int, before, now []offline.Preview) bool {
	for i := range now {
		if i != index && now[i].Verdict.Refused() && !before[i].Verdict.Refused() {
			return false
		}
	}
	return true
}

func ofBudget(v policy.Violation) bool { return v.Bound == review.BoundGPUBudget }

func notOfBudget(v policy.Violation) bool { return !ofBudget(v) }

// policies are the names of those that have violations.
func policies(violations []policy.Violation) []string {
	names := map[string]bool{}
	for _, v := range violations {
		names[v.Policy] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// asked words the pods that a workload asks for.
func asked(o offline.Preview) string {
	if n := o.Verdict.Demand.PeakPods; n < mostPods {
		return strconv.FormatInt(n, 10) + " pods"
	}
	return "pods without a maximum"
}

// largest is the largest number of pods, up to as many as the workload asks for, with which what
// comes of all is good; 0 if none is.
func (s *simulator) largest(docs []offline.Document, o offline.Preview, index int, good func([]offline.Preview) bool) int64 {
	return dryrun.Largest(min(o.Verdict.Demand.PeakPods, mostPods), func(n int64) bool {
		changed := copyDocuments(docs)
		dryrun.Set(offline.Flatten(changed)[index].Object, scaledTo(o, n))
		return good(offline.Expand(changed, s.inputs))
	})
}

// scaledTo are the parameters that hold a workload to a number of pods.
func scaledTo(o offline.Preview, pods int64) simulate.Parameters {
	text := strconv.FormatInt(pods, 10)
	p := simulate.Parameters{parameter.MaxScale.Name: text}
	annotations := manifest.Map(o.Object, "spec", "template", "metadata", "annotations")
	for key, name := range map[string]string{knative.MinScaleKey: parameter.MinScale.Name, knative.InitialScaleKey: parameter.InitialScale.Name} {
		if _, stated, ok := knative.Get(annotations, key); ok {
			if n, err := parameter.ParseScale(stated); err == nil && n > pods {
				p[name] = text
			}
		}
	}
	return p
}

// limits are the bounds and budgets of which a workload that is admitted is told, or only those who
// look: with how many pods it would be within them.
func (s *simulator) limits(docs []offline.Document, o offline.Preview, index int) []simulate.ReachedLimit {
	var all []simulate.ReachedLimit
	for _, v := range slices.Concat(o.Verdict.Warned, o.Verdict.Audited) {
		what := "policy"
		switch v.Bound {
		case review.BoundGPUBudget:
			what = "budget"
		case policy.BoundMaxScale, policy.BoundGPUsPerWorkload:
		default:
			continue // fewer pods do not help
		}
		same := func(x policy.Violation) bool { return x.Policy == v.Policy && x.Bound == v.Bound }
		n := s.largest(docs, o, index, func(all []offline.Preview) bool {
			w := all[index].Verdict
			return !slices.ContainsFunc(w.Warned, same) && !slices.ContainsFunc(w.Audited, same)
		})
		all = append(all, simulate.ReachedLimit{From: fmt.Sprintf("%s %s (%s)", what, v.Policy, v.Enforcement), Pods: int(n)})
	}
	return all
}
