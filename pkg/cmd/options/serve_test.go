package options

import (
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func parse(t *testing.T, args ...string) *Serve {
	t.Helper()
	t.Setenv("POD_NAMESPACE", "")
	var o Serve
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	o.AddFlags(flags)
	require.NoError(t, flags.Parse(args))
	require.NoError(t, o.Complete())
	o.flags, o.HTTP.flags = nil, nil // what is compared are values
	return &o
}

func TestServeDefaults(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/cache")
	common := Serve{
		Log:       Log{Level: "info", Format: "json"},
		HTTP:      HTTP{MaxConcurrent: 512, TraceSampling: .01},
		Namespace: "kubetorch-system", Service: "kubetorch-webhook", CASecret: "kubetorch-webhook-ca",
		Configuration: "kubetorch-webhook", KnativeNamespace: "knative-serving", Excluded: Excluded{"kube-system", "kube-node-lease", "cert-manager"}, RequestTimeout: time.Minute, MaxUnseenShare: 50, AuditInterval: 10 * time.Minute,
		LeafLifetime: 7 * 24 * time.Hour, CALifetime: 365 * 24 * time.Hour, CAOverlap: 5 * time.Minute,
	}
	cluster := common
	cluster.Listen = ":9443"
	assert.Equal(t, &cluster, parse(t))

	standalone := common
	standalone.Standalone, standalone.Listen, standalone.CertDir = true, "127.0.0.1:9443", "/cache/kubetorch-webhook"
	standalone.Policies, standalone.ShutdownDelay = []string{"a", "b,c"}, time.Second
	assert.Equal(t, &standalone, parse(t, "--standalone", "--policy", "a", "--policy", "b,c", "--shutdown-delay", "1s"))
}

func TestServeTakesItsNamespaceFromThePod(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "elsewhere")
	var o Serve
	o.AddFlags(pflag.NewFlagSet("", pflag.ContinueOnError))
	assert.Equal(t, "elsewhere", o.Namespace)
}

func TestServeWithoutAHomeStillHasACertDir(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	t.Setenv("TMPDIR", t.TempDir())
	assert.DirExists(t, parse(t, "--standalone").CertDir)
}

func TestServeValidation(t *testing.T) {
	tests := map[string]struct {
		args []string
		want []string
	}{
		"the defaults":               {nil, nil},
		"standalone without a file":  {[]string{"--standalone"}, nil},
		"any free port":              {[]string{"--standalone", "--listen", "[::1]:0"}, nil},
		"an address without a port":  {[]string{"--listen", "localhost"}, []string{`--listen: Invalid value: "localhost": must be [HOST]:PORT`}},
		"an address with no service": {[]string{"--listen", ":nonsense"}, []string{`--listen: Invalid value: ":nonsense": must end in a port`}},
		"a port that is too high":    {[]string{"--listen", ":70000"}, []string{`--listen: Invalid value: ":70000": must end in a port`}},
		"a negative delay":           {[]string{"--shutdown-delay", "-1s"}, []string{`--shutdown-delay: Invalid value: "-1s": must not be negative`}},
		"flags of the other mode": {[]string{"--policy", "a", "--knative-config", "b"}, []string{
			"--policy: Forbidden: needs --standalone", "--knative-config: Forbidden: needs --standalone"}},
		"files of others": {[]string{"--cert-dir", "a"}, nil},
		"files of others and an own CA": {[]string{"--cert-dir", "a", "--ca-secret", "b", "--leaf-lifetime", "24h", "--ca-lifetime", "100000h", "--ca-overlap", "1m"}, []string{
			"--ca-secret: Forbidden: is of no use with --cert-dir", "--leaf-lifetime: Forbidden: is of no use with --cert-dir",
			"--ca-lifetime: Forbidden: is of no use with --cert-dir", "--ca-overlap: Forbidden: is of no use with --cert-dir"}},
		"certificates that end at once": {[]string{"--leaf-lifetime", "1s", "--ca-overlap", "0"}, []string{
			`--ca-overlap: Invalid value: "0s": must be at least 1s`, `--leaf-lifetime: Invalid value: "1s": must be at least 5s`}},
		"a CA that ends before what it signed": {[]string{"--ca-lifetime", "168h"}, []string{
			`--ca-lifetime: Invalid value: "168h0m0s": must be at least 504h30m0s: 3 x (--leaf-lifetime + 2 x --ca-overlap)`}},
		"flags of the other mode, standalone": {[]string{"--standalone", "--namespace", "a"}, []string{
			"--namespace: Forbidden: is of no use with --standalone"}},
		"unknown words for the log": {[]string{"--log-level", "loud", "--log-format", "xml"}, []string{
			`--log-level: Unsupported value: "loud": supported values: "debug", "info", "error"`,
			`--log-format: Unsupported value: "xml": supported values: "json", "text"`}},
		"nobody at a time":          {[]string{"--max-concurrent-requests", "0"}, []string{`--max-concurrent-requests: Invalid value: 0: must be at least 1`}},
		"names without a CA":        {[]string{"--client-names", "a,"}, []string{"--client-names: Forbidden: needs --client-ca-file", `--client-names: Invalid value: "": must not be empty`}},
		"clients and traces":        {[]string{"--client-ca-file", "ca", "--client-names", "a,b", "--trace-endpoint", "https://collector:4318", "--trace-sampling", "1"}, nil},
		"sampling without a target": {[]string{"--trace-sampling", "1"}, []string{"--trace-sampling: Forbidden: needs --trace-endpoint"}},
		"traces to nowhere": {[]string{"--trace-endpoint", "collector:4318", "--trace-sampling", "NaN"}, []string{
			`--trace-endpoint: Invalid value: "collector:4318": must be an http:// or https:// URL without a user`, `--trace-sampling: Invalid value: NaN: must be from 0 to 1`}},
		"audits that never end":    {[]string{"--audit-interval", "1s"}, []string{`--audit-interval: Invalid value: "1s": must be at least 10s`}},
		"no share":                 {[]string{"--max-unseen-share", "0"}, []string{"--max-unseen-share: Invalid value: 0: must be from 1 to 100"}},
		"more than there is":       {[]string{"--max-unseen-share", "101"}, []string{"--max-unseen-share: Invalid value: 101: must be from 1 to 100"}},
		"audits without a cluster": {[]string{"--standalone", "--audit-interval", "1m"}, []string{"--audit-interval: Forbidden: is of no use with --standalone"}},
		"names that no object can have": {[]string{"--service", "1a", "--ca-secret", "A"}, []string{
			`--service: Invalid value: "1a": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`,
			`--ca-secret: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var o Serve
			flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
			o.AddFlags(flags)
			require.NoError(t, flags.Parse(test.args))
			require.NoError(t, o.Complete())
			var got []string
			for _, err := range o.Validate() {
				got = append(got, err.Error())
			}
			assert.Equal(t, test.want, got)
		})
	}
}
