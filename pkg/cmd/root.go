// Package cmd is the command line of kubetorch-webhook.
package cmd

import (
	"context"
	"io"

	"github.com/spf13/cobra"
)

// Run runs the command that args name and gives the exit code: 0, 1 if the command
// failed or refused something, 2 if its flags or input are unusable.
func Run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err != nil {
		printError(errOut, err)
	}
	return code(err)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "kubetorch-webhook",
		Short: "Expands labelled manifests into annotated Knative Services and enforces compute policy",
		// Errors are printed once, by Run, and without the usage: it hides them.
		SilenceErrors: true,
		SilenceUsage:  true,
		// Without a subcommand there is nothing to do.
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newServe(), newExpand(), newExplain(), newParameters(), newVersion())
	return root
}
