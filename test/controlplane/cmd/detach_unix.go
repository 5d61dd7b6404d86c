//go:build unix

package main

import "syscall"

// detached gives a child a session of its own, which outlives the terminal.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
