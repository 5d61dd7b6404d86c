package cmd

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/kubetorch/webhook/pkg/offline"
)

func newKRM() *cobra.Command {
	return &cobra.Command{
		Use:   "krm",
		Short: "Expand manifests as a KRM function: a ResourceList on standard input, one on standard output",
		Long: `Expand manifests as a KRM function: a ResourceList on standard input, one on standard
output, as kustomize and kpt call it. Policies and Knative's ConfigMaps are lists under
spec.policies and spec.knativeConfig of the functionConfig, or items annotated
config.kubernetes.io/local-config: "true".

Warnings and refusals are results of the list, and go to standard error too. The exit code
is 1 if anything was refused, and then the items come out as they went in; 2 if the input
is unusable. Without a subcommand and with a ResourceList on standard input the program
does the same.`,
		Example: `  kustomize build --enable-alpha-plugins --enable-exec overlays/prod`,
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return runKRM(c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
}

func runKRM(in io.Reader, out, errOut io.Writer) error {
	list, err := offline.ReadResourceList(in)
	if err != nil {
		return err
	}
	outcomes, err := list.Expand()
	if err != nil {
		return offline.Within("stdin", err)
	}
	if err := list.Write(out); err != nil {
		return Failed(err)
	}
	if offline.Report(errOut, outcomes) {
		return Failed(errors.New("refused, so nothing was expanded"))
	}
	return nil
}
