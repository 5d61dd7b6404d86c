package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubetorch/webhook/test/controlplane/internal/filelock"
)

const (
	// labDirPattern is the name of a lab's folder, which is also that of its cgroups.
	labDirPattern = "kubetorch-pods-*"
	// labVariable holds the lab's folder in the environment of the processes inside.
	labVariable = "KUBETORCH_PODS_LAB"
	// labInitVariable marks the first process of the lab's process namespace.
	labInitVariable = "KUBETORCH_PODS_INIT"
	// labOwnerVariable holds the process id, outside, of the program that made the namespaces.
	labOwnerVariable = "KUBETORCH_PODS_OWNER"
)

// Isolate builds what a control plane with the options takes, which the network may be needed
// for, and runs the calling program again in network, mount, process and IPC namespaces of
// its own, in which Options.Pods works. It returns at once in the program inside; outside it
// returns never, but exits with the status of the program inside.
//
// The kernel takes all processes, mounts and network devices of the namespaces away with the
// last process in them, and kills that when the program outside ends for whatever reason.
// What is left is a folder and cgroups: they are removed in the end, and those of a program
// that was killed by the next one.
//
// Call it first thing in main or TestMain.
func Isolate(o Options) {
	switch {
	case os.Getenv(labInitVariable) != "":
		os.Exit(labInit())
	case labDir() != "":
		return
	}
	code, err := isolate(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code)
}

// OwnerPID is the process id, as the machine sees it, of the program that is to be told to
// end: this one, or the one that made the namespaces it is in.
func OwnerPID() int {
	if pid, err := strconv.Atoi(os.Getenv(labOwnerVariable)); err == nil {
		return pid
	}
	return os.Getpid()
}

// labDir is the folder of the lab that this process is in, or "".
func labDir() string { return os.Getenv(labVariable) }

func isolate(o Options) (code int, err error) {
	if os.Getuid() != 0 {
		return 1, errors.New("running pods takes root: namespaces, cgroups and mounts are made")
	}
	building, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = preparePrograms(building, o)
	stop()
	if err != nil {
		return 1, err
	}
	sweepLabs(os.TempDir())
	dir, err := os.MkdirTemp("", labDirPattern)
	if err != nil {
		return 1, fmt.Errorf("creating the lab's folder: %w", err)
	}
	unlock, err := filelock.Try(filepath.Join(dir, runDirLock))
	if err != nil {
		return 1, fmt.Errorf("locking the lab's folder: %w", err)
	}
	defer unlock()
	defer func() { err = errors.Join(err, removeLab(dir)) }()
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), labVariable+"="+dir, labInitVariable+"=1", "TMPDIR="+dir,
		labOwnerVariable+"="+strconv.Itoa(os.Getpid()))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Setpgid:    true, Pdeathsig: syscall.SIGKILL,
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	started := make(chan error)
	spawner() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return 1, fmt.Errorf("%s: making namespaces: %w", cannotRunPods, err)
	}
	go func() {
		for range signals {
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}()
	forwarding, stopForwarding := context.WithCancel(context.Background())
	defer stopForwarding()
	go forward(forwarding, dir)
	return exitCode(cmd.Wait())
}

