package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kubetorch/webhook/test/controlplane/internal/filelock"
)

const (
	runDirPattern = "kubetorch-controlplane-*"
	runDirLock    = "lock"
)

// runDir is the folder holding everything one control plane writes.
type runDir struct {
	path   string
	unlock func()
}

// newRunDir creates a run folder: a temporary one if path is empty, otherwise
// path. Because the folder is removed in the end, path must be new, empty, or
// the run folder of a control plane that is stopped.
func newRunDir(path string) (*runDir, error) {
	if path == "" {
		sweepRunDirs(os.TempDir())
		temp, err := os.MkdirTemp("", runDirPattern)
		if err != nil {
			return nil, fmt.Errorf("creating the run folder: %w", err)
		}
		path = temp
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("creating the run folder: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("creating the run folder: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("creating the run folder: %w", err)
	}
	isLock := func(e os.DirEntry) bool { return e.Name() == runDirLock }
	if len(entries) > 0 && !slices.ContainsFunc(entries, isLock) {
		return nil, fmt.Errorf("%s holds files of something other than a control plane", path)
	}
	unlock, err := filelock.Try(filepath.Join(path, runDirLock))
	if err != nil {
		return nil, fmt.Errorf("locking run folder %s: %w", path, err)
	}
	d := &runDir{path: path, unlock: unlock}
	// Logs may be left from a control plane that was asked to keep them.
	if err := errors.Join(d.remove("etcd"), d.remove("logs")); err != nil {
		unlock()
		return nil, err
	}
	for _, sub := range []string{"logs", "pki"} {
		if err := os.MkdirAll(d.join(sub), 0o700); err != nil {
			unlock()
			return nil, fmt.Errorf("creating the run folder: %w", err)
		}
	}
	return d, nil
}

func (d *runDir) join(elem ...string) string {
	return filepath.Join(append([]string{d.path}, elem...)...)
}

func (d *runDir) remove(sub string) error {
	if err := os.RemoveAll(d.join(sub)); err != nil {
		return fmt.Errorf("clearing the run folder: %w", err)
	}
	return nil
}

// close removes the folder, except for its logs if they are to be kept.
func (d *runDir) close(keepLogs bool) error {
	defer d.unlock()
	if !keepLogs {
		if err := os.RemoveAll(d.path); err != nil {
			return fmt.Errorf("removing the run folder: %w", err)
		}
		return nil
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("removing the run folder: %w", err)
	}
	for _, e := range entries {
		if e.Name() != "logs" && e.Name() != runDirLock {
			err = errors.Join(err, d.remove(e.Name()))
		}
	}
	return err
}

// sweepRunDirs removes temporary run folders whose owner was killed before it
// could do so: their lock is free. Fresh folders are left alone because their
// owner may be about to lock them.
func sweepRunDirs(temp string) {
	dirs, err := filepath.Glob(filepath.Join(temp, runDirPattern))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		lock := filepath.Join(dir, runDirLock)
		info, err := os.Stat(lock)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if unlock, err := filelock.Try(lock); err == nil {
			// What cannot be removed belongs to somebody else.
			_ = os.RemoveAll(dir)
			unlock()
		}
	}
}
