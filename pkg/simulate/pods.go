package simulate

import "slices"

// pods are those of one workload.
type pods struct {
	startup Durations
	drain   int // steps that a pod takes to end
	next    int // index of the next startup time

	starting []int // steps at which each becomes ready, ascending
	ready    int
	ending   []int // steps at which each is gone, ascending

	started int64
	peak    int
	steps   int64 // pods x steps, those that start or end included
}

// advance goes to step k.
func (p *pods) advance(k int) {
	for len(p.starting) > 0 && p.starting[0] <= k {
		p.starting = p.starting[1:]
		p.ready++
	}
	for len(p.ending) > 0 && p.ending[0] <= k {
		p.ending = p.ending[1:]
	}
}

// replicas is how many there are, without those that end.
func (p *pods) replicas() int { return len(p.starting) + p.ready }

// scale starts pods, or ends some: first those that start, the latest before the others.
func (p *pods) scale(k, replicas int) {
	for p.replicas() < replicas {
		at := k + int(p.startup.values[p.next]*stepsPerSecond+0.5)
		p.next = (p.next + 1) % len(p.startup.values)
		i, _ := slices.BinarySearch(p.starting, at+1)
		p.starting = slices.Insert(p.starting, i, at)
		p.started++
	}
	for p.replicas() > replicas {
		if n := len(p.starting); n > 0 {
			p.starting = p.starting[:n-1]
			continue
		}
		p.ready--
		if p.drain > 0 {
			p.ending = append(p.ending, k+p.drain)
		}
	}
	p.peak = max(p.peak, p.replicas())
}

// count adds this step to the pod-seconds.
func (p *pods) count() { p.steps += int64(p.replicas() + len(p.ending)) }
