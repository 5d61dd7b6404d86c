package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/kubetorch/webhook/bench/reviews"
)

// Server is a webhook that is measured.
type Server struct {
	Name string
	// Address is where it serves HTTPS, PID its process.
	Address string
	PID     int
	// Mutate and Validate are the paths of the two steps.
	Mutate, Validate string
	// Decides is false for one that admits everything as it is.
	Decides bool
}

// Figures of one measurement.
type Figures struct {
	Reviews        int
	P50, P99, P999 time.Duration
	// Review is the CPU time of one, Resident the memory in MiB afterwards.
	Review   time.Duration
	Resident float64
}

// Line is Go benchmark text.
func (f Figures) Line(name string) string {
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	return fmt.Sprintf("Benchmark%s %d %.1f p50-us %.1f p99-us %.1f p99.9-us %.4f cpu-s/10k %.1f rss-MiB\n",
		name, f.Reviews, us(f.P50), us(f.P99), us(f.P999), 10000*f.Review.Seconds(), f.Resident)
}

// Try sends a case once and checks the answer.
func (s *Server) Try(c reviews.Case) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	answer, err := s.ask(&http.Client{Transport: transport, Timeout: 30 * time.Second}, c)
	if err == nil && s.Decides {
		err = c.Check(answer)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	return nil
}

// Measure has a number of clients, each with a connection of its own that is kept, send one
// case over and over: a fourth of the time to warm up, and then for the time given.
func (s *Server) Measure(c reviews.Case, clients int, each time.Duration) (Figures, error) {
	var connected []*http.Client
	for range clients {
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 1}
		connected = append(connected, &http.Client{Transport: transport, Timeout: 30 * time.Second})
		defer transport.CloseIdleConnections()
	}
	if err := s.Try(c); err != nil {
		return Figures{}, err
	}
	if _, err := s.run(connected, c, each/4); err != nil {
		return Figures{}, err
	}
	before, err := CPU(s.PID)
	if err != nil {
		return Figures{}, err
	}
	took, err := s.run(connected, c, each)
	if err != nil {
		return Figures{}, err
	}
	after, err := CPU(s.PID)
	if err != nil {
		return Figures{}, err
	}
	slices.Sort(took)
	at := func(permille int) time.Duration { return took[min(len(took)-1, len(took)*permille/1000)] }
	f := Figures{Reviews: len(took), P50: at(500), P99: at(990), P999: at(999), Review: (after - before) / time.Duration(len(took))}
	f.Resident, err = Resident(s.PID)
	return f, err
}

// run gives the time that each request took.
func (s *Server) run(clients []*http.Client, c reviews.Case, d time.Duration) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var (
		mu     sync.Mutex
		all    []time.Duration
		failed error
	)
	var running sync.WaitGroup
	for _, client := range clients {
		running.Go(func() {
			var took []time.Duration
			var err error
			for len(took) == 0 || ctx.Err() == nil {
				begun := time.Now()
				if _, err = s.ask(client, c); err != nil {
					break
				}
				took = append(took, time.Since(begun))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if err != nil {
				failed = fmt.Errorf("%s, %s: %w", s.Name, c.Name, err)
			}
		})
	}
	running.Wait()
	return all, failed
}

var (
	allowed = []byte(`"allowed":true`)
	uid     = []byte(reviews.UID)
)

// ask sends a review once. It looks at the verdict only, since the two share processors.
func (s *Server) ask(client *http.Client, c reviews.Case) ([]byte, error) {
	path := s.Mutate
	if c.Step == reviews.Validate {
		path = s.Validate
	}
	response, err := client.Post("https://"+s.Address+path+"?timeout=10s", "application/json", bytes.NewReader(c.Body))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	want := !s.Decides || !c.Refused
	if response.StatusCode != http.StatusOK || bytes.Contains(answer, allowed) != want || !bytes.Contains(answer, uid) {
		return nil, fmt.Errorf("%s: %s", response.Status, answer)
	}
	return answer, nil
}
