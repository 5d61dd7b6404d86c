// Package cmd is the command line of kubetorch-webhook.
package cmd

import (
	"bytes"
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// Run runs the command that args name and gives the exit code: 0, 1 if the command
// failed or refused something, 2 if its flags or input are unusable.
func Run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot()
	root.SetArgs(append([]string{}, args...)) // nil would stand for those of the process
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
		Args:          noArguments,
		// Tools that call a KRM function give it no arguments.
		RunE: func(c *cobra.Command, _ []string) error {
			if isTerminal(c.InOrStdin()) {
				return c.Help()
			}
			text, err := io.ReadAll(c.InOrStdin())
			if err != nil || len(bytes.TrimSpace(text)) == 0 {
				return c.Help()
			}
			return runKRM(bytes.NewReader(text), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newServe(), newExpand(), newExplain(), newSimulate(), newAudit(), newCheck(), newKRM(), newParameters(), newVersion(),
	)
	return root
}

// isTerminal tells whether nobody but a person could write to a stream: a terminal or
// nothing at all, such as /dev/null.
func isTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err != nil || info.Mode()&os.ModeCharDevice != 0
}
