package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	goruntime "runtime"
	"slices"
	"sync"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/cmd/options"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/report"
	"github.com/kubetorch/webhook/pkg/simulate"
	counted "github.com/kubetorch/webhook/pkg/workload"
)

// seriesPoints is how many points a series has at most.
const seriesPoints = 1000

func newSimulate() *cobra.Command {
	var o options.Simulate
	c := &cobra.Command{
		Use:   "simulate -f FILE|DIR|- --load TRACE [--against FILE]... [--policy FILE]... [-o table|json|html]",
		Short: "Show the pods, GPU-hours, cold starts and waiting requests that manifests will have under a load",
		Long: `Show what workloads will do under a load, without a cluster: pods over time, GPU-hours,
cold starts, requests that wait, panic mode, and what max-scale cuts off.

Manifests are expanded and judged as admission would, and each workload is simulated by
itself under the whole load, from the moment that its revision is ready. Decisions are those
of Knative's own autoscaler code. Requests that find no free place in a ready pod wait in one
queue, and are served in the order in which they came. GPU-hours are counted until a pod has ended, 30
seconds after it was taken away.

With --suggest it looks for the target, window, delays and min-scale that hold the fewest
GPU-hours while 99 % of all requests wait no longer than --wait-limit, among what policies
admit, and prints the parameters to change.

Of a workload that nothing but budgets refuse, as many pods are simulated as they have room for;
the result says so. Bounds and budgets that only warn or audit lower nothing: the result says
for how long pods are beyond them.

The exit code is 1 if a manifest is refused, by a budget too, or no parameters keep the limit, 2 if
the input or the flags are unusable. Nothing is simulated if anything else than a budget refuses.`,
		Example: `  kubetorch-webhook simulate -f service.yaml --load daily:0,20 --service-time lognormal:800ms,p99=5s --startup 90s
  kubetorch-webhook simulate -f before.yaml --against after.yaml --load requests.csv -o html >simulation.html
  kubetorch-webhook simulate -f service.yaml --load requests.json --suggest --wait-limit 5s`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return runSimulate(&o, c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	o.AddFlags(c.Flags())
	return c
}

func runSimulate(o *options.Simulate, in io.Reader, out, errOut io.Writer) error {
	if err := o.Validate().ToAggregate(); err != nil {
		return err
	}
	s, err := newSimulator(o, errOut)
	if err != nil {
		return err
	}
	workloads, err := s.workloads(in, errOut)
	if err != nil {
		return err
	}
	results, err := s.runAll(workloads)
	if err != nil {
		return err
	}
	var none error
	if o.Suggest {
		if none, err = s.suggest(workloads, results); err != nil {
			return Failed(err)
		}
	}
	if err := s.write(out, results); err != nil {
		return Failed(err)
	}
	if none != nil {
		return Failed(none)
	}
	if slices.ContainsFunc(workloads, func(w workload) bool { return w.lowered.reasons != nil }) {
		return Failed(errors.New("refused by budgets, so what fits was simulated"))
	}
	return nil
}

// simulator holds what all workloads are simulated with.
type simulator struct {
	options          *options.Simulate
	inputs           offline.Inputs
	load             *simulate.Load
	arrivals         simulate.Arrivals
	service, startup simulate.Durations
}

func newSimulator(o *options.Simulate, errOut io.Writer) (*simulator, error) {
	s := &simulator{options: o}
	var err error
	if s.inputs, err = offline.Load(o.Policies, o.KnativeConfigs, nil); err != nil {
		return nil, err
	}
	if err = s.inputs.OfRelease(o.KnativeVersion); err != nil {
		return nil, fmt.Errorf("--knative-version: %w", err)
	}
	if s.load, err = readLoad(o); err != nil {
		return nil, err
	}
	if s.service, err = simulate.ParseDurations(o.Service); err != nil {
		return nil, err
	}
	if s.startup, err = simulate.ParseDurations(o.Startup); err != nil {
		return nil, err
	}
	if o.Arrivals == "poisson" {
		s.arrivals, err = s.load.Poisson(s.service.Mean(), o.Seed)
	} else {
		s.arrivals, err = s.load.Even(s.service.Mean())
	}
	for _, w := range append(s.inputs.Warnings, s.load.Warnings...) {
		fmt.Fprintf(errOut, "Warning: %s\n", w)
	}
	return s, err
}

func readLoad(o *options.Simulate) (*simulate.Load, error) {
	if simulate.IsShape(o.Load) {
		return simulate.ParseShape(o.Load)
	}
	content, err := os.ReadFile(o.Load)
	if err != nil {
		return nil, fmt.Errorf("reading the load: %w; a load is a file, or %s", err, simulate.ShapeSyntax)
	}
	if o.UnitGiven() && !simulate.IsPrometheus(content) {
		return nil, fmt.Errorf("--load-unit: is for JSON alone; %s is CSV, and says in its header what it holds: time,rps, time,concurrency or time,requests", o.Load)
	}
	return simulate.ParseLoad(o.Load, content, o.LoadUnit == "concurrency")
}

// workload is one to simulate.
type workload struct {
	file, title string
	docs        []offline.Document // of its file, as they were read, within the budgets
	index       int                // of the workload among the outcomes
	settings    simulate.ScalingSettings
	prefix      string // of the keys that it scales by
	lowered     lowered
}

// workloads reads and admits the manifests: those of --filename, then those of --against.
func (s *simulator) workloads(in io.Reader, errOut io.Writer) ([]workload, error) {
	var all []workload
	refused := false
	stdin, err := onceRead(append(append([]string{}, s.options.Files...), s.options.Against...), in)
	if err != nil {
		return nil, err
	}
	for _, file := range append(append([]string{}, s.options.Files...), s.options.Against...) {
		docs, err := offline.ReadDocuments([]string{file}, bytes.NewReader(stdin))
		if err != nil {
			return nil, err
		}
		outcomes := offline.Expand(copyDocuments(docs), s.inputs)
		offline.Report(errOut, outcomes)
		outcomes, fitted := s.lower(docs, outcomes)
		found := 0
		for i, o := range outcomes {
			if o.Verdict.Refused() {
				refused = true
			}
			if !isService(o.Object) || o.Verdict.Refused() {
				continue
			}
			w := workload{file, o.Title, docs, i, simulate.ScalingSettings{}, keyPrefix(offline.Flatten(docs)[i].Object), fitted[i]}
			if w.settings, err = s.settings(o); err != nil {
				return nil, fmt.Errorf("%s: %w", o.Title, err)
			}
			if w.settings.Limits = s.limits(docs, o, i); w.lowered.from != "" {
				w.settings.MaxScaleFrom = w.lowered.from
			}
			all = append(all, w)
			found++
		}
		if found == 0 && !refused {
			return nil, fmt.Errorf("%s: holds no Knative Service, and no Deployment that becomes one (label kubetorch.com/autoscale), so there is nothing to simulate", file)
		}
	}
	if refused {
		return nil, Failed(errors.New("refused, so nothing was simulated"))
	}
	return all, nil
}

// onceRead reads standard input if a file is "-": several may be.
func onceRead(files []string, in io.Reader) ([]byte, error) {
	if slices.Contains(files, "-") {
		return io.ReadAll(in)
	}
	return nil, nil
}

func isService(o manifest.Object) bool {
	return counted.KindOf(o) == counted.ServiceKind
}

func copyDocuments(docs []offline.Document) []offline.Document {
	copied := make([]offline.Document, len(docs))
	for i, d := range docs {
		copied[i] = d
		if d.Object != nil {
			copied[i].Object = runtime.DeepCopyJSON(d.Object)
		}
	}
	return copied
}

// settings are those of an admitted workload.
func (s *simulator) settings(o offline.Preview) (simulate.ScalingSettings, error) {
	config := s.inputs.Knative
	if config == nil {
		config = knative.Default()
	}
	settings, err := simulate.SettingsOf(o.Object, o.Verdict.Demand.GPUs.PerPod, config)
	for _, x := range o.Verdict.Settings {
		if x.Name == knative.MaxScaleKey || x.Name == "max-scale" {
			settings.MaxScaleFrom = x.From
			if x.By != "" {
				settings.MaxScaleFrom = "lowered by " + x.By
			}
		}
	}
	// What is not labelled has no settings: what lowered it is among its clamps.
	for _, v := range o.Verdict.Clamped {
		if settings.MaxScaleFrom == "" && (v.Bound == policy.BoundMaxScale || v.Bound == policy.BoundGPUsPerWorkload) {
			settings.MaxScaleFrom = "lowered by policy " + v.Policy
		}
	}
	return settings, err
}

// runAll simulates as many workloads at a time as there are CPUs. The results are in their order.
func (s *simulator) runAll(workloads []workload) ([]simulate.Simulation, error) {
	results, errs := make([]simulate.Simulation, len(workloads)), make([]error, len(workloads))
	var wait sync.WaitGroup
	slots := make(chan struct{}, goruntime.GOMAXPROCS(0))
	for i := range workloads {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			w, r := &workloads[i], &results[i]
			if *r, errs[i] = s.run(w.settings); errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", w.title, errs[i])
			}
			r.Manifest, r.Workload, r.Load = w.file, w.title, s.load.Name
			r.Refused, r.Lowered = w.lowered.reasons, w.lowered.values
		})
	}
	wait.Wait()
	return results, errors.Join(errs...)
}

