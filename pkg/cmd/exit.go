package cmd

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kubetorch/webhook/pkg/offline"
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
	if f, ok := err.(failed); ok {
		err = f.error
	}
	for _, problem := range offline.Problems(err) {
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

// wrongFlag says what a flag takes, and names the flag that was meant by one that there is not.
func wrongFlag(c *cobra.Command, err error) error {
	if value, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		must, ok := flagTypes[value.GetFlag().Value.Type()]
		if !ok {
			return err
		}
		return fmt.Errorf("--%s: Invalid value: %q: must be %s; see %s --help", value.GetFlag().Name, value.GetValue(), must, c.CommandPath())
	}
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

// flagTypes say what flags take, by the names of their types.
var flagTypes = map[string]string{
	"bool": "true or false", "int": "a whole number", "int32": "a whole number", "int64": "a whole number", "uint64": "a whole number of at least 0",
	"float64": "a number", "duration": "a duration such as 90s or 10m",
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
