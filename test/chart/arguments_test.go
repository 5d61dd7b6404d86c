package chart

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/cmd/options"
)

// beside are arguments without which others are refused.
var beside = map[string]string{"client-names": "--client-ca-file=/clients/ca.crt", "trace-sampling": "--trace-endpoint=http://collector:4318"}

// served says what serve finds wrong with arguments; the error is one of its parser.
func served(args ...string) error {
	var o options.Serve
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := o.Complete(); err != nil {
		return err
	}
	return o.Validate().ToAggregate()
}

// Arguments that the chart takes are taken by serve as well, and what serve refuses the chart does
// before: at the ends of what each takes.
func TestTheChartTakesTheArgumentsThatServeDoes(t *testing.T) {
	t.Parallel()
	both := map[string]struct{ taken, refused []string }{
		"audit-interval":          {[]string{"10s", "1m", "6h30m", "1h0m30s"}, []string{"9s", "0s", "1s", "60", "-1m", "", "9999999999h"}},
		"ca-lifetime":             {[]string{"504h30m", "1816200s", "8760h"}, []string{"504h29m59s", "1h", "0s", "-1h", "1816199s"}},
		"ca-overlap":              {[]string{"1s", "1h"}, []string{"0s", "500ms", "-1s"}},
		"leaf-lifetime":           {[]string{"5s", "1m", "2900h"}, []string{"4s", "1s", "0s", "2921h", "-1h"}},
		"client-ca-file":          {[]string{"/clients/ca.crt"}, []string{"", "clients/ca.crt", "/elsewhere/ca.crt"}},
		"client-names":            {[]string{"x", "system:kube-apiserver,b"}, []string{"", "a,", ",a", "a,,b"}},
		"log-format":              {[]string{"json", "text"}, []string{"xml", ""}},
		"log-level":               {[]string{"debug", "info", "error"}, []string{"loud", ""}},
		"max-concurrent-requests": {[]string{"1", "4096"}, []string{"0", "-1", "many", "99999999999999999999"}},
		"max-unseen-share":        {[]string{"1", "50", "100"}, []string{"0", "101", "500", "-1"}},
		"trace-endpoint":          {[]string{"http://collector:4318", "https://10.0.0.7:4318/v1", "https://a.example/traces"}, []string{"collector", "collector:4318", "ftp://collector", "http://", "http://user@collector", "http://collector:port"}},
		"trace-sampling":          {[]string{"0", "0.25", ".5", "1", "1.0"}, []string{"7", "1.5", "-1", "NaN", ""}},
	}
	pattern := regexp.MustCompile(ofArguments(t))
	assert.ElementsMatch(t, slices.Collect(maps.Keys(both)), inTheSchema(t), "a flag without samples")
	for flag, samples := range both {
		for i, value := range slices.Concat(samples.taken, samples.refused) {
			taken := i < len(samples.taken)
			t.Run(flag+"="+value, func(t *testing.T) {
				t.Parallel()
				args := []string{"--" + flag + "=" + value}
				if !pattern.MatchString(args[0]) {
					assert.False(t, taken, "the schema refuses it")
					return
				}
				if other := beside[flag]; other != "" {
					args = append(args, other)
				}
				text, err := json.Marshal(args)
				require.NoError(t, err)
				_, err = template(t, namespace, clients, clientsMount, "extraArgs="+string(text))
				assert.Equal(t, taken, err == nil, "the chart: %v", err)
				if taken {
					assert.NoError(t, served(args...), "serve")
				}
			})
		}
	}
}

// Whatever the schema takes by itself, over many values for every flag, serve takes as well.
func TestNoArgumentThatServeRefusesMeetsTheSchema(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(ofArguments(t))
	values := []string{
		"", " ", "-1", "0", "00", "1", "01", "5", "50", "99", "100", "101", "500", "512", "65536", "1e3", "0x10", "1_000", "99999999999999999999",
		"0.0", "0.5", ".5", "1.0", "1.5", "7", "1.", ".", "NaN", "Inf", "+1",
		"0s", "1s", "4s", "5s", "9s", "10s", "1m", "0m10s", "1h", "1h1s", "1m1h", "99999h", "999999h", "9999999999h", "1ms", "500ms", "1d", "1.5h",
		"json", "xml", "info", "warn", "true", "false", "a", "a,b", "a,", ",", `"`, `a"b`, `"a`, "a\nb", "/ca", "ca", "//", "/",
		"http://a", "http://", "http:///", "http://:1", "http://a:", "http://a:99999", "http://a:b", "http://[", "http://[::1]", "http://[:::::1]:2", "http://a/%zz", "http://u@a", "http://a b", "HTTP://a", "https://a/b?c", "collector",
	}
	taken := 0
	for _, flag := range inTheSchema(t) {
		for _, value := range values {
			arg := "--" + flag + "=" + value
			if flag == "ca-lifetime" || flag == "leaf-lifetime" || flag == "ca-overlap" || !pattern.MatchString(arg) {
				continue // these hang on each other: the templates compare them
			}
			taken++
			args := []string{arg}
			if other := beside[flag]; other != "" {
				args = append(args, other)
			}
			assert.NoError(t, served(args...), "%q meets the schema", arg)
		}
	}
	assert.Greater(t, taken, 40)
	for _, arg := range []string{"--standalone", "--standalone=true", "--policy=a", "--knative-config=a", "--knative-version=1.22", "--openreports=true", "--openreports", "--kinds-file=/a", "--listen=:1", "--audit-interval", "audit-interval=1h"} {
		assert.NotRegexp(t, pattern, arg)
	}
}

// inTheSchema are the flags that the schema takes.
func inTheSchema(t *testing.T) (flags []string) {
	t.Helper()
	for _, match := range regexp.MustCompile(`[(|]([a-z]+(-[a-z]+)*)=`).FindAllStringSubmatch(ofArguments(t), -1) {
		flags = append(flags, match[1])
	}
	require.NotEmpty(t, flags)
	return flags
}

// ofArguments is the pattern of the schema for an argument.
func ofArguments(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chart, "values.schema.json"))
	require.NoError(t, err)
	var schema struct {
		Definitions struct{ Argument struct{ Pattern string } }
	}
	require.NoError(t, json.Unmarshal(text, &schema))
	require.True(t, strings.HasPrefix(schema.Definitions.Argument.Pattern, "^--("))
	return schema.Definitions.Argument.Pattern
}
