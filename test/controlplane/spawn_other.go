//go:build !unix

package controlplane

import "syscall"

func tiedAttributes() *syscall.SysProcAttr { return nil }
