// Package cmd is the command line of kubetorch-webhook.
package cmd

import (
	"bytes"
	"context"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubetorch/webhook/pkg/version"
)

// Run runs the command that args name and gives the exit code: 0, 1 if the command
// failed or refused something, 2 if its flags or input are unusable.
func Run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot()
	if err := unknownCommand(root, args); err != nil {
		printError(errOut, err)
		return exitUnusable
	}
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

// Root is the command line, for what is written about it.
func Root() *cobra.Command { return newRoot() }

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
	root.Version = version.Get().Version
	root.SetVersionTemplate("kubetorch-webhook {{.Version}}\n")
	root.SetFlagErrorFunc(wrongFlag)
	root.AddCommand(
		newServe(), newExpand(), newExplain(), newSimulate(), newTest(), newAudit(), newWhy(), newTrace(), newCheck(),
		newKRM(), newParameters(), newVersion(),
	)
	complete(root)
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

// values are those that a flag of a name takes, for shells to complete.
var values = map[string][]string{"log-level": {"debug", "info", "error"}, "log-format": {"json", "text"}}

// complete has shells complete the values of flags.
func complete(root *cobra.Command) {
	for _, c := range root.Commands() {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			words := values[f.Name]
			if f.Name == "output" {
				words = strings.Split(f.Usage, " or ")
			}
			// An error would be a flag that is not there.
			switch {
			case len(words) > 0:
				_ = c.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
			case f.Name == "context":
				_ = c.RegisterFlagCompletionFunc(f.Name, completeContext)
			}
		})
	}
}

// completeContext gives the contexts of the kubeconfig.
func completeContext(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath, _ = c.Flags().GetString("kubeconfig")
	config, err := rules.Load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return slices.Sorted(maps.Keys(config.Contexts)), cobra.ShellCompDirectiveNoFileComp
}
