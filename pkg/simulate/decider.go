package simulate

import "time"

// Decider is what a simulation of class kpa decides by, for those who have statistics of their own.
type Decider struct{ k *kpa }

// NewDecider makes one for a workload that has no pods yet.
func NewDecider(s ScalingSettings) *Decider { return &Decider{newKPA(s)} }

// Record takes what the pods and the activator report at a time: requests at a time, and those that came in the last
// second.
func (d *Decider) Record(now time.Time, concurrency, requests float64) {
	d.k.observe(now, stat{concurrency: concurrency, requests: requests})
}

// Averages are what is decided by, over the stable and the panic window; known is false if pods are scraped and
// reported nothing in all of that time, so that nothing is decided.
func (d *Decider) Averages(now time.Time) (stable, burst float64, known bool) {
	return d.k.stable.WindowAverage(now), d.k.burst.WindowAverage(now), !(d.k.scraped && d.k.stable.IsEmpty(now))
}

// Tick decides.
func (d *Decider) Tick(now time.Time, ready int) { d.k.tick(now, ready) }

// Desired is the number of pods that was decided last, before scale bounds; -1 if none was.
func (d *Decider) Desired() int { return d.k.desired() }
