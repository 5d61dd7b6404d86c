package observed_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/test/pods/observed"
)

// course has a sample a second: so many pods, all of them ready.
func course(pods ...int) (samples []observed.Sample) {
	for i, n := range pods {
		samples = append(samples, observed.Sample{At: time.Duration(i) * time.Second, PodCount: observed.PodCount{Ready: n, Live: n, All: n}})
	}
	return samples
}

func TestApart(t *testing.T) {
	for name, c := range map[string]struct {
		a, b []observed.Sample
		pods int
		want time.Duration
	}{
		"equal courses":                             {a: course(1, 1, 3, 3), b: course(1, 1, 3, 3)},
		"a step that comes two seconds later":       {a: course(1, 1, 3, 3, 3, 3), b: course(1, 1, 1, 1, 3, 3), want: 2 * time.Second},
		"a step that comes two seconds earlier":     {a: course(1, 1, 1, 1, 3, 3), b: course(1, 1, 3, 3, 3, 3), want: 2 * time.Second},
		"a step that is taken in two":               {a: course(1, 1, 2, 3, 3), b: course(1, 1, 3, 3, 3), want: time.Second},
		"one pod more, which is not allowed":        {a: course(1, 1, 2, 2, 2), b: course(1, 1, 1, 1, 1), want: 4 * time.Second},
		"one pod more, which is allowed":            {a: course(1, 1, 2, 2, 2), b: course(1, 1, 1, 1, 1), pods: 1},
		"a peak that only the first one has":        {a: course(1, 9, 1, 1, 1), b: course(1, 1, 1, 1, 1), pods: 1, want: 4 * time.Second},
		"a peak that only the second one has":       {a: course(1, 1, 1, 1, 1), b: course(1, 9, 1, 1, 1), pods: 1, want: 4 * time.Second},
		"a peak that comes later, give or take one": {a: course(1, 9, 1, 1, 1), b: course(1, 1, 1, 8, 1), pods: 1, want: 2 * time.Second},
		"samples at other moments":                  {a: course(1, 1, 3, 3), b: append(course(1), observed.Sample{At: 2 * time.Second, PodCount: observed.PodCount{Live: 3}}, observed.Sample{At: 3 * time.Second, PodCount: observed.PodCount{Live: 3}})},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, observed.Apart(c.a, c.b, observed.Live, c.pods))
		})
	}
}

func TestPodSecondsCountWhatHoldsUntilTheNextSample(t *testing.T) {
	assert.InDelta(t, 1+1+3, observed.PodSeconds(course(1, 1, 3, 7), observed.Ready), 1e-9)
	assert.Zero(t, observed.PodSeconds(nil, observed.Ready))
}

func TestBetweenCountsTimesFromItsBegin(t *testing.T) {
	assert.Equal(t, course(3, 4), observed.Between(course(1, 2, 3, 4, 5), 2*time.Second, 3*time.Second))
}

func TestSettled(t *testing.T) {
	starting := course(2, 3, 3, 3)
	starting[1].Ready = 2 // the third is not ready yet
	for name, c := range map[string]struct {
		samples []observed.Sample
		pods    int
		since   time.Duration
	}{
		"nothing":                       {},
		"since the last change":         {samples: course(1, 1, 4, 4, 4), pods: 4, since: 2 * time.Second},
		"since all that live are ready": {samples: starting, pods: 3, since: time.Second},
		"not while one starts":          {samples: starting[:2], pods: 2},
	} {
		t.Run(name, func(t *testing.T) {
			pods, since := observed.Settled(c.samples)
			assert.Equal(t, c.pods, pods)
			assert.Equal(t, c.since, since)
		})
	}
}

func TestShrinking(t *testing.T) {
	first, last := observed.Shrinking(course(3, 3, 3, 3, 2, 2, 1), 2*time.Second, 3, 1)
	assert.Equal(t, time.Second, first)
	assert.Equal(t, 3*time.Second, last)
	assert.Equal(t, 4*time.Second, observed.WhenReady(course(0, 1, 1, 2, 3, 3), 3))
}
