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
func WriteTable(w io.Writer, results []Result) error {
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

// WriteJSON writes results as a list.
func WriteJSON(w io.Writer, results any) error {
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
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitFailure `xml:"failure"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes results as JUnit XML, which CI systems show.
func WriteJUnit(w io.Writer, results []Result) error {
	var all junitSuites
	for _, r := range results {
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

// WriteMutations writes those that no case noticed, and how many there are.
func WriteMutations(w io.Writer, all []Mutation) {
	noticed, explained := 0, 0
	for _, m := range all {
		switch {
		case m.Noticed != "":
			noticed++
		case m.Reason != "":
			explained++
			fmt.Fprintf(w, "survives with a reason: %s (%s)\n", m.Text, m.Reason)
		default:
			fmt.Fprintf(w, "SURVIVES: %s\n", m.Text)
		}
	}
	fmt.Fprintf(w, "%d changes of policies: %d noticed, %d survive with a reason, %d survive\n", len(all), noticed, explained, len(all)-noticed-explained)
}
