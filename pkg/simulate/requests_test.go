package simulate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func constant(seconds float64) Durations { return Durations{values: []float64{seconds}} }

// served runs requests of a constant service time through a number of places.
func served(service Durations, perStep int64, steps int, places float64) *requests {
	r := newRequests(service)
	for k := range steps {
		r.begin(k)
		r.arrive(k, perStep)
		r.start(k, places)
	}
	return r
}

func TestPlacesServeAsManyRequestsAsTheyHaveTimeFor(t *testing.T) {
	for name, test := range map[string]struct {
		service Durations
		places  float64
		want    float64 // per second
	}{
		"one place, a second each":                     {constant(1), 1, 1},
		"one place, a tenth of a second each":          {constant(0.1), 1, 10},
		"one place, no multiple of a step":             {constant(1.1), 1, 1 / 1.1},
		"three places, no multiple of a step":          {constant(0.3), 3, 10},
		"one place, longer than a minute":              {constant(61.3), 1, 1 / 61.3},
		"seven places, two lengths":                    {Durations{values: []float64{0.2, 3.7}}, 7, 7 / 1.95},
		"a hundred places, requests shorter than step": {constant(0.03), 100, 100 / 0.03},
	} {
		t.Run(name, func(t *testing.T) {
			const steps = 100_000
			r := served(test.service, 1200, steps, test.places)
			assert.InEpsilon(t, test.want, float64(r.served)/(steps*step), 0.005)
			assert.LessOrEqual(t, r.busy, test.places+1e-6)
		})
	}
}

func TestRequestsWaitForAPlaceAndAreServedInTheirOrder(t *testing.T) {
	r := newRequests(constant(0.5)) // two steps
	for k, arrive := range []int64{3, 0, 0, 0, 0, 0, 1} {
		r.begin(k)
		r.arrive(k, arrive)
		r.start(k, 1)
	}
	assert.Equal(t, []int64{2, 0, 1, 0, 1}, r.waits, "none, then two steps, then four; and the last again none")
	assert.EqualValues(t, 2, r.waited)
	assert.EqualValues(t, 6, r.waitedStep)
	assert.InDelta(t, 1., r.percentile(1), 1e-9)
	assert.InDelta(t, 0., r.percentile(0.5), 1e-9)
}

// TestTimeInServiceIsKept: what places are taken is what requests take, whatever comes when.
func TestTimeInServiceIsKept(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		service := Durations{values: []float64{random.Float64() * 3, random.Float64() * 0.2, random.ExpFloat64() * 10}}
		r := newRequests(service)
		places, taken, came := 1+random.Float64()*20, 0., int64(0)
		const steps = 5000
		for k := range steps {
			r.begin(k)
			if k < steps/2 && random.IntN(4) == 0 {
				n := random.Int64N(8)
				r.arrive(k, n)
				came += n
			}
			if k > steps/2 {
				places = math.Inf(1)
			}
			r.start(k, places)
			taken += r.busy
		}
		require.Equal(t, came, r.served)
		require.Zero(t, r.queued)
		want := 0.
		for i := range came {
			want += service.values[int(i)%3] * stepsPerSecond
		}
		// Requests that start together have one service time, so that their number by
		// length is not exact.
		require.InEpsilon(t, want, taken, 0.15)
		total := int64(0)
		for _, n := range r.waits {
			total += n
		}
		require.Equal(t, came, total)
	}
}

func TestPods(t *testing.T) {
	p := pods{startup: constant(1), drain: 8, ready: 2}
	p.scale(0, 4)
	assert.Equal(t, []int{4, 4}, p.starting)
	p.advance(3)
	assert.Equal(t, 2, p.ready)
	p.scale(3, 3)
	assert.Equal(t, []int{4}, p.starting, "a pod that starts ends first, and at once")
	p.advance(4)
	assert.Equal(t, 3, p.ready)
	p.scale(4, 1)
	assert.Equal(t, []int{12, 12}, p.ending, "ready ones take their time")
	p.count()
	assert.EqualValues(t, 3, p.steps, "and are counted until then")
	p.advance(12)
	p.count()
	assert.EqualValues(t, 4, p.steps)
	assert.Equal(t, 4, p.peak)
	assert.EqualValues(t, 2, p.started)
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]float64{"800ms": 0.8, "0s": 0, "uniform:1s,3s": 2, "exponential:2s": 2, "lognormal:1s,p99=1s": 1, "uniform:0s,24h": 43200} {
		d, err := ParseDurations(text)
		require.NoError(t, err, text)
		assert.InDelta(t, want, d.Mean(), max(want*0.003, 1e-9), text)
		assert.Equal(t, text, d.String())
	}
	d, err := ParseDurations("lognormal:800ms,p99=5s")
	require.NoError(t, err)
	sigma := math.Log(5/0.8) / 2.3263478740408408
	assert.InEpsilon(t, 0.8*math.Exp(sigma*sigma/2), d.Mean(), 0.01)
	for text, want := range map[string]string{
		"":                       `"" is no duration from 0s to 24h`,
		"fast":                   `"fast" is no duration from 0s to 24h`,
		"-1s":                    `"-1s" is no duration from 0s to 24h`,
		"25h":                    `"25h" is no duration from 0s to 24h`,
		"normal:1s,2s":           `is no duration or distribution; allowed:`,
		"exponential:1s,2s":      `is no duration or distribution; allowed:`,
		"uniform:3s,1s":          `the second duration is below the first`,
		"lognormal:1s,2s":        `lognormal takes a median and p99=`,
		"lognormal:0s,p99=2s":    `the median must be above 0s`,
		"lognormal:3s,p99=2s":    `the median must be above 0s`,
		"lognormal:1s,p99=x":     `"x" is no duration`,
		"exponential:9999999999": `is no duration from 0s to 24h`,
	} {
		_, err := ParseDurations(text)
		assert.ErrorContains(t, err, want, text)
	}
}
