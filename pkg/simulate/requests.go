package simulate

import "math"

// The time of a simulation goes in steps of a quarter of a second.
const (
	stepsPerSecond = 4
	step           = 1. / stepsPerSecond // seconds
)

// cohort are requests that arrived in one step.
type cohort struct {
	step  int
	count int64
}

// requests are those of one workload: a queue, first in, first out, and those being served.
//
// What is served is kept as how many places it takes in each step: one, or the part of a
// step that a request takes in the step in which it ends. A place that becomes free within
// a step is taken from then on.
type requests struct {
	service Durations
	next    int // index of the next service time

	queue  []cohort
	head   int // of the queue
	queued int64
	busy   float64   // places taken in this step
	change []float64 // of busy in the steps to come, a ring by step
	now    int       // where this step is in the ring

	waits      []int64 // requests that waited, by whole steps
	served     int64
	waited     int64
	waitedStep int64
}

// maxWait is how long a wait is told apart, in steps; longer ones count as that.
const maxWait = 4 * 3600 * stepsPerSecond

func newRequests(service Durations) *requests {
	return &requests{service: service, change: make([]float64, int(service.longest()*stepsPerSecond)+4), waits: make([]int64, 1)}
}

// begin is the start of step k: what has ended frees its places.
func (r *requests) begin(k int) {
	r.now = k % len(r.change)
	r.busy += r.change[r.now]
	r.change[r.now] = 0
	if r.busy < 1e-6 { // what is left of adding fractions
		r.busy = 0
	}
}

// arrive queues requests.
func (r *requests) arrive(k int, count int64) {
	if count > 0 {
		r.queue = append(r.queue, cohort{k, count})
		r.queued += count
	}
}

// start gives the free of all places to those that wait longest. places is +Inf where pods
// have no limit.
func (r *requests) start(k int, places float64) {
	for r.head < len(r.queue) && places-r.busy > 1e-9 {
		head := &r.queue[r.head]
		n := r.place(head.count, places-r.busy)
		if wait := k - head.step; wait > 0 {
			r.wait(wait, n)
		} else {
			r.waits[0] += n
		}
		r.served += n
		r.queued -= n
		if head.count -= n; head.count == 0 {
			r.head++
		}
	}
	switch {
	case r.head == len(r.queue):
		r.queue, r.head = r.queue[:0], 0
	case r.head > len(r.queue)/2:
		r.queue, r.head = r.queue[:copy(r.queue, r.queue[r.head:])], 0
	}
}

// wait notes that requests started some steps after they came.
func (r *requests) wait(steps int, n int64) {
	r.waited += n
	r.waitedStep += n * int64(steps)
	if steps = min(steps, maxWait); steps >= len(r.waits) {
		r.waits = append(r.waits, make([]int64, steps+1-len(r.waits))...)
	}
	r.waits[steps] += n
}

// place starts up to count requests that have the same service time, and tells how many.
func (r *requests) place(count int64, free float64) int64 {
	length := r.service.values[r.next] * stepsPerSecond
	n := max(1, count/int64(len(r.service.values)))
	if r.next++; r.next == len(r.service.values) {
		r.next = 0
	}
	first := min(length, 1) // of a step, that one takes now
	if fits := free / first; float64(n) > fits {
		whole := math.Floor(fits)
		if whole < 1 {
			r.occupy(1, length, free) // the rest of it is served later
			return 1
		}
		n = int64(whole)
	}
	r.occupy(float64(n), length, first)
	return n
}

// occupy takes places for n requests of the given length in steps, of which the part first
// falls into this step.
func (r *requests) occupy(n, length, first float64) {
	r.busy += n * first
	rest := length - first
	if rest <= 1e-9 {
		r.in(1, -n*first)
		return
	}
	whole := math.Floor(rest)
	part := rest - whole
	if whole == 0 {
		r.in(1, n*(part-first))
		r.in(2, -n*part)
		return
	}
	r.in(1, n*(1-first))
	r.in(1+int(whole), n*(part-1))
	r.in(2+int(whole), -n*part)
}

// in changes the places that are taken from some steps on, fewer than the ring has.
func (r *requests) in(steps int, change float64) {
	if change == 0 {
		return
	}
	at := r.now + steps
	if at >= len(r.change) {
		at -= len(r.change)
	}
	r.change[at] += change
}

// unserved counts those that still wait at the end, until then.
func (r *requests) unserved(k int) int64 {
	left := r.queued
	for _, c := range r.queue[r.head:] {
		if k > c.step {
			r.wait(k-c.step, c.count)
		}
	}
	r.queue, r.head, r.queued = nil, 0, 0
	return left
}

// percentile is the wait in seconds that the given share of requests does not exceed.
func (r *requests) percentile(share float64) float64 {
	total := int64(0)
	for _, n := range r.waits {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank, seen := int64(math.Ceil(share*float64(total))), int64(0)
	for steps, n := range r.waits {
		if seen += n; seen >= rank {
			return float64(steps) * step
		}
	}
	return float64(len(r.waits)-1) * step
}
