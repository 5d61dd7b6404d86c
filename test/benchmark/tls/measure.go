package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// tick is the unit of CPU time in /proc.
const tick = time.Second / 100

// subject is a process that answers reviews.
type subject struct {
	name, url string
	process   *exec.Cmd
}

var found = regexp.MustCompile(`https://127\.0\.0\.1:\d+`)

func start(name string, command ...string) (*subject, error) {
	s := &subject{name: name, process: exec.Command(command[0], command[1:]...)}
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if s.url = found.FindString(lines.Text()); s.url != "" {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return s, nil
		}
	}
	s.stop()
	return nil, fmt.Errorf("%s ended before it served", name)
}

func (s *subject) stop() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// cpu is the time that the process has run.
func (s *subject) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, errUser := strconv.Atoi(fields[11])
	system, errSystem := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick, errors.Join(errUser, errSystem)
}

// resident is the memory of the process in MiB.
func (s *subject) resident() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	return float64(kb) / 1024, err
}

// figures of one measurement.
type figures struct {
	p50, p99, p999 time.Duration
	review         time.Duration // CPU time of one
}

func measure(binary, policy string, each time.Duration) error {
	dir, err := os.MkdirTemp("", "kubetorch-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var subjects []*subject
	defer func() {
		for _, s := range subjects {
			s.stop()
		}
	}()
	for name, command := range map[string][]string{
		"constant": {self, "-serve", "constant"}, "controller-runtime": {self, "-serve", "controller-runtime"},
		"kubetorch": {binary, "serve", "--standalone", "--listen", "127.0.0.1:0", "--cert-dir", dir, "--policy", policy},
	} {
		s, err := start(name, command...)
		if err != nil {
			return err
		}
		subjects = append(subjects, s)
	}
	slices.SortFunc(subjects, func(a, b *subject) int { return strings.Compare(a.name, b.name) })
	for _, s := range subjects {
		mib, err := s.resident()
		if err != nil {
			return err
		}
		fmt.Printf("%s: %.0f MiB idle\n", s.name, mib)
	}
	all, err := reviews(subjects)
	if err != nil {
		return err
	}
	fmt.Printf("\n| review | subject | clients | p50 | p99 | p99.9 | CPU s per 10,000 | x constant | MiB |\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range all {
		for _, clients := range []int{1, 8, 64} {
			var limit time.Duration
			for _, s := range subjects {
				f, err := s.load(r, clients, each)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, r.name, err)
				}
				if s.name == "constant" {
					limit = f.review
				}
				mib, err := s.resident()
				if err != nil {
					return err
				}
				fmt.Printf("| %s | %s | %d | %v | %v | %v | %.2f | %.2f | %.0f |\n", r.name, s.name, clients, f.p50.Round(time.Microsecond),
					f.p99.Round(time.Microsecond), f.p999.Round(time.Microsecond), (f.review * 10000).Seconds(), float64(f.review)/float64(limit), mib)
			}
		}
	}
	return nil
}

// load has clients send a review again and again over connections that are kept.
func (s *subject) load(r review, clients int, each time.Duration) (figures, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: clients,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // what is measured is not who answers
	defer client.CloseIdleConnections()
	var failed atomic.Pointer[error]
	run := func(ctx context.Context) []time.Duration {
		var mu sync.Mutex
		var all []time.Duration
		var running sync.WaitGroup
		for range clients {
			running.Go(func() {
				var took []time.Duration
				for ctx.Err() == nil && failed.Load() == nil {
					begun := time.Now()
					if err := s.ask(client, r); err != nil {
						failed.Store(&err)
					}
					took = append(took, time.Since(begun))
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, took...)
			})
		}
		running.Wait()
		return all
	}
	warm, cancel := context.WithTimeout(context.Background(), each/4)
	run(warm)
	cancel()
	before, err := s.cpu()
	if err != nil {
		return figures{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), each)
	defer cancel()
	took := run(ctx)
	after, err := s.cpu()
	if err != nil {
		return figures{}, err
	}
	if failed.Load() != nil {
		return figures{}, *failed.Load()
	}
	slices.Sort(took)
	at := func(permille int) time.Duration { return took[min(len(took)-1, len(took)*permille/1000)] }
	return figures{p50: at(500), p99: at(990), p999: at(999), review: (after - before) / time.Duration(len(took))}, nil
}

// ask sends a review once and checks the answer.
func (s *subject) ask(client *http.Client, r review) error {
	response, err := client.Post(s.url+r.path+"?timeout=10s", "application/json", bytes.NewReader(r.body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	allowed := s.name != "kubetorch" || !r.refused
	if response.StatusCode != http.StatusOK || bytes.Contains(answer, []byte(`"allowed":true`)) != allowed || !bytes.Contains(answer, []byte(reviewUID)) {
		return fmt.Errorf("%s: %s", response.Status, answer)
	}
	if s.name == "kubetorch" && bytes.Contains(answer, []byte(`"patch":`)) != r.patched {
		return fmt.Errorf("a patch is wanted: %t; got %s", r.patched, answer)
	}
	return nil
}

// patchOf asks the webhook for its patch of an object.
func (s *subject) patchOf(r review) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	response, err := client.Post(s.url+r.path, "application/json", bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct{ Response struct{ Patch []byte } }
	err = json.NewDecoder(response.Body).Decode(&answer)
	return answer.Response.Patch, err
}
