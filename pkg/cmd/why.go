package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/cmd/options"
	"github.com/kubetorch/webhook/pkg/diagnose"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/review"
	counted "github.com/kubetorch/webhook/pkg/workload"
)

// mostHolders is how many holders of a budget are named.
const mostHolders = 10

func newWhy() *cobra.Command {
	var o options.Diagnose
	c := &cobra.Command{
		Use:   "why KIND/NAME | -f FILE|DIR|-",
		Short: "Tell which bound or budget of a cluster refuses a workload, who holds the budget, and what would fit",
		Long: `Tell what the policies and budgets of a cluster make of a workload: of manifests, as if you
applied them now, or of one that exists, as if it was made now. Nothing is changed, and nothing is
reserved. For a refusal it names who holds the budgets, the largest first, and how many pods would
fit, as the workload is and with other types of GPUs that budgets or policies name.

It uses the rights of the kubeconfig, as audit does, and judges as a user that no policy exempts.

The exit code is 1 if a workload is refused, or while a budget is being counted, so that nobody
can know and claims that rise are told to come back; 2 if the flags, the input or the cluster cannot be read.`,
		Example: `  kubetorch-webhook why -f service.yaml
  kubetorch-webhook why ksvc/inference -n ml`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.Complete(args).ToAggregate(); err != nil {
				return err
			}
			return runWhy(c.Context(), &o, c.InOrStdin(), c.OutOrStdout())
		},
	}
	o.AddFlags(c.Flags(), true)
	return c
}

func runWhy(ctx context.Context, o *options.Diagnose, in io.Reader, out io.Writer) error {
	s, err := readState(ctx, o)
	if err != nil {
		return err
	}
	subjects, err := s.subjects(ctx, in)
	if err != nil {
		return err
	}
	answers := []diagnose.Diagnosis{}
	refused, unknown := false, false
	for _, subject := range subjects {
		a, err := diagnose.Explain(s.about(subject))
		if err != nil {
			return fmt.Errorf("%s: %w", a.Workload, err)
		}
		refused, unknown = refused || !a.Allowed && !a.Unknown, unknown || a.Unknown
		s.ages(ctx, a.Budgets)
		answers = append(answers, a)
	}
	if o.Output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(answers)
	} else {
		err = writeAnswers(out, answers)
	}
	switch {
	case err != nil:
	case refused:
		err = errors.New("refused")
	case unknown:
		err = errors.New("not known while a budget is being counted")
	}
	return Failed(err)
}

// liveState is what was read of a cluster.
type liveState struct {
	options *options.Diagnose
	client  dynamic.Interface
	input   audit.Listing
	read    clusterRead
	uses    []audit.BudgetUse
}

func readState(ctx context.Context, o *options.Diagnose) (*liveState, error) {
	s := &liveState{options: o}
	audited := options.Audit{Cluster: o.Cluster, KnativeNamespace: o.KnativeNamespace}
	var err error
	if s.read, err = readCluster(ctx, &audited, &s.input, nil, map[string]int64{}); err != nil {
		return nil, err
	}
	s.client = s.read.client
	_, s.uses = audit.Budgets(s.input, s.read.budgets)
	return s, nil
}

// subject is an object that is written, over old if there is one.
type subject struct{ object, old manifest.Object }

// subjects are those that the flags name. The live object of a manifest is what it is written over.
func (s *liveState) subjects(ctx context.Context, in io.Reader) ([]subject, error) {
	if s.options.Kind != "" {
		o, err := s.live(ctx, s.options.Kind, s.options.Namespace, s.options.Name)
		if err != nil {
			return nil, fmt.Errorf("reading %s/%s: %w", s.options.Kind, s.options.Name, err)
		}
		return []subject{{object: o}}, nil
	}
	docs, err := offline.ReadDocuments(s.options.Files, in)
	if err != nil {
		return nil, err
	}
	var all []subject
	for _, d := range offline.Flatten(docs) {
		if !makesPods(d.Object) {
			continue
		}
		namespace := s.namespace(d.Object)
		old, err := s.live(ctx, manifest.Text(d.Object, "kind"), namespace, manifest.Text(d.Object, "metadata", "name"))
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("%s: %w", d.Source, err)
		}
		if old != nil {
			manifest.Map(d.Object, "metadata")["uid"] = manifest.Text(old, "metadata", "uid")
		}
		all = append(all, subject{d.Object, old})
	}
	if len(all) == 0 {
		return nil, errors.New("the manifests hold nothing that makes pods")
	}
	return all, nil
}

