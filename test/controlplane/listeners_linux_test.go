package controlplane

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// requireLoopback fails if a process of the control plane, or this one, listens
// on anything but a loopback address.
func requireLoopback(t *testing.T, c *ControlPlane) {
	t.Helper()
	// What is listened on less than expected would escape the check.
	want := map[string]int{
		Etcd: 2, KubeAPIServer: 1, KubeControllerManager: 0,
		KnativeWebhook: 3, KnativeController: 3, KnativeAutoscalerHPA: 3,
	}
	for _, p := range c.Processes() {
		if p.exited() {
			continue
		}
		addresses := listeners(t, p.PID())
		for _, a := range addresses {
			assert.Truef(t, a.Addr().Unmap().IsLoopback(), "%s listens on %s", p.Name(), a)
		}
		t.Logf("%s listens on %v", p.Name(), addresses)
		if n, ok := want[p.Name()]; ok {
			assert.Lenf(t, addresses, n, "listeners of %s", p.Name())
		}
	}
	for _, a := range listeners(t, os.Getpid()) {
		assert.Truef(t, a.Addr().Unmap().IsLoopback(), "this process listens on %s", a)
	}
}

// listeners returns the addresses a process accepts TCP connections on.
func listeners(t *testing.T, pid int) []netip.AddrPort {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	require.NoError(t, err)
	sockets := map[string]bool{}
	for _, file := range files {
		// Descriptors that are closed meanwhile are no listeners.
		if target, err := os.Readlink(file); err == nil {
			sockets[target] = true
		}
	}
	var addresses []netip.AddrPort
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			const local, state, inode, listening = 1, 3, 9, "0A"
			fields := strings.Fields(line)
			if len(fields) > inode && fields[state] == listening && sockets["socket:["+fields[inode]+"]"] {
				addresses = append(addresses, kernelAddress(t, fields[local]))
			}
		}
	}
	return addresses
}

// kernelAddress parses an address like 0100007F:1F90. The kernel prints it as
// 32-bit words in the machine's byte order.
func kernelAddress(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	host, portText, ok := strings.Cut(text, ":")
	require.True(t, ok, text)
	raw, err := hex.DecodeString(host)
	require.NoError(t, err)
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	address, ok := netip.AddrFromSlice(raw)
	require.True(t, ok, text)
	port, err := strconv.ParseUint(portText, 16, 16)
	require.NoError(t, err)
	return netip.AddrPortFrom(address, uint16(port))
}
