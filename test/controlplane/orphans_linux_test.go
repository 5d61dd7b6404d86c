package controlplane

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKilledOwnerLeavesNoProcesses(t *testing.T) {
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), asOwner+"=1", "TMPDIR="+t.TempDir())
	owner.Stderr = os.Stderr
	stdout, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	t.Cleanup(func() {
		_ = owner.Process.Kill()
		_ = owner.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	pids := strings.Fields(line)
	require.Len(t, pids, 3)
	for _, pid := range pids {
		require.True(t, alive(t, pid), "process %s is not running", pid)
	}

	require.NoError(t, owner.Process.Signal(syscall.SIGKILL))
	for _, pid := range pids {
		assert.Eventually(t, func() bool { return !alive(t, pid) }, 5*time.Second, 10*time.Millisecond, "process %s outlives its owner", pid)
	}
}

// alive tells whether a process exists and is not a zombie.
func alive(t *testing.T, pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, state, ok := strings.Cut(string(stat), ") ")
	require.True(t, ok)
	return !strings.HasPrefix(state, "Z")
}