// exitCode is the status with which a program ended.
func exitCode(err error) (int, error) {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if exit.ExitCode() < 0 {
			return 1, err
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

// labInit is the first process in the namespaces: it prepares them, runs the program, and
// reaps what the program's processes leave behind.
func labInit() int {
	if err := prepareNamespaces(labDir()); err != nil {
		fmt.Fprintf(os.Stderr, "error: %s: preparing the lab's namespaces: %v\n", cannotRunPods, err)
		return 1
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	var environment []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, labInitVariable+"=") {
			environment = append(environment, entry)
		}
	}
	main, err := os.StartProcess(self, os.Args, &os.ProcAttr{
		Env: environment, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	go func() {
		for range signals {
			_ = main.Signal(syscall.SIGTERM)
		}
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, "error: waiting for the lab's processes:", err)
			return 1
		case pid == main.Pid && status.Exited():
			return status.ExitStatus()
		case pid == main.Pid:
			return 128 + int(status.Signal())
		}
	}
}

// labFolders are the folders of the machine that a node's programs write to. Inside a lab
// there are folders of its own in their place.
var labFolders = []string{"/var/lib", "/var/log", "/run"}

// prepareNamespaces makes the new namespaces fit for a node.
func prepareNamespaces(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, folder := range labFolders {
		own := filepath.Join(dir, "machine", folder)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(own, folder, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", folder, err)
		}
	}
	if err := pretendMachine(filepath.Join(dir, "machine")); err != nil {
		return fmt.Errorf("pretending a machine: %w", err)
	}
	return unix.Sethostname([]byte(nodeName))
}

// The node pretends to have room for what users really ask for, of which its pods use
// little.
const (
	pretendedCPUs   = 512
	pretendedMemory = 1 << 30 // KiB
)

// pretendMachine mounts files over those from which a kubelet learns how large its machine is.
func pretendMachine(dir string) error {
	cpus, numa := filepath.Join(dir, "cpu"), filepath.Join(dir, "node")
	files := map[string]string{
		filepath.Join(cpus, "online"): fmt.Sprintf("0-%d\n", pretendedCPUs-1),
		filepath.Join(dir, "meminfo"): fmt.Sprintf("MemTotal: %[1]d kB\nMemFree: %[1]d kB\nMemAvailable: %[1]d kB\n"+
			"SwapTotal: 0 kB\nSwapFree: 0 kB\n", pretendedMemory),
	}
	for i := range pretendedCPUs {
		// Without a topology a kubelet counts CPUs, and does not put its pods on certain ones.
		files[filepath.Join(cpus, "cpu"+strconv.Itoa(i), "uevent")] = ""
	}
	if err := os.MkdirAll(numa, 0o755); err != nil {
		return err
	}
	for file, text := range files {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{
		cpus: "/sys/devices/system/cpu", numa: "/sys/devices/system/node", filepath.Join(dir, "meminfo"): "/proc/meminfo",
	} {
		if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("mounting %s: %w", to, err)
		}
	}
	return nil
}

// sweepLabs removes what labs left behind whose program was killed: their lock is free.
func sweepLabs(temp string) {
	dirs, err := filepath.Glob(filepath.Join(temp, labDirPattern))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Stat(filepath.Join(dir, runDirLock))
		if err != nil || time.Since(info.ModTime()) < 10*time.Second {
			continue
		}
		if unlock, err := filelock.Try(filepath.Join(dir, runDirLock)); err == nil {
			if err := removeLab(dir); err != nil {
				fmt.Fprintln(os.Stderr, "removing what a killed lab left:", err)
			}
			unlock()
		}
	}
}

// removeLab removes the cgroups and the folder of a lab whose namespaces are gone.
func removeLab(dir string) error {
	if err := removeCgroups(filepath.Base(dir)); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the lab's folder: %w", err)
	}
	return nil
}

// tryOverlay mounts an overlay in a folder, as every container takes one: a folder that is on
// an overlay itself does not do.
func tryOverlay(dir string) error {
	place := filepath.Join(dir, "merged")
	var options []string
	for _, part := range []string{"lowerdir", "upperdir", "workdir"} {
		if err := os.MkdirAll(filepath.Join(dir, part), 0o755); err != nil {
			return err
		}
		options = append(options, part+"="+filepath.Join(dir, part))
	}
	if err := os.MkdirAll(place, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("overlay", place, "overlay", 0, strings.Join(options, ",")); err != nil {
		return err
	}
	return errors.Join(unix.Unmount(place, 0), os.RemoveAll(dir))
}

// unmountBelow takes away what is mounted below folders.
func unmountBelow(dirs ...string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("finding mounts: %w", err)
	}
	var places []string
	for line := range strings.Lines(string(mounts)) {
		place := strings.Fields(line)[4]
		for _, dir := range dirs {
			if strings.HasPrefix(place, dir+"/") {
				places = append(places, place)
			}
		}
	}
	var errs []error
	for _, place := range slices.Backward(places) { // what was mounted last first
		if err := unix.Unmount(place, unix.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmounting %s: %w", place, err))
		}
	}
	return errors.Join(errs...)
}
