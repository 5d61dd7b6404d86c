// Package cleanup tests that nothing is left of a node that ran pods, however its program
// ended. It takes root.
package cleanup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/test/controlplane"
)

var lab = controlplane.Options{Pods: true, GPUs: 2, WithoutKnative: true}

// asLab makes the test binary a program that runs pods. Its value says how it ends.
const asLab = "CLEANUP_TEST_AS_LAB"

// What the program does once a pod runs.
const (
	waits   = "waits"   // until it is told to end
	fails   = "fails"   // without stopping anything
	nothing = "nothing" // not even start
)

func TestMain(m *testing.M) {
	how := os.Getenv(asLab)
	if how == "" {
		os.Exit(m.Run())
	}
	controlplane.Isolate(lab)
	if err := runLab(how); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const pod = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pause"}, "spec": {"containers": [
	{"name": "pause", "image": "dev.local/pause:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}}`

// runLab prints the lab's folder once a pod runs in it.
func runLab(how string) (err error) {
	if how == nothing {
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := controlplane.Start(ctx, lab)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	if err := c.LoadProgram(ctx, "dev.local/pause:1", "pause"); err != nil {
		return err
	}
	if _, _, err := c.Kubectl(ctx, strings.NewReader(pod), "create", "-f", "-"); err != nil {
		return err
	}
	if _, _, err := c.Kubectl(ctx, nil, "wait", "--for=condition=Ready", "pod/pause", "--timeout=2m"); err != nil {
		return err
	}
	fmt.Println(filepath.Dir(filepath.Dir(c.LogDir())))
	if how == fails {
		os.Exit(3)
	}
	<-ctx.Done()
	return nil
}

func TestNothingIsLeftOfANode(t *testing.T) {
	for name, c := range map[string]struct {
		how    string
		end    func(*os.Process) error // nil where it ends by itself
		status int
	}{
		"whose program is told to end": {how: waits, end: func(p *os.Process) error { return p.Signal(syscall.SIGTERM) }},
		// As a terminal does it, for all of the foreground's processes.
		"whose program is interrupted":             {how: waits, end: func(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGINT) }},
		"whose program fails and stops nothing":    {how: fails, status: 3},
		"whose program is killed, once another is": {how: waits, end: (*os.Process).Kill, status: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, dir := startLab(t, c.how)
			if c.how == waits {
				assert.NotEmpty(t, leftovers(dir), "nothing of a running node was found")
			}
			if c.end != nil {
				require.NoError(t, c.end(cmd.Process))
			}
			_ = cmd.Wait() // the status says it
			assert.Equal(t, c.status, cmd.ProcessState.ExitCode())
			if c.status < 0 {
				// The kernel ends its processes. Its folder and its empty cgroups are the next one's.
				assert.Eventually(t, func() bool { return len(processes(dir)) == 0 }, 30*time.Second, 100*time.Millisecond)
				time.Sleep(time.Second)
				next := command(nothing)
				out, err := next.CombinedOutput()
				require.NoErrorf(t, err, "%s", out)
			}
			assert.Empty(t, leftovers(dir))
		})
	}
}

func command(how string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asLab+"="+how)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// startLab starts the program and returns when its pod runs.
func startLab(t *testing.T, how string) (*exec.Cmd, string) {
	t.Helper()
	cmd := command(how)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, "the program ended before its pod ran")
	return cmd, strings.TrimSpace(line)
}

// leftovers are the processes, mounts, cgroups, folders and network devices of a lab, as the
// machine sees them.
func leftovers(dir string) []string {
	found := processes(dir)
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), dir) {
		found = append(found, "a mount")
	}
	name := filepath.Base(dir)
	for _, pattern := range []string{dir, filepath.Join("/sys/fs/cgroup", name), filepath.Join("/sys/fs/cgroup/*", name)} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return []string{err.Error()}
		}
		found = append(found, paths...)
	}
	if _, err := net.InterfaceByName("cni0"); err == nil {
		found = append(found, "the bridge")
	}
	return found
}

// processes are those that have a folder in their environment.
func processes(dir string) (found []string) {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return []string{err.Error()}
	}
	for _, file := range files {
		// One may end between being listed and being read.
		if environment, err := os.ReadFile(file); err == nil && strings.Contains(string(environment), dir) {
			found = append(found, file)
		}
	}
	return found
}
