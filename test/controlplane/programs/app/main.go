// Command app is an application under test. It answers each request after the time that the
// request asks for (?hold=1s), or after so much CPU time (?burn=20ms), takes so many MiB of memory
// meanwhile (?memory=30), and says who answered and how many requests it held at most.
//
// Environment: PORT to listen on (8080), START_DELAY before it listens, GPU_SOCKET of the
// device plug-in, which it stays connected to, and GPU_IDS that it was given.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Answer is the body of every answer.
type Answer struct {
	Host     string `json:"host"`
	Revision string `json:"revision"`
	// Held is the number of requests that it held with this one, Most the largest so far.
	Held int `json:"held"`
	Most int `json:"most"`
}

type app struct {
	mu         sync.Mutex
	held, most int
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if socket := os.Getenv("GPU_SOCKET"); socket != "" {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return fmt.Errorf("using a GPU: %w", err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "%s %s\n", os.Getenv("GPU_IDS"), hostname()); err != nil {
			return fmt.Errorf("using a GPU: %w", err)
		}
	}
	delay, err := time.ParseDuration(or(os.Getenv("START_DELAY"), "0s"))
	if err != nil {
		return err
	}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil
	}
	server := &http.Server{Addr: ":" + or(os.Getenv("PORT"), "8080"), Handler: &app{}, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// What takes long to end holds its GPU for so long.
	grace, err := time.ParseDuration(or(os.Getenv("END_DELAY"), "0s"))
	if err != nil {
		return err
	}
	time.Sleep(grace)
	finish, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := server.Shutdown(finish); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hold, err := time.ParseDuration(or(r.URL.Query().Get("hold"), "0s"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	a.held++
	a.most = max(a.most, a.held)
	answer := Answer{Host: hostname(), Revision: os.Getenv("K_REVISION"), Held: a.held, Most: a.most}
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.held--
		a.mu.Unlock()
	}()
	burn, err := time.ParseDuration(or(r.URL.Query().Get("burn"), "0s"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	spend(burn)
	free, err := occupy(or(r.URL.Query().Get("memory"), "0"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer free()
	select {
	case <-time.After(hold):
	case <-r.Context().Done():
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		log.Print(err)
	}
}

// spend uses an amount of CPU time, however long that takes on a busy machine.
func spend(amount time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const thread = 1 // RUSAGE_THREAD
	used := func() time.Duration {
		var usage syscall.Rusage
		if err := syscall.Getrusage(thread, &usage); err != nil {
			return amount
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	for begin := used(); used()-begin < amount; {
	}
}

// occupy takes an amount of memory in MiB until it is freed, which the kernel sees at once.
func occupy(mebibytes string) (free func(), err error) {
	size, err := strconv.Atoi(mebibytes)
	if err != nil || size <= 0 {
		return func() {}, err
	}
	memory, err := syscall.Mmap(-1, 0, size<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	return func() {
		if err := syscall.Munmap(memory); err != nil {
			log.Print(err)
		}
	}, nil
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
