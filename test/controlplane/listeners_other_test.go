//go:build !linux

package controlplane

import "testing"

func requireLoopback(t *testing.T, _ *ControlPlane) {
	t.Helper()
	t.Fatal("whether everything listens on loopback is looked up in /proc: run these tests on Linux")
}
