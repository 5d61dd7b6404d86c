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

// stated are the flags of serve that the chart sets by values of their own, or that are for
// another way of running.
var stated = []string{
	"listen", "shutdown-delay", "knative-namespace", "excluded-namespaces", "api-request-timeout", "cert-dir", "namespace", "service", "webhook-configuration",
	"ca-secret", "kubeconfig", "standalone", "policy", "knative-config", "kinds-file",
}

// forms are what a flag's value looks like, by its type.
var forms = map[string]string{
	"duration": `([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+`, "int": `[0-9]+`, "bool": `(true|false)`, "float64": `[0-9]*\\.?[0-9]+`,
	"string": `.+`, "stringSlice": `.+`, "stringArray": `.+`,
}

// closed are flags with few values.
var closed = map[string]string{"log-level": `(debug|info|error)`, "log-format": `(json|text)`}

// arguments writes into the schema of the chart's values which arguments there are.
func arguments(schema string) error {
	var o options.Serve
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(flags)
	var patterns []string
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		if slices.Contains(stated, f.Name) {
			return
		}
		form := closed[f.Name]
		if form == "" {
			form = forms[f.Value.Type()]
		}
		if form == "" {
			err = fmt.Errorf("--%s: no form is known for a %s", f.Name, f.Value.Type())
		}
		patterns = append(patterns, f.Name+"="+strings.ReplaceAll(form, `\\`, `\`))
	})
	if err != nil {
		return err
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
