package cmd

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
)

// Exit codes.
const (
	exitOK = 0
	// exitFailed: the command did its work and found something to object to, or
	// could not finish it.
	exitFailed = 1
	// exitUnusable: flags or input that nothing can be done with.
	exitUnusable = 2
)

// failed marks errors of a command that started its work; all others are about its
// flags or input, those of cobra among them.
type failed struct{ error }

func (f failed) Unwrap() error { return f.error }

// Failed makes a command exit with 1 instead of 2.
func Failed(err error) error {
	if err == nil {
		return nil
	}
	return failed{err}
}

// code is the exit code for the error of a command.
func code(err error) int {
	var f failed
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &f):
		return exitFailed
	default:
		return exitUnusable
	}
}

// noArguments is cobra.NoArgs in words that help.
func noArguments(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case c.HasSubCommands():
		return fmt.Errorf("unknown command %q%s; see %s --help", args[0], didYouMean(nearCommands(c, args[0])), c.CommandPath())
	default:
		return fmt.Errorf("unexpected argument %q; a flag that takes several values is repeated", args[0])
	}
}

// printError writes one line per problem. Problems that are wrapped stay with the words
// around them, which say where they are.
func printError(out io.Writer, err error) {
	problems := []error{err}
	if all, ok := err.(utilerrors.Aggregate); ok {
		problems = all.Errors()
	}
	for _, problem := range problems {
		fmt.Fprintf(out, "kubetorch-webhook: %v\n", problem)
	}
}

// unknownCommand finds a mistyped command before its flags are read, which would be blamed.
func unknownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 || args[0] == "" || args[0][0] == '-' {
		return nil
	}
	// cobra adds these when it runs.
	if slices.Contains([]string{"help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}, args[0]) {
		return nil
	}
	for _, c := range root.Commands() {
		if c.Name() == args[0] || c.HasAlias(args[0]) {
			return nil
		}
	}
	return noArguments(root, args)
}

// unknownFlag names the flag that was meant.
func unknownFlag(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	mistyped := unknown.GetSpecifiedName()
	var near []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && distance(f.Name, mistyped) <= max(2, len(mistyped)/3) {
			near = append(near, "--"+f.Name)
		}
	})
	return fmt.Errorf("%w%s; see %s --help", err, didYouMean(near), c.CommandPath())
}

// nearCommands are those that may have been meant.
func nearCommands(c *cobra.Command, mistyped string) (near []string) {
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && (distance(sub.Name(), mistyped) <= 2 || strings.HasPrefix(sub.Name(), mistyped)) {
			near = append(near, sub.Name())
		}
	}
	return near
}

func didYouMean(near []string) string {
	if len(near) == 0 {
		return ""
	}
	return ": did you mean " + strings.Join(near, " or ") + "?"
}

// distance is how many letters have to be changed, added or left out to make one word of
// another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := before
			if a[i] != b[j] {
				changed++
			}
			before = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
