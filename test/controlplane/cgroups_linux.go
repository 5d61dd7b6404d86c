package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroupHierarchies are the mount points of cgroup hierarchies.
func cgroupHierarchies() ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("finding the cgroup hierarchies: %w", err)
	}
	var dirs []string
	for line := range strings.Lines(string(mounts)) {
		place, kind, ok := strings.Cut(line, " - ")
		fields := strings.Fields(place)
		if ok && len(fields) > 4 && (strings.HasPrefix(kind, "cgroup ") || strings.HasPrefix(kind, "cgroup2 ")) {
			dirs = append(dirs, fields[4])
		}
	}
	if len(dirs) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted")
	}
	return dirs, nil
}

// makeCgroups makes a cgroup in every hierarchy, below which a node makes those of its pods.
func makeCgroups(name string) error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		dir := filepath.Join(hierarchy, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making a cgroup: %w", err)
		}
		if parent := filepath.Dir(dir); parent != hierarchy { // that one is the machine's
			handOn(parent)
		}
		// All pods together are not to count as one process among those of a busy machine.
		if _, err := os.Stat(filepath.Join(dir, "cpu.shares")); err == nil {
			if err := os.WriteFile(filepath.Join(dir, "cpu.shares"), []byte("16384"), 0o644); err != nil {
				return fmt.Errorf("preparing a cgroup: %w", err)
			}
		}
		// A new cpuset is empty: no process may enter it.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			content, err := os.ReadFile(filepath.Join(hierarchy, file))
			if err != nil {
				continue // another controller's hierarchy
			}
			if err := os.WriteFile(filepath.Join(dir, file), content, 0o644); err != nil {
				return fmt.Errorf("preparing a cgroup: %w", err)
			}
		}
	}
	return nil
}

// handOn has a cgroup of version 2 hand its controllers on to those below it. In version 1
// there is nothing to hand on, and what is missing a kubelet says.
func handOn(dir string) {
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return
	}
	for controller := range strings.FieldsSeq(string(controllers)) {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
	}
}

// enterCgroups puts a process into a cgroup of every hierarchy.
func enterCgroups(name string, pid int) error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		file := filepath.Join(hierarchy, name, "cgroup.procs")
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return fmt.Errorf("entering a cgroup: %w", err)
		}
	}
	return nil
}

// removeCgroups kills what runs in a cgroup and those below, in every hierarchy, and removes
// them.
func removeCgroups(name string) error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return await(ctx, "the removal of the cgroups of "+name, 30*time.Second, func(context.Context) error {
		var errs []error
		for _, hierarchy := range hierarchies {
			errs = append(errs, removeCgroup(filepath.Join(hierarchy, name)))
		}
		return errors.Join(errs...)
	})
}

func removeCgroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() {
			errs = append(errs, removeCgroup(filepath.Join(dir, e.Name())))
		}
	}
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for field := range strings.FieldsSeq(string(procs)) {
		// 0 stands for a process of another namespace, which goes with that.
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
