//go:build unix && !linux

package controlplane

import "syscall"

func tiedAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
