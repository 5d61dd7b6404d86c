// Package load sends reviews to servers over TLS on loopback, and reads what their
// processes use.
package load

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of CPU time in /proc.
const tick = time.Second / 100

// CPU is the time that a process has run.
func CPU(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, errUser := strconv.Atoi(fields[11])
	system, errSystem := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick, errors.Join(errUser, errSystem)
}

// Written is how many bytes a process has had written to storage.
func Written(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "\nwrite_bytes: ")
	number, _, _ := strings.Cut(rest, "\n")
	return strconv.ParseInt(number, 10, 64)
}

// Pause stops a process until Resume.
func Pause(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) }

// Resume lets a process go on.
func Resume(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }

// Resident is the memory of a process in MiB.
func Resident(pid int) (float64, error) {
	now, _, err := Memory(pid)
	return now, err
}

// Memory is the resident memory of a process in MiB, now and at most since it started.
func Memory(pid int) (now, most float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) float64 {
		_, rest, _ := strings.Cut(string(text), name+":")
		kb, parseErr := strconv.Atoi(strings.Fields(rest + " ?")[0])
		err = errors.Join(err, parseErr)
		return float64(kb) / 1024
	}
	now, most = field("VmRSS"), field("VmHWM")
	return now, most, err
}
