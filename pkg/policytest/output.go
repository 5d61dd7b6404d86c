package policytest

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable writes results for people: a line for each case, and below it what is wrong.
func WriteTable(w io.Writer, results []CaseResult) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "SUITE\tCASE\tRESULT")
	for _, r := range results {
		verdict := "pass"
		if !r.Passed() {
			verdict = "FAIL"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", r.Suite, r.Case, verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if r.Passed() {
			continue
		}
		fmt.Fprintf(w, "\nFAIL %s: %s\n", r.Suite, r.Case)
		for _, p := range r.Problems {
			fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(p, "\n", "\n  "))
		}
	}
	return nil
}

// WriteJSON writes the results as a list; the whole report if changes were tried.
func WriteJSON(w io.Writer, report Summary) error {
	var results any = report.Cases
	if report.Mutations != nil {
		results = report
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(results)
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr,omitempty"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitFailure `xml:"failure"`
	Skipped *junitSkipped `xml:"skipped"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// Summary is what came of cases, and of changes of their policies if these were tried.
type Summary struct {
	Cases     []CaseResult `json:"cases"`
	Mutations []Mutation   `json:"mutations"`
	// Idle are the cases that no change makes fail.
	Idle []IdleCase `json:"idle"`
}

// WriteJUnit writes a report as JUnit XML, which CI systems show.
func WriteJUnit(w io.Writer, report Summary) error {
	var all junitSuites
	for _, r := range report.Cases {
		if n := len(all.Suites); n == 0 || all.Suites[n-1].Name != r.Suite {
			all.Suites = append(all.Suites, junitSuite{Name: r.Suite})
		}
		s := &all.Suites[len(all.Suites)-1]
		c := junitCase{Class: r.Suite, Name: r.Case}
		if !r.Passed() {
			c.Failure = &junitFailure{Message: r.Problems[0], Text: strings.Join(r.Problems, "\n")}
			s.Failures++
			all.Failures++
		}
		s.Cases = append(s.Cases, c)
		s.Tests++
		all.Tests++
	}
	if report.Mutations != nil {
		s := mutationSuite(report.Mutations, report.Idle)
		all.Suites = append(all.Suites, s)
		all.Tests += s.Tests
		all.Failures += s.Failures
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// WriteMutations writes those that no case noticed, and how many there are, and the cases that none of
// them makes fail.
func WriteMutations(w io.Writer, all []Mutation, idle []IdleCase) {
	noticed, explained := 0, 0
	for _, m := range all {
		switch {
		case len(m.Noticed) > 0:
			noticed++
		case m.Reason != "":
			explained++
			fmt.Fprintf(w, "survives with a reason: %s (%s)\n", m.Text, m.Reason)
		default:
			fmt.Fprintf(w, "SURVIVES: %s\n", m.Text)
		}
	}
	unexplained := 0
	for _, c := range idle {
		if c.Reason != "" {
			fmt.Fprintf(w, "no change makes it fail, with a reason: %s: %s (%s)\n", c.Suite, c.Case, c.Reason)
		} else {
			unexplained++
			fmt.Fprintf(w, "NO CHANGE MAKES IT FAIL: %s: %s\n", c.Suite, c.Case)
		}
	}
	fmt.Fprintf(w, "%d changes of policies: %d noticed, %d survive with a reason, %d survive\n", len(all), noticed, explained, len(all)-noticed-explained)
	fmt.Fprintf(w, "%d cases that no change makes fail, %d of them with a reason\n", len(idle), len(idle)-unexplained)
}

// mutationSuite is what became of changes of policies: one that survives has failed, and what has a reason
// is skipped, as is a case that no change makes fail.
func mutationSuite(all []Mutation, idle []IdleCase) junitSuite {
	s := junitSuite{Name: "mutations"}
	for _, m := range all {
		c := junitCase{Class: s.Name, Name: m.Text}
		switch {
		case m.Survived():
			c.Failure = &junitFailure{Message: "no case notices", Text: "Write a case that fails with this change, or say under survivors why none needs to."}
			s.Failures++
		case len(m.Noticed) == 0:
			c.Skipped = &junitSkipped{Message: "no case notices: " + m.Reason}
			s.Skipped++
		}
		s.Cases = append(s.Cases, c)
	}
	for _, i := range idle {
		c := junitCase{Class: s.Name, Name: i.Suite + ": " + i.Case, Skipped: &junitSkipped{Message: "no change makes this case fail"}}
		if i.Reason != "" {
			c.Skipped.Message += ": " + i.Reason
		}
		s.Skipped++
		s.Cases = append(s.Cases, c)
	}
	s.Tests = len(s.Cases)
	return s
}
