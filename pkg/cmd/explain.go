package cmd

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/kubetorch/webhook/pkg/cmd/options"
	"github.com/kubetorch/webhook/pkg/offline"
)

func newExplain() *cobra.Command {
	var o options.Expand
	c := &cobra.Command{
		Use:   "explain -f FILE|DIR|- [--policy FILE]... [--knative-config FILE]... [--knative-version VERSION] [--context NAME] [--no-knative]",
		Short: "Print where each setting of a workload comes from, and what bounds leave to it",
		Long: `Print, for each workload in manifests, its settings with their values and where they
come from, the GPUs that it claims, and each bound with the room that it leaves.

With --kubeconfig or --context, policies, budgets, Knative's configuration and the labels of
namespaces are those of the cluster, as far as no files are named, and what budgets have left
is what is really free. Without, nobody knows what other workloads hold.

Warnings and refusals go to standard error. The exit code is 1 if anything was refused, 2
if the input or the flags are unusable.`,
		Example: `  kubetorch-webhook explain -f service.yaml --policy policy.yaml
  kubetorch-webhook explain -f service.yaml --context prod
  kubectl get computepolicies -o yaml | kubetorch-webhook explain -f service.yaml --policy -`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return runExplain(c.Context(), &o, c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	o.AddFlags(c.Flags(), "table", "json")
	return c
}

func runExplain(ctx context.Context, o *options.Expand, in io.Reader, out, errOut io.Writer) error {
	_, outcomes, err := admitAll(ctx, o, in, errOut)
	if err != nil {
		return err
	}
	refused := offline.Report(errOut, outcomes)
	write := offline.ExplainTable
	if o.Output == "json" {
		write = offline.ExplainJSON
	}
	if err := write(out, outcomes); err != nil {
		return Failed(err)
	}
	if refused {
		return Failed(errors.New("refused, see above"))
	}
	return nil
}
