package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/controlplane/internal/filelock"
)

// state is the folder through which up, down and the supervisor meet:
//
//	command.lock     held by up and down, so that they do not overlap
//	supervisor.lock  held by the supervisor while it lives
//	state.json       written by the supervisor, again when it is ready
//	supervisor.log   the supervisor's output
//	run              the run folder of the control plane
type state struct{ dir string }

// supervisor is the content of state.json.
type supervisor struct {
	PID        int    `json:"pid"`
	Kubeconfig string `json:"kubeconfig,omitempty"`
}

// ready tells whether the control plane can be used.
func (s supervisor) ready() bool { return s.Kubeconfig != "" }

func stateFlag(flags *flag.FlagSet, dir *string) {
	flags.StringVar(dir, "state", "", "`folder` for the state of this control plane (default .cache/up)")
}

func openState(dir string) (*state, error) {
	if dir == "" {
		root, err := controlplane.RepositoryRoot()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(root, ".cache", "up")
	}
	s := &state{dir: dir}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, fmt.Errorf("creating the state folder: %w", err)
	}
	return s, nil
}

func (s *state) file(name string) string { return filepath.Join(s.dir, name) }

func (s *state) lockCommand(ctx context.Context) (unlock func(), err error) {
	unlock, err = filelock.Lock(ctx, s.file("command.lock"), func() {
		fmt.Fprintln(os.Stderr, "waiting for another up or down to finish")
	})
	if err != nil {
		return nil, fmt.Errorf("locking the state folder: %w", err)
	}
	return unlock, nil
}

// running tells whether a supervisor is alive. Unlike a look at its process id
// this cannot mistake another process for it.
func (s *state) running() (bool, error) {
	unlock, err := filelock.Try(s.file("supervisor.lock"))
	if errors.Is(err, filelock.ErrLocked) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for a supervisor: %w", err)
	}
	unlock()
	return false, nil
}

func (s *state) read() (supervisor, error) {
	var content supervisor
	text, err := os.ReadFile(s.file("state.json"))
	if err != nil {
		return content, fmt.Errorf("reading the supervisor's state: %w", err)
	}
	if err := json.Unmarshal(text, &content); err != nil {
		return content, fmt.Errorf("reading the supervisor's state: %w", err)
	}
	return content, nil
}

// write replaces state.json in one step.
func (s *state) write(content supervisor) error {
	text, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("writing the supervisor's state: %w", err)
	}
	temp := s.file("state.json.new")
	if err := os.WriteFile(temp, text, 0o644); err != nil {
		return fmt.Errorf("writing the supervisor's state: %w", err)
	}
	if err := os.Rename(temp, s.file("state.json")); err != nil {
		return fmt.Errorf("writing the supervisor's state: %w", err)
	}
	return nil
}

// stopSupervisor ends the supervisor, by force if it takes too long, and waits
// until it is gone.
func (s *state) stopSupervisor(process *os.Process) error {
	for _, attempt := range []struct {
		signal os.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, time.Minute}, {os.Kill, 10 * time.Second}} {
		if err := process.Signal(attempt.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stopping the supervisor: %w", err)
		}
		for deadline := time.Now().Add(attempt.wait); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			running, err := s.running()
			if err != nil {
				return err
			}
			// One that made namespaces removes what is left of them last.
			if !running && errors.Is(process.Signal(syscall.Signal(0)), os.ErrProcessDone) {
				return nil
			}
		}
	}
	return fmt.Errorf("the supervisor (process %d) does not end", process.Pid)
}
