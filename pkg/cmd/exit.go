package cmd

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
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
		return fmt.Errorf("unknown command %q, see %s --help", args[0], c.CommandPath())
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
