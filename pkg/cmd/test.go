package cmd

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/cmd/options"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policytest"
)

// testOptions are the flags of the command test.
type testOptions struct {
	output            string
	update, mutations bool
	schema            bool
	knativeVersion    string
}

var testOutputs = []string{"table", "json", "junit"}

func newTest() *cobra.Command {
	var o testOptions
	c := &cobra.Command{
		Use:   "test DIR|FILE... [-o table|json|junit] [--update] [--mutations]",
		Short: "Run tests of policies: files with objects, and what admission is to make of them",
		Long: `Run the Suites of ` + policytest.APIVersion + ` below folders. Each case is an object
that somebody writes: it goes through the same functions as an admission request, and what comes of
it is compared with what the case expects. No cluster is needed.

With --update, files are rewritten to expect what comes, which a person then reviews. With
--mutations, every value of every policy is changed by itself, and each change must make a case
fail, unless the suite says why not; cases that no change makes fail are named. They are part of JSON
and JUnit too.

The exit code is 1 if a case fails or a change survives, 2 if the files or flags are unusable.`,
		Example: `  kubetorch-webhook test examples/tests
  kubetorch-webhook test policies/ -o junit >report.xml
  kubetorch-webhook test policies/ --mutations`,
		RunE: func(c *cobra.Command, args []string) error {
			return runTest(&o, args, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVarP(&o.output, "output", "o", testOutputs[0], "table, json or junit")
	c.Flags().BoolVar(&o.update, "update", false, "write what comes into the files, instead of comparing")
	c.Flags().BoolVar(&o.mutations, "mutations", false, "also check that every change of a policy makes a case fail")
	options.KnativeVersion(c.Flags(), &o.knativeVersion)
	c.Flags().BoolVar(&o.schema, "schema", false, "print the JSON Schema of suites, and do nothing else")
	return c
}

func (o *testOptions) validate(args []string) error {
	var errs field.ErrorList
	if len(args) == 0 {
		errs = append(errs, field.Required(field.NewPath("DIR"), "name a folder with suites"))
	}
	if !slices.Contains(testOutputs, o.output) {
		errs = append(errs, field.NotSupported(field.NewPath("--output"), o.output, testOutputs))
	}
	if o.update && o.mutations {
		errs = append(errs, field.Forbidden(field.NewPath("--mutations"), "is of no use with --update"))
	}
	if o.knativeVersion != "" {
		if _, err := knative.ParseRelease(o.knativeVersion); err != nil {
			errs = append(errs, field.Invalid(field.NewPath("--knative-version"), o.knativeVersion, err.Error()))
		}
	}
	return errs.ToAggregate()
}

func runTest(o *testOptions, args []string, out, errOut io.Writer) error {
	if o.schema {
		_, err := out.Write(policytest.Schema())
		return Failed(err)
	}
	if err := o.validate(args); err != nil {
		return err
	}
	var suites []*policytest.Suite
	for _, path := range args {
		found, err := policytest.Load(path)
		if err != nil {
			return err
		}
		suites = append(suites, found...)
	}
	for _, s := range suites {
		s.KnativeVersion = o.knativeVersion
	}
	if o.update {
		return updateSuites(suites, out)
	}
	report := policytest.Summary{Cases: []policytest.CaseResult{}}
	failing := 0
	for _, s := range suites {
		results, err := s.Run()
		if err != nil {
			return err
		}
		report.Cases = append(report.Cases, results...)
		for _, r := range results {
			if !r.Passed() {
				failing++
			}
		}
	}
	if o.mutations && failing == 0 {
		var err error
		if report.Mutations, report.Idle, err = policytest.Mutations(suites); err != nil {
			return err
		}
	}
	if err := o.write(out, report); err != nil {
		return Failed(err)
	}
	fmt.Fprintf(errOut, "%d cases in %d suites, %d failed\n", len(report.Cases), len(suites), failing)
	if failing > 0 {
		return Failed(fmt.Errorf("%d of %d cases failed", failing, len(report.Cases)))
	}
	if o.mutations {
		policytest.WriteMutations(errOut, report.Mutations, report.Idle)
	}
	if slices.ContainsFunc(report.Mutations, policytest.Mutation.Survived) {
		return Failed(errors.New("changes of policies that no case notices"))
	}
	return nil
}

func (o *testOptions) write(out io.Writer, report policytest.Summary) error {
	switch o.output {
	case "json":
		return policytest.WriteJSON(out, report)
	case "junit":
		return policytest.WriteJUnit(out, report)
	}
	return policytest.WriteTable(out, report.Cases)
}

func updateSuites(suites []*policytest.Suite, out io.Writer) error {
	for _, s := range suites {
		n, err := s.Update()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %d cases changed\n", s.Source, n)
	}
	return nil
}