func (s *simulator) run(settings simulate.ScalingSettings) (simulate.Simulation, error) {
	return simulate.Run(s.input(settings, seriesPoints))
}

func (s *simulator) input(settings simulate.ScalingSettings, points int) simulate.Scenario {
	return simulate.Scenario{Settings: settings, Arrivals: s.arrivals, Service: s.service, Startup: s.startup,
		CPUPerRequest: s.options.CPUPerRequest.Seconds(), Points: points}
}

func (s *simulator) write(out io.Writer, results []simulate.Simulation) error {
	switch s.options.Output {
	case "json":
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(results)
	case "html":
		return report.Simulation(out, results, s.assumptions())
	}
	return report.SimulationTable(out, results, s.assumptions())
}

// assumptions are what the results rest on and the manifests do not say.
func (s *simulator) assumptions() []string {
	a := []string{
		"load " + s.load.Name + ", arrivals " + s.options.Arrivals,
		"a request takes " + s.service.String() + " (--service-time)",
		"a pod becomes ready after " + s.startup.String() + " (--startup) and ends after " + simulate.Drain.String(),
	}
	if s.options.CPUPerRequest > 0 {
		a = append(a, "a request costs "+s.options.CPUPerRequest.String()+" of a core (--cpu-per-request)")
	}
	return a
}
