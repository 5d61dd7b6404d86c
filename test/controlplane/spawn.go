package controlplane

import (
	"os/exec"
	"runtime"
	"sync"
)

// spawner hands functions to a goroutine that owns an operating-system thread
// for the life of the process. Linux ties a child to the thread that started
// it, not to the process, so a child started from an ordinary goroutine could
// be killed as soon as the Go scheduler retires a thread.
var spawner = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// startTied starts cmd in a process group of its own, so that Ctrl-C in a
// terminal does not reach it before an orderly stop does. On Linux the kernel
// kills it when this process ends for whatever reason.
func startTied(cmd *exec.Cmd) error {
	cmd.SysProcAttr = tiedAttributes()
	started := make(chan error)
	spawner() <- func() { started <- cmd.Start() }
	return <-started
}