// makesPods tells whether an object is a Knative Service, or of a kind of Kubernetes' own that has pods.
func makesPods(o manifest.Object) bool {
	return isService(o) || slices.ContainsFunc(counted.Kinds(), func(k counted.Kind) bool { return counted.States(o, k.GroupKind) })
}

func (s *liveState) namespace(o manifest.Object) string {
	if n := manifest.Text(o, "metadata", "namespace"); n != "" {
		return n
	}
	return s.options.Namespace
}

func (s *liveState) live(ctx context.Context, kind, namespace, name string) (manifest.Object, error) {
	kinds := counted.Kinds()
	resource, ok := map[string]cluster.Resource{"Service": cluster.Services, "Configuration": cluster.Configurations,
		"Revision": cluster.Revisions, "Route": cluster.Routes, "PodAutoscaler": cluster.PodAutoscalers}[kind]
	if i := slices.IndexFunc(kinds, func(k counted.Kind) bool { return k.Kind == kind }); !ok && i >= 0 {
		resource, ok = kinds[i].GVR(), true
	}
	if !ok {
		return nil, fmt.Errorf("%s is of no kind that can be read here", kind)
	}
	o, err := s.client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return o.Object, nil
}

// about is what the verdict on a subject depends on.
func (s *liveState) about(x subject) diagnose.Query {
	namespace := s.namespace(x.object)
	var docs []offline.Document
	for _, item := range s.input.Objects {
		if item.Namespace == namespace {
			docs = append(docs, offline.Document{Object: item.Object()})
		}
	}
	w := offline.World(docs, offline.Inputs{Knative: s.input.Knative}, namespace)
	w.Policies, w.Cluster, w.Documents = s.input.Policies, &review.Cluster{Knative: s.input.Served}, false
	w.NamespaceLabels = func(name string) (map[string]string, bool) {
		labels, known := s.input.Namespaces[name]
		return labels, known
	}
	return diagnose.Query{Object: x.object, Old: x.old, Namespace: namespace, User: authenticationv1.UserInfo{Username: "nobody"}, World: w,
		Budgets: s.read.budgets, Uses: s.uses}
}

// ages asks for those of the holders that are named first.
func (s *liveState) ages(ctx context.Context, budgets []diagnose.BudgetState) {
	for _, b := range budgets {
		for i := range b.Holders[:min(mostHolders, len(b.Holders))] {
			b.Holders[i].Age = s.age(ctx, b.Holders[i].Holder)
		}
	}
}

// age of a holder, as kubectl words it; empty if it cannot be read.
func (s *liveState) age(ctx context.Context, h v1alpha1.Holder) string {
	o, err := s.live(ctx, h.Kind, h.Namespace, h.Name)
	if err != nil {
		return ""
	}
	made, err := time.Parse(time.RFC3339, manifest.Text(o, "metadata", "creationTimestamp"))
	if err != nil {
		return ""
	}
	return duration.HumanDuration(time.Since(made))
}

func writeAnswers(out io.Writer, answers []diagnose.Diagnosis) error {
	for i, a := range answers {
		if i > 0 {
			fmt.Fprintln(out)
		}
		verdict := "refused"
		switch {
		case a.Allowed:
			verdict = "admitted"
		case a.Unknown:
			verdict = "not known yet"
		}
		fmt.Fprintf(out, "%s: %s\n", a.Workload, verdict)
		for _, r := range a.Reasons {
			fmt.Fprintf(out, "  * %s\n", r)
		}
		if a.Fit != "" {
			fmt.Fprintf(out, "What would fit: %s\n", a.Fit)
		}
		for _, w := range a.Warnings {
			fmt.Fprintf(out, "Warning: %s\n", w)
		}
		if err := writeBudgets(out, a.Budgets); err != nil {
			return err
		}
	}
	return nil
}

func writeBudgets(out io.Writer, budgets []diagnose.BudgetState) error {
	for _, b := range budgets {
		verdict := "fits"
		if !b.Fits {
			verdict = "does not fit"
		}
		if !b.Counted {
			verdict += "; the budget is being counted, so no claim may rise right now"
		}
		fmt.Fprintf(out, "\nBudget %s: asks for %s; %d of %d free: %s\n", b.Name, b.Asks, b.Free, b.Of, verdict)
		if len(b.Holders) == 0 {
			continue
		}
		t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
		fmt.Fprintln(t, "  GPUS\tHELD BY\tAGE")
		for i, h := range b.Holders {
			if i == mostHolders {
				fmt.Fprintf(t, "  \tand %d more\t\n", len(b.Holders)-i)
				break
			}
			fmt.Fprintf(t, "  %s\t%s %s/%s\t%s\n", audit.GPUs(h.GPUs), h.Kind, h.Namespace, h.Name, h.Age)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}
