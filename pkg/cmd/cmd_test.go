package cmd

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	badPolicy := filepath.Join(dir, "bad.yaml")
	require.NoError(t, os.WriteFile(badPolicy, []byte("kind: Pod\n"), 0o600))
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	tests := map[string]struct {
		args []string
		code int
		err  string // a part of it
	}{
		"no command shows help":          {nil, 0, ""},
		"version":                        {[]string{"version"}, 0, ""},
		"an unknown command":             {[]string{"serv"}, 2, `kubetorch-webhook: unknown command "serv"`},
		"an unknown flag":                {[]string{"serve", "--nope"}, 2, "kubetorch-webhook: unknown flag: --nope; see kubetorch-webhook serve --help\n"},
		"a flag that does not fit":       {[]string{"serve", "--policy", "x"}, 2, "kubetorch-webhook: --policy: Forbidden: needs --standalone\n"},
		"two problems are two lines":     {[]string{"serve", "--policy", "x", "--knative-config", "y"}, 2, "--standalone\nkubetorch-webhook: --knative-config"},
		"an argument too many":           {[]string{"serve", "--standalone", "--policy", "a", "b"}, 2, `unexpected argument "b"; a flag that takes several values is repeated`},
		"a policy file that is missing":  {[]string{"serve", "--standalone", "--policy", filepath.Join(dir, "none")}, 2, "none"},
		"a policy file that is none":     {[]string{"serve", "--standalone", "--policy", badPolicy}, 2, "bad.yaml"},
		"a kubeconfig that is missing":   {[]string{"serve", "--kubeconfig", filepath.Join(dir, "none")}, 2, "finding the cluster: "},
		"a certificate nowhere to write": {[]string{"serve", "--standalone", "--listen", "127.0.0.1:0", "--cert-dir", file}, 1, "making the certificate directory"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var out, errOut bytes.Buffer
			assert.Equal(t, test.code, Run(ctx, test.args, strings.NewReader(""), &out, &errOut))
			if test.err == "" {
				assert.Empty(t, errOut.String())
			} else {
				assert.Contains(t, errOut.String(), test.err)
			}
		})
	}
}

func TestVersionNamesTheKnativeAPI(t *testing.T) {
	var out, errOut bytes.Buffer
	require.Zero(t, Run(t.Context(), []string{"version"}, nil, &out, &errOut))
	assert.Regexp(t, `^kubetorch-webhook \S+\ncommit: \S+\ngo: go1\S+\nknative: serving\.knative\.dev/v1 \(rules of Knative 1\.15-1\.24\)\n$`, out.String())
}

func TestServeStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	out, errOut := &waiting{written: make(chan string, 1)}, &bytes.Buffer{}
	done := make(chan int)
	go func() {
		done <- Run(ctx, []string{"serve", "--standalone", "--listen", "127.0.0.1:0", "--cert-dir", dir}, nil, out, errOut)
	}()
	assert.Contains(t, <-out.written, "listening on https://127.0.0.1:")
	cancel()
	select {
	case code := <-done:
		assert.Zero(t, code)
	case <-time.After(3 * time.Second):
		t.Fatal("it goes on")
	}
	assert.FileExists(t, filepath.Join(dir, "ca.crt"))
	assert.Contains(t, errOut.String(), "standalone: no controller runs here")
}

// waiting hands over what is written.
type waiting struct{ written chan string }

func (w *waiting) Write(p []byte) (int, error) {
	w.written <- string(p)
	return len(p), nil
}
