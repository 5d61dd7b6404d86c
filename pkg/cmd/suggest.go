package cmd

import (
	"errors"
	"fmt"

	"github.com/kubetorch/webhook/pkg/dryrun"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/simulate"
)

// suggest finds, for each workload, the parameters that hold the fewest GPU-hours. none names those
// for which nothing keeps the limit.
func (s *simulator) suggest(workloads []workload, results []simulate.Simulation) (none, err error) {
	for i, w := range workloads {
		search := simulate.ParameterSearch{
			Limit:    s.options.WaitLimit.Seconds(),
			Values:   simulate.Tried(w.settings.Annotations[knative.ClassKey], w.settings.Concurrency),
			Simulate: func(p simulate.Parameters) (simulate.Simulation, error) { return s.with(w, p) },
		}
		x := &simulate.Suggestion{Changes: map[string]string{}, At: w.at(), Limit: search.Limit, Before: simulate.FiguresOf(results[i])}
		results[i].Suggestion = x
		best, err := search.Best()
		x.After = simulate.FiguresOf(best.Result)
		if errors.Is(err, simulate.ErrNoneFits) {
			x.None = err.Error()
			none = errors.Join(none, fmt.Errorf("%s: %w", w.title, err))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.title, err)
		}
		for _, changes := range []simulate.Parameters{w.lowered.values, best.Parameters} {
			for name, value := range changes {
				x.Changes[w.prefix+name] = value
			}
		}
	}
	return none, nil
}

// at is where in its manifest the keys belong that a workload scales by.
func (w *workload) at() string {
	if w.prefix == parameter.AutoscalePrefix {
		return "metadata.annotations"
	}
	return "spec.template.metadata.annotations"
}

// with simulates a workload with other parameters, if they are admitted.
func (s *simulator) with(w workload, p simulate.Parameters) (simulate.Simulation, error) {
	docs := copyDocuments(w.docs)
	flat := offline.Flatten(docs)
	dryrun.Set(flat[w.index].Object, p)
	o := offline.Expand(docs, s.inputs)[w.index]
	if o.Verdict.Refused() {
		return simulate.Simulation{}, fmt.Errorf("%s is refused with %v", o.Title, p)
	}
	settings, err := s.settings(o)
	if err != nil {
		return simulate.Simulation{}, err
	}
	return simulate.Run(s.input(settings, 0))
}

// keyPrefix is that of the keys that a workload scales by: parameters, or Knative's own
// annotations if it is not labelled.
func keyPrefix(o manifest.Object) string {
	if dryrun.Labelled(o) {
		return parameter.AutoscalePrefix
	}
	return knative.AutoscalingPrefix
}
