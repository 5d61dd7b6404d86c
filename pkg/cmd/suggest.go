package cmd

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/kubetorch/webhook/pkg/diagnose"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/simulate"
)

// suggest prints, for each workload, the parameters that hold the fewest GPU-hours.
func (s *simulator) suggest(out io.Writer, workloads []workload) error {
	var none error
	for _, w := range workloads {
		search := simulate.Search{
			Limit:    s.options.WaitLimit.Seconds(),
			Values:   simulate.Tried(w.settings.Annotations[knative.ClassKey], w.settings.Concurrency),
			Simulate: func(p simulate.Parameters) (simulate.Result, error) { return s.with(w, p) },
		}
		before, err := s.with(w, nil)
		if err != nil {
			return Failed(fmt.Errorf("%s: %w", w.title, err))
		}
		best, err := search.Best()
		if errors.Is(err, simulate.ErrNoneFits) {
			none = errors.Join(none, fmt.Errorf("%s: %w", w.title, err))
			continue
		}
		if err != nil {
			return Failed(fmt.Errorf("%s: %w", w.title, err))
		}
		if err := printSuggestion(out, w, s.options.WaitLimit.String(), before, best); err != nil {
			return Failed(err)
		}
	}
	return Failed(none)
}

// with simulates a workload with other parameters, if they are admitted.
func (s *simulator) with(w workload, p simulate.Parameters) (simulate.Result, error) {
	docs := copyDocuments(w.docs)
	flat := offline.Flatten(docs)
	diagnose.Set(flat[w.index].Object, p)
	o := offline.Expand(docs, s.inputs)[w.index]
	if o.Verdict.Refused() {
		return simulate.Result{}, fmt.Errorf("%s is refused with %v", o.Title, p)
	}
	settings, err := s.settings(o)
	if err != nil {
		return simulate.Result{}, err
	}
	return simulate.Run(s.input(settings, 0))
}

// keyPrefix is that of the keys that a workload scales by: parameters, or Knative's own
// annotations if it is not labelled.
func keyPrefix(o manifest.Object) string {
	if diagnose.Labelled(o) {
		return parameter.AutoscalePrefix
	}
	return knative.AutoscalingPrefix
}

func printSuggestion(out io.Writer, w workload, limit string, before simulate.Result, best simulate.Candidate) error {
	unit, was, is := "GPU-hours", before.GPUHours, best.Result.GPUHours
	if before.GPUsPerPod == 0 && best.Result.GPUsPerPod == 0 {
		unit, was, is = "pod-hours", before.PodHours, best.Result.PodHours
	}
	fmt.Fprintf(out, "\nSuggestion for %s: %.2f %s instead of %.2f; 99 %% of all requests wait up to %gs (limit %s), before %gs.\n",
		w.title, is, unit, was, best.Result.WaitP99, limit, before.WaitP99)
	changes := simulate.Parameters{}
	maps.Copy(changes, w.lowered.values)
	maps.Copy(changes, best.Parameters)
	if len(changes) == 0 {
		fmt.Fprintln(out, "Nothing needs to be changed.")
		return nil
	}
	t := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		fmt.Fprintf(t, "  %s%s:\t%q\n", w.prefix, name, changes[name])
	}
	return t.Flush()
}
