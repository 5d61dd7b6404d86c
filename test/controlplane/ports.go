package controlplane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/kubetorch/webhook/test/controlplane/internal/filelock"
)

// Ports are chosen below the ones that kernels give to outgoing connections, which could
// take a port between its choice and its use.
const (
	firstPort, lastPort = 20000, 32000
	portTries           = 1000
)

// kept are the locks of the ports that this process chose; nobody unlocks them.
var kept struct {
	sync.Mutex
	locks []func()
}

// freePorts chooses ports that nobody listens on. They stay this process's as long as it
// lives: another control plane on this machine that chooses at the same time chooses
// others.
func freePorts(n int) ([]int, error) {
	dir := filepath.Join(os.TempDir(), "kubetorch-ports-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("finding a free port: %w", err)
	}
	ports := make([]int, 0, n)
	for range portTries {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.N(lastPort-firstPort)
		unlock, err := filelock.Try(filepath.Join(dir, strconv.Itoa(port)))
		switch {
		case errors.Is(err, filelock.ErrLocked):
			continue
		case err != nil:
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		kept.Lock()
		kept.locks = append(kept.locks, unlock)
		kept.Unlock()
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		listener.Close()
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("finding a free port: %d of those from %d to %d are taken", portTries, firstPort, lastPort)
}
