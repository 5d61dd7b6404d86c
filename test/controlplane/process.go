package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Process is a supervised child process whose output goes to a log file.
type Process struct {
	name  string
	log   string
	grace time.Duration
	cmd   *exec.Cmd
	done  chan struct{}
	err   error // set before done is closed
}

// startProcess runs bin with its output appended to logFile. The child sees
// only env and the few variables in baseEnvironment: settings of the caller's
// shell such as proxies must not change how the control plane talks to itself.
func startProcess(name, logFile string, env []string, bin string, args ...string) (*Process, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer out.Close()
	p := &Process{name: name, log: logFile, grace: 10 * time.Second, cmd: exec.Command(bin, args...), done: make(chan struct{})}
	p.cmd.Env = append(baseEnvironment(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := startTied(p.cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func baseEnvironment() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "USER", "TMPDIR", "LANG", "TZ"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Name is the name given to StartProcess.
func (p *Process) Name() string { return p.name }

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// LogFile is the file that holds everything the process printed.
func (p *Process) LogFile() string { return p.log }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err tells how the process ended, like exec.Cmd.Wait; it is nil before Done.
func (p *Process) Err() error {
	if !p.exited() {
		return nil
	}
	return p.err
}

// Signal sends a signal to the process.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Stop asks the process to end, kills it if it does not do so within its grace
// period, and returns when it is gone. Stopping twice is fine.
func (p *Process) Stop() error {
	if p.exited() {
		return nil
	}
	if err := p.Signal(syscall.SIGTERM); err == nil {
		select {
		case <-p.done:
			return nil
		case <-time.After(p.grace):
		}
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

func (p *Process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// tail returns the end of the log, indented for use in an error message.
func (p *Process) tail() string {
	const size = 4096
	file, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > size {
		// A failed seek only makes the message longer.
		_, _ = file.Seek(-size, io.SeekEnd)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return "\t(no output)"
	}
	return "\t" + strings.ReplaceAll(string(text), "\n", "\n\t")
}

// patience is how long anything may take on a busy machine. Where it never comes, the end of
// a process mostly says so earlier.
const patience = 10 * time.Minute

// await polls probe until it succeeds. It gives up when ctx or the timeout
// ends or when one of the processes does; the error then carries the last
// failure of the probe and the end of the processes' logs.
func await(ctx context.Context, what string, timeout time.Duration, probe func(context.Context) error, procs ...*Process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no success within %s", timeout))
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		// What a probe says when it is cut off explains nothing.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if i := slices.IndexFunc(procs, (*Process).exited); i >= 0 {
			p := procs[i]
			return fmt.Errorf("waiting for %s: %s ended (%v); end of its log:\n%s", what, p.name, p.Err(), p.tail())
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			err := fmt.Errorf("waiting for %s: %w; last answer: %w", what, context.Cause(ctx), last)
			for _, p := range procs {
				err = fmt.Errorf("%w\nend of the log of %s:\n%s", err, p.name, p.tail())
			}
			return err
		}
	}
}

// collectSeldom trades memory for processor time, in the control plane's own programs: a
// third of an API server's goes into collecting garbage of a small heap.
var collectSeldom = []string{"GOGC=400", "GOMEMLIMIT=1GiB"}

// StartProcess runs a program under the control plane's supervision. It logs
// to a file in LogDir named after the process and is stopped by Stop, before
// everything that was started earlier. Of the caller's environment it sees
// little more than PATH and HOME; env is added to that.
func (c *ControlPlane) StartProcess(name string, env []string, bin string, args ...string) (*Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, fmt.Errorf("starting %s: the control plane is stopped", name)
	}
	if bin == c.tools[name] {
		env = append(slices.Clone(env), collectSeldom...)
	}
	p, err := startProcess(name, filepath.Join(c.LogDir(), name+".log"), env, bin, args...)
	if err != nil {
		return nil, err
	}
	c.procs = append(c.procs, p)
	return p, nil
}

// Processes lists all processes started so far, the first started first.
func (c *ControlPlane) Processes() []*Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.procs)
}
