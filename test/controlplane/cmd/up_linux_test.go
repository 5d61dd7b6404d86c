package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asCommand makes the test binary behave like the command itself.
const asCommand = "CONTROLPLANE_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestUpAndDown(t *testing.T) {
	state := t.TempDir()
	command := func(name string) (stdout, stderr string) {
		t.Helper()
		var out, errOut bytes.Buffer
		cmd := exec.Command(os.Args[0], name, "-state", state)
		cmd.Env = append(os.Environ(), asCommand+"=1")
		cmd.Stdout, cmd.Stderr = &out, &errOut
		require.NoErrorf(t, cmd.Run(), "%s: %s", name, &errOut)
		return out.String(), errOut.String()
	}
	t.Cleanup(func() { command("down") })
	kubeconfig := filepath.Join(state, "run", "admin.kubeconfig")
	line := "export KUBECONFIG=" + kubeconfig + "\n"

	stdout, stderr := command("up")
	assert.Equal(t, line, stdout)
	assert.Contains(t, stderr, "the control plane is ready")
	assert.FileExists(t, kubeconfig)

	stdout, stderr = command("up")
	assert.Equal(t, line, stdout)
	assert.Contains(t, stderr, "already up")

	children := processesUsing(t, state)
	require.Len(t, children, 6, "a supervisor and its five processes")

	stdout, stderr = command("down")
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "is down")
	assert.Empty(t, processesUsing(t, state))
	assert.NoFileExists(t, kubeconfig)
	assert.FileExists(t, filepath.Join(state, "run", "logs", "etcd.log"))

	_, stderr = command("down")
	assert.Contains(t, stderr, "is not up")
}

// processesUsing finds processes that name a folder on their command line or
// in their environment.
func processesUsing(t *testing.T, dir string) []string {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	var found []string
	for _, proc := range procs {
		// A process may end between being listed and being read.
		cmdline, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		environ, _ := os.ReadFile(filepath.Join(proc, "environ"))
		if bytes.Contains(cmdline, []byte(dir)) || bytes.Contains(environ, []byte(dir)) {
			found = append(found, proc+" "+string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
		}
	}
	return found
}
