// Package observed holds what tests with pods observe: how many pods there were when, how that
// compares with what was simulated, and the page and pictures that show it.
package observed

import "time"

// PodCount is the number of pods by state.
type PodCount struct {
	// Ready pods serve; Live ones have not been told to end; All are there in any state.
	Ready, Live, All int
}

// Sample is the number of pods at a moment.
type Sample struct {
	At time.Duration // since observation began
	PodCount
}

// Value is what a comparison or a picture takes of a sample.
type Value func(Sample) int

// Ready takes the pods that serve.
func Ready(s Sample) int { return s.Ready }

// Live takes the pods that have not been told to end.
func Live(s Sample) int { return s.Live }

// Most is the largest value of samples.
func Most(samples []Sample, value Value) (most int) {
	for _, s := range samples {
		most = max(most, value(s))
	}
	return most
}

// Settled is the number of live and ready pods at the end of the samples, and for how long
// it was the same.
func Settled(samples []Sample) (pods int, since time.Duration) {
	if len(samples) == 0 {
		return 0, 0
	}
	last := samples[len(samples)-1]
	for i := len(samples) - 1; i >= 0 && samples[i].Ready == last.Ready && samples[i].Live == last.Ready; i-- {
		since = last.At - samples[i].At
	}
	return last.Ready, since
}

// Shrinking finds when the first pod went, and when as few were left as in the end. A
// moment is relative to the end of the load.
func Shrinking(samples []Sample, end time.Duration, full, low int) (first, last time.Duration) {
	for _, s := range samples {
		if s.At < end {
			continue
		}
		if s.Live >= full {
			first = s.At - end
		}
		if s.Live > low {
			last = s.At - end
		}
	}
	return first, last
}

// WhenReady is when there were so many ready pods first, or when the samples end.
func WhenReady(samples []Sample, pods int) (at time.Duration) {
	for _, s := range samples {
		if at = s.At; s.Ready >= pods {
			break
		}
	}
	return at
}

// Between are the samples of a time, with times since its begin.
func Between(samples []Sample, begin, end time.Duration) (some []Sample) {
	for _, s := range samples {
		if s.At >= begin && s.At <= end {
			s.At -= begin
			some = append(some, s)
		}
	}
	return some
}

// PodSeconds is the number of pods times the time that there were so many.
func PodSeconds(samples []Sample, value Value) (sum float64) {
	for i, s := range samples[:max(len(samples)-1, 0)] {
		sum += float64(value(s)) * (samples[i+1].At - s.At).Seconds()
	}
	return sum
}

// Apart is how far two courses are apart in time: the shortest time within which each, at every
// moment, was where the other is, or the other passed by there, give or take some pods. It is
// the length of the courses if they never meet.
func Apart(a, b []Sample, value Value, pods int) time.Duration {
	return max(lag(a, b, value, pods), lag(b, a, value, pods))
}

// lag is Apart for the moments of one course.
func lag(a, b []Sample, value Value, pods int) (most time.Duration) {
	for _, s := range a {
		most = max(most, nearest(s, b, value, pods))
	}
	return most
}

// nearest is the shortest time before and after a sample in which a course has a value at or
// below it and one at or above it, give or take some pods.
func nearest(s Sample, course []Sample, value Value, pods int) time.Duration {
	below, above := never(course), never(course)
	for i, c := range course {
		// A value holds until the next sample.
		away := c.At - s.At
		if away < 0 {
			away = 0
			if i+1 < len(course) && course[i+1].At <= s.At {
				away = s.At - course[i+1].At
			}
		}
		if value(c) <= value(s)+pods {
			below = min(below, away)
		}
		if value(c) >= value(s)-pods {
			above = min(above, away)
		}
	}
	return max(below, above)
}

func never(course []Sample) time.Duration {
	if len(course) == 0 {
		return 0
	}
	return course[len(course)-1].At
}
