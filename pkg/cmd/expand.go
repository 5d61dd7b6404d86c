package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/kubetorch/webhook/pkg/cmd/options"
	"github.com/kubetorch/webhook/pkg/offline"
)

func newExpand() *cobra.Command {
	var o options.Expand
	c := &cobra.Command{
		Use:   "expand -f FILE|DIR|- [--policy FILE]... [--knative-config FILE]... [--knative-version VERSION] [--context NAME] [--no-knative] [--diff]",
		Short: "Print what admission would make of manifests, without a cluster",
		Long: `Print what admission would make of manifests, without a cluster, or with --kubeconfig
or --context by the policies, budgets, configuration and namespaces of one. Nothing is applied.

A Deployment that is labelled for autoscaling is replaced by its Knative Service. Documents
that nothing is done to come out as they went in. Warnings and refusals go to standard
error. The exit code is 1 if anything was refused, and then nothing is printed; 2 if the
input or the flags are unusable.`,
		Example: `  kubetorch-webhook expand -f service.yaml --policy policy.yaml
  kustomize build overlays/prod | kubetorch-webhook expand -f -`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return runExpand(c.Context(), &o, c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	o.AddFlags(c.Flags(), "yaml", "json")
	c.Flags().BoolVar(&o.Diff, "diff", false, "print what admission changes instead of the result")
	return c
}

func runExpand(ctx context.Context, o *options.Expand, in io.Reader, out, errOut io.Writer) error {
	docs, outcomes, err := admitAll(ctx, o, in, errOut)
	if err != nil {
		return err
	}
	if offline.Report(errOut, outcomes) {
		return Failed(errors.New("refused, so nothing was printed"))
	}
	switch {
	case o.Diff:
		return Failed(offline.WriteDiff(out, outcomes))
	case o.Output == "json":
		return Failed(offline.WriteJSON(out, outcomes))
	}
	return Failed(offline.WriteYAML(out, docs, outcomes))
}

// admitAll reads what the flags name and admits every object.
func admitAll(ctx context.Context, o *options.Expand, in io.Reader, errOut io.Writer) ([]offline.Document, []offline.Preview, error) {
	if err := o.Validate().ToAggregate(); err != nil {
		return nil, nil, err
	}
	inputs, err := offline.Load(o.Policies, o.KnativeConfigs, in)
	if err != nil {
		return nil, nil, err
	}
	if o.Cluster.Named() {
		if err := readInputs(ctx, o, &inputs); err != nil {
			return nil, nil, err
		}
	}
	if err := inputs.OfRelease(o.KnativeVersion); err != nil {
		return nil, nil, fmt.Errorf("--knative-version: %w", err)
	}
	inputs.NoKnative, inputs.KeepWritten = inputs.NoKnative || o.NoKnative, o.Diff
	docs, err := offline.ReadDocuments(o.Files, in)
	if err != nil {
		return nil, nil, err
	}
	for _, w := range inputs.Warnings {
		fmt.Fprintf(errOut, "Warning: %s\n", w)
	}
	return docs, offline.Expand(docs, inputs), nil
}
