//go:build !linux

package controlplane

import "testing"

func requireLoopback(t *testing.T, _ *ControlPlane) {
	t.Skip("listeners are only looked up on Linux")
}
