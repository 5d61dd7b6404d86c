package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kubetorch/webhook/pkg/cmd/options"
)

// stated are the flags of serve that the chart sets by values of their own, or that no pod needs.
var stated = []string{
	"listen", "shutdown-delay", "knative-namespace", "excluded-namespaces", "api-request-timeout", "cert-dir", "namespace", "service", "webhook-configuration",
	"ca-secret", "kubeconfig", "standalone", "kinds-file", "openreports",
}

// Durations are written in whole hours, minutes and seconds, which the chart's templates can compare.
const (
	hours   = `[1-9][0-9]{0,4}h([0-9]{1,5}m)?([0-9]{1,6}s)?` // up to eleven years
	minutes = `[1-9][0-9]{0,5}m([0-9]{1,6}s)?`
)

// forms are what the values of flags look like, by themselves; what depends on other values is in
// templates/_checks.tpl. test/chart holds both against what serve takes.
var forms = map[string]string{
	"audit-interval":          `(` + hours + `|` + minutes + `|[1-9][0-9]{1,6}s)`,
	"ca-lifetime":             `(` + hours + `|` + minutes + `|[1-9][0-9]{1,6}s)`,
	"ca-overlap":              `(` + hours + `|` + minutes + `|[1-9][0-9]{0,6}s)`,
	"leaf-lifetime":           `(` + hours + `|` + minutes + `|([5-9]|[1-9][0-9]{1,8})s)`,
	"client-ca-file":          `/[A-Za-z0-9._/-]+`,
	"client-names":            `[A-Za-z0-9 :._@*/-]+(,[A-Za-z0-9 :._@*/-]+)*`,
	"log-format":              `(json|text)`,
	"log-level":               `(debug|info|error)`,
	"max-concurrent-requests": `[1-9][0-9]{0,5}`,
	"max-unseen-share":        `([1-9][0-9]?|100)`,
	"trace-endpoint":          `https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?`,
	"trace-sampling":          `(0?\.[0-9]{1,9}|0|1(\.0)?)`,
}

// arguments writes into the schema of the chart's values which arguments there are.
func arguments(schema string) error {
	var o options.Serve
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(flags)
	var patterns []string
	var unknown []string
	flags.VisitAll(func(f *pflag.Flag) {
		form, known := forms[f.Name]
		switch {
		case slices.Contains(stated, f.Name) || slices.Contains(options.StandaloneOnly(), f.Name):
		case !known:
			unknown = append(unknown, "--"+f.Name)
		default:
			patterns = append(patterns, f.Name+"="+form)
		}
	})
	if len(unknown) > 0 {
		return fmt.Errorf("no form is known of %s: add it to forms, or to stated", strings.Join(unknown, ", "))
	}
	text, err := os.ReadFile(schema)
	if err != nil {
		return err
	}
	var pattern bytes.Buffer
	encoder := json.NewEncoder(&pattern)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode("^--(" + strings.Join(patterns, "|") + ")$"); err != nil {
		return err
	}
	line := regexp.MustCompile(`(?m)^    "argument": .*$`)
	if n := len(line.FindAll(text, -1)); n != 1 {
		return fmt.Errorf("%s has %d lines for \"argument\", and not one", schema, n)
	}
	written := `    "argument": {"type": "string", "pattern": ` + strings.TrimSpace(pattern.String()) + `},`
	return os.WriteFile(schema, line.ReplaceAllLiteral(text, []byte(written)), 0o644)
}
