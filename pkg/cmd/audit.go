package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/audit/openreports"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/cmd/options"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/policy"
	htmlreport "github.com/kubetorch/webhook/pkg/report"
)

func newAudit() *cobra.Command {
	var o options.Audit
	c := &cobra.Command{
		Use:   "audit [--kubeconfig FILE] [--context NAME] [--policy FILE]... [--knative-version VERSION] [-o table|json|html|openreports]",
		Short: "List what exists and breaks a bound of the policies in force",
		Long: `List what exists and breaks a bound of the policies in force. Nothing is changed.

It is what the status of each ComputePolicy says, without its limit of 20, and which
GPUBudgets the claims of what exists are beyond, by kinds and with who holds them. It uses the
rights of the kubeconfig: list on every kind that makes pods, on HorizontalPodAutoscalers,
LimitRanges, Namespaces, policies, budgets and Knative's kinds, and get on Knative's ConfigMaps.
Before an upgrade, that of the later version says what will count then. With --policy it shows what policies would find before they are applied; with
--filename it looks at files and asks no cluster.

The exit code is 1 if anything breaks a bound that refuses or clamps, or is beyond a budget,
or if a policy is invalid, so that its bounds are not known. Bounds that only warn or audit
are listed and leave it at 0. It is 2 if the flags, the input or the cluster cannot be read.`,
		Example: `  kubetorch-webhook audit
  kubetorch-webhook audit --policy stricter.yaml
  kubectl get deployments,statefulsets,jobs,pods,ksvc,revisions,namespaces -A -o yaml | kubetorch-webhook audit -f - --policy policy.yaml`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return runAudit(c.Context(), &o, c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	o.AddFlags(c.Flags())
	return c
}

func runAudit(ctx context.Context, o *options.Audit, in io.Reader, out, errOut io.Writer) error {
	if err := o.Validate().ToAggregate(); err != nil {
		return err
	}
	inputs, err := offline.Load(o.Policies, o.KnativeConfigs, in)
	if err != nil {
		return err
	}
	if err := inputs.OfRelease(o.KnativeVersion); err != nil {
		return fmt.Errorf("--knative-version: %w", err)
	}
	for _, w := range inputs.Warnings {
		fmt.Fprintf(errOut, "Warning: %s\n", w)
	}
	input := audit.Listing{Policies: policy.Compile(inputs.Policies).WithClasses(inputs.Classes), Knative: inputs.Knative, Excluded: o.Excluded.With(o.Namespace, o.KnativeNamespace)}
	input.Policies = input.Policies.WithOperators(o.Kinds.Operators())
	budgets, generations := inputs.Budgets, map[string]int64{}
	if len(o.Files) > 0 {
		docs, err := offline.ReadDocuments(o.Files, in)
		if err != nil {
			return err
		}
		objects, namespaces := offline.Objects(docs)
		input.Policies = input.Policies.WithClasses(slices.Concat(inputs.Classes, offline.DeviceClasses(docs)))
		input.Objects, input.Namespaces = cluster.AllOf(objects), namespaces
		input.Served = true
	} else {
		read, err := readCluster(ctx, o, &input, budgets, generations)
		if err != nil {
			return err
		}
		budgets = read.budgets
	}
	report := audit.Run(input)
	exceeded, use := audit.Budgets(input, budgets)
	switch findings := slices.Concat(report.Findings, exceeded); o.Output {
	case "json":
		err = writeAuditJSON(out, report, exceeded, use, generations)
	case "html":
		err = htmlreport.Audit(out, report, findings, use, time.Now())
	case "openreports":
		err = writeOpenReports(out, report, exceeded)
	default:
		if err = writeAuditTable(out, findings); err == nil {
			err = writeBudgetUse(out, use, len(findings) > 0)
		}
	}
	if err != nil {
		return Failed(err)
	}
	report.Findings = append(report.Findings, exceeded...)
	return Failed(concluded(report, errOut))
}

// clusterRead is what was read of a cluster beside the input of an audit.
type clusterRead struct {
	client   dynamic.Interface
	budgets  []v1alpha1.GPUBudget
	policies []v1alpha1.ComputePolicy
}

// readCluster reads what exists, and the policies and budgets if no files with some were
// named.
func readCluster(ctx context.Context, o *options.Audit, input *audit.Listing, budgets []v1alpha1.GPUBudget, generations map[string]int64) (clusterRead, error) {
	read := clusterRead{budgets: budgets}
	config, err := clusterConfig(o.Cluster)
	if err != nil {
		return read, err
	}
	config.QPS, config.Burst = 50, 100
	config.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	read.client = client
	if err != nil {
		return read, fmt.Errorf("finding the cluster: %w", err)
	}
	source, err := cluster.NewSource(config, nil)
	if err != nil {
		return read, fmt.Errorf("finding the cluster: %w", err)
	}
	if len(o.Policies) == 0 {
		stored, err := cluster.Policies(ctx, source)
		if err != nil {
			return read, err
		}
		if read.budgets, err = (&charge.API{Client: client, Bases: &charge.Bases{Client: client}}).Flat(ctx); err != nil && !apierrors.IsNotFound(err) {
			return read, err
		}
		for _, p := range stored {
			var known v1alpha1.ComputePolicy
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(p, &known); err == nil {
				read.policies = append(read.policies, known) // one that cannot be read is invalid, which others say
			}
			generations[manifest.Text(p, "metadata", "name")], _ = manifest.Whole(p, "metadata", "generation")
		}
		input.Policies = policy.CompileStored(stored).WithOperators(o.Kinds.Operators())
	}
	classes, err := cluster.DeviceClasses(ctx, client)
	if err != nil {
		return read, err
	}
	input.Policies = input.Policies.WithClasses(classes)
	settings := offline.Inputs{}
	if settings.Knative, err = cluster.Knative(ctx, client, o.KnativeNamespace); err != nil {
		return read, err
	}
	if err := settings.OfRelease(o.KnativeVersion); err != nil {
		return read, fmt.Errorf("--knative-version: %w", err)
	}
	input.Knative = settings.Knative
	objects, err := cluster.ListWith(ctx, source, o.Kinds.Operators())
	if err != nil {
		return read, err
	}
	input.Objects, input.Namespaces, input.Served = objects.All(), objects.Namespaces, objects.Knative
	return read, nil
}

// concluded says in one line what was found, as an error if somebody has to act on it.
func concluded(r audit.Report, errOut io.Writer) error {
	enforced := 0
	for _, f := range r.Findings {
		if f.Enforcement == v1alpha1.Deny || f.Enforcement == v1alpha1.Clamp {
			enforced++
		}
	}
	var invalid []string
	for _, d := range r.Policies {
		if len(d.Invalid) > 0 {
			invalid = append(invalid, d.Name)
			for _, e := range d.Invalid {
				fmt.Fprintf(errOut, "policy %s is invalid: %v\n", d.Name, e)
			}
		}
	}
	text := fmt.Sprintf("%s in %s", count(len(r.Findings), "violation"), count(r.Objects, "object"))
	if len(r.Findings) > 0 {
		text += fmt.Sprintf(", %d of bounds that refuse or clamp", enforced)
	}
	if len(invalid) > 0 {
		text += "; the bounds of policy " + strings.Join(invalid, ", ") + " are not known"
	}
	if enforced+len(invalid) > 0 {
		return fmt.Errorf("%s", text)
	}
	fmt.Fprintln(errOut, text)
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func writeAuditTable(out io.Writer, findings []audit.Finding) error {
	if len(findings) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "POLICY\tBOUND\tENFORCEMENT\tNAMESPACE\tKIND\tNAME\tMESSAGE")
	for _, f := range findings {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Policy, f.Bound, f.Enforcement, f.Namespace, f.Kind, f.Name, strings.Join(strings.Fields(f.Message), " "))
	}
	return w.Flush()
}

// writeOpenReports writes ClusterReports as YAML documents.
func writeOpenReports(out io.Writer, r audit.Report, exceeded []audit.Finding) error {
	for i, report := range openreports.Reports(r, exceeded, time.Now()) {
		text, err := yaml.Marshal(report)
		if err != nil {
			return err
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := out.Write(text); err != nil {
			return err
		}
	}
	return nil
}

// auditedPolicy is a policy in the JSON output: its status, with all violations.
type auditedPolicy struct {
	Name   string                       `json:"name"`
	Status v1alpha1.ComputePolicyStatus `json:"status"`
}

// writeBudgetUse tells what each budget has left, and who holds the rest.
func writeBudgetUse(out io.Writer, use []audit.BudgetUse, below bool) error {
	if len(use) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if below {
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "BUDGET\tENFORCEMENT\tMAX\tCLAIMED\tFREE\tBY KIND\tLARGEST CLAIMS")
	for _, u := range use {
		var largest []string
		for _, h := range u.Holders[:min(3, len(u.Holders))] {
			largest = append(largest, fmt.Sprintf("%s %s/%s: %s", h.Kind, h.Namespace, h.Name, audit.GPUs(h.GPUs)))
		}
		var kinds []string
		for _, k := range u.Kinds {
			kinds = append(kinds, fmt.Sprintf("%s: %s", k.Kind, audit.GPUs(k.GPUs)))
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%s\t%s\n", u.Name, u.Enforcement, u.Max, audit.GPUs(u.Claimed), u.Free,
			strings.Join(kinds, ", "), strings.Join(largest, ", "))
	}
	return w.Flush()
}

func writeAuditJSON(out io.Writer, r audit.Report, exceeded []audit.Finding, use []audit.BudgetUse, generations map[string]int64) error {
	result := struct {
		Objects  int             `json:"objects"`
		Policies []auditedPolicy `json:"policies"`
		// Budgets are what is beyond one.
		Budgets []audit.Finding `json:"budgets"`
		// BudgetUse is what each has left, and who holds the rest.
		BudgetUse []audit.BudgetUse `json:"budgetUse"`
	}{Objects: r.Objects, Policies: []auditedPolicy{}, Budgets: append([]audit.Finding{}, exceeded...), BudgetUse: append([]audit.BudgetUse{}, use...)}
	now := time.Now()
	for _, d := range r.Policies {
		result.Policies = append(result.Policies, auditedPolicy{d.Name, r.Status(d, generations[d.Name], v1alpha1.ComputePolicyStatus{}, now)})
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}
