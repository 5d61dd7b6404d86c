//go:build !linux

package controlplane

import (
	"errors"
	"fmt"
	"os"
)

// Isolate says that pods run on Linux only.
func Isolate(Options) {
	fmt.Fprintln(os.Stderr, "error: running pods takes Linux")
	os.Exit(1)
}

// OwnerPID is the process id of the program that is to be told to end.
func OwnerPID() int { return os.Getpid() }

func labDir() string { return "" }

var labFolders []string

func makeCgroups(string) error       { return errOnlyLinux }
func enterCgroups(string, int) error { return errOnlyLinux }
func removeCgroups(string) error     { return errOnlyLinux }
func unmountBelow(...string) error   { return errOnlyLinux }
func tryOverlay(string) error        { return errOnlyLinux }

var errOnlyLinux = errors.New("running pods takes Linux")
