package simulate_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/simulate"
)

func TestShapes(t *testing.T) {
	for text, want := range map[string][]simulate.Span{
		"constant:20":                                         {{Seconds: 3600, Rate: 20}},
		"constant:20rps,for=90s":                              {{Seconds: 90, Rate: 20}},
		"constant:rate=0.5,for=2h":                            {{Seconds: 7200, Rate: 0.5}},
		"spike:1,50":                                          {{Seconds: 600, Rate: 1}, {Seconds: 300, Rate: 50}, {Seconds: 2700, Rate: 1}},
		"spike:0,50,at=0s,length=10s,for=1m":                  {{Seconds: 10, Rate: 50}, {Seconds: 50, Rate: 0}},
		"spike:base=0,high=5,at=50s,length=1m,for=1m":         {{Seconds: 50, Rate: 0}, {Seconds: 10, Rate: 5}},
		"daily:0,10,for=1m":                                   {{Seconds: 60, Rate: 0.6736}},
		"daily:4,4,for=90s,peak=1h,unit=concurrency,unit=rps": {{Seconds: 60, Rate: 4}, {Seconds: 30, Rate: 4}},
	} {
		l, err := simulate.ParseShape(text)
		require.NoError(t, err, text)
		require.Len(t, l.Spans, len(want), text)
		for i := range want {
			assert.InDelta(t, want[i].Seconds, l.Spans[i].Seconds, 1e-9, text)
			assert.InDelta(t, want[i].Rate, l.Spans[i].Rate, 1e-2, text)
		}
		assert.False(t, l.Concurrency)
		assert.True(t, simulate.IsShape(text))
	}
	for text, want := range map[string]string{
		"constant:":            `"" is no rate`,
		"constant:fast":        `"fast" is no rate`,
		"constant:-1":          `"-1" is no rate`,
		"constant:NaN":         `"NaN" is no rate`,
		"constant:1,2":         `"2" is one rate too many`,
		"constant:1e9":         `a rate of 1e+09; allowed: 0 to 1e+06`,
		"constant:1,for=0s":    `lasts 0s; a load must last 1s or more`,
		"constant:1,for=1d":    `"1d" is no duration such as 90m`,
		"constant:1,for=9000h": `a load may last up to 366 days`,
		"constant:1,until=3h":  `"until=3h" is not known`,
		"constant:1,unit=rpm":  `unit "rpm" is not rps or concurrency`,
		"spike:1":              `states 1 of 2 rates (base, high)`,
		"spike:high=1,base=2":  `high=1 stands at the wrong place`,
		"spike:1,2,at=2h":      `a spike must start within it`,
		"weekly:1,2":           `"weekly:1,2" is no shape of a load; allowed: constant:RATE`,
	} {
		_, err := simulate.ParseShape(text)
		assert.ErrorContains(t, err, want, text)
	}
	assert.False(t, simulate.IsShape("loads/constant.csv"))
}

func TestLoadFiles(t *testing.T) {
	const prometheus = `{"status":"success","data":{"resultType":"matrix","result":[`
	for name, test := range map[string]struct {
		content  string
		want     []simulate.Span
		unit     bool
		warnings []string
	}{
		"requests per second":            {"time,rps\n0,1\n10,2.5\n40,0\n", []simulate.Span{{10, 1}, {30, 2.5}, {30, 0}}, false, nil},
		"other columns and comments":     {"# a load\nhost, Time ,RPS\na,0s,1\nb,1m,2\n", []simulate.Span{{60, 1}, {60, 2}}, false, nil},
		"a mark of the byte order":       {"\ufefftime,concurrency\r\n0,3\r\n5,4\r\n", []simulate.Span{{5, 3}, {5, 4}}, true, nil},
		"requests in an interval":        {"time,requests\n2026-01-01T00:00:00Z,60\n2026-01-01T00:01:00Z,30\n", []simulate.Span{{60, 1}, {60, 0.5}}, false, nil},
		"Prometheus's answer":            {prometheus + `{"metric":{},"values":[[100,"1"],[130,"2"]]}]}}`, []simulate.Span{{30, 1}, {30, 2}}, false, nil},
		"several series are added up":    {prometheus + `{"values":[[100,"1"],[130,"2"]]},{"values":[[100,"4"],[130,"0.5"]]}]}}`, []simulate.Span{{30, 5}, {30, 2.5}}, false, []string{"f: its 2 series are added up"}},
		"where samples are missing is 0": {prometheus + `{"values":[[0,"1"],[10,"2"],[40,"3"]]}]}}`, []simulate.Span{{10, 1}, {10, 2}, {20, 0}, {10, 3}}, false, []string{"f: samples are missing at 1 places; they count as no load"}},
		"NaN is no load": {prometheus + `{"values":[[0,"NaN"],[10,"2"],[20,"NaN"]]},{"values":[[10,"NaN"],[20,"NaN"]]}]}}`, []simulate.Span{{10, 0}, {10, 2}, {10, 0}}, false,
			[]string{"f: its 2 series are added up", "f: 4 samples are NaN, as of a division by nothing; they count as no load"}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := simulate.ParseLoad("f", []byte(test.content), false)
			require.NoError(t, err)
			assert.Equal(t, &simulate.Load{Name: "f", Concurrency: test.unit, Spans: test.want, Warnings: test.warnings}, l)
		})
	}
	for name, test := range map[string]struct{ content, want string }{
		"nothing":               {"", "f: holds no load; a CSV file has a header"},
		"another header":        {"when,rps\n0,1\n", `f: its header is "when,rps"; a CSV file has a header time,rps`},
		"two loads":             {"time,rps,concurrency\n0,1,1\n", "f: has columns rps and concurrency"},
		"one row":               {"time,rps\n0,1\n", "f: has 1 rows; two or more tell how long one lasts"},
		"all that is wrong":     {"time,rps\n0,x\n1\n2,-1\nlate,1\n3,NaN\n", "f, line 2: \"x\" is no rate; allowed: 0 to 1e+06\nf, line 3: has 1 columns, fewer than the header\nf, line 4: \"-1\" is no rate; allowed: 0 to 1e+06\nf, line 5: \"late\" is no time; allowed: seconds, a duration such as 5m, or RFC 3339\nf, line 6: \"NaN\" is no rate; allowed: 0 to 1e+06"},
		"going back in time":    {"time,rps\n10,1\n5,1\n", "f, line 3: time 5 is not later than the one before"},
		"too long":              {"time,rps\n0,1\n1e9,1\n", "f: lasts 23148 days; a load may last up to 366"},
		"an answer that failed": {`{"status":"error","error":"bad query"}`, `status "error", resultType "" bad query; expected success and matrix`},
		"an instant query":      {`{"status":"success","data":{"resultType":"vector"}}`, `resultType "vector"`},
		"no JSON":               {`{"status":`, "f: is no answer of Prometheus to a range query: it is no JSON object"},
		"values of another type": {`{"status":"success","data":{"resultType":5,"result":[{"values":{}},7]}}`,
			`f: is no answer of Prometheus to a range query: data.result[0].values: Invalid value: "an object": must be a list; data.result[1]: Invalid value: 7: must be an object with values; data.resultType: Invalid value: 5: must be a string`},
		"samples that are no pairs": {prometheus + `{"values":[5]}]}}`, "f: is no answer of Prometheus to a range query: values of data.result must be pairs"},
		"a sample that is none":     {prometheus + `{"values":[[100,"+Inf"],[130,"2"]]}]}}`, "f: data.result[0].values[0]: [100,\"+Inf\"] is no sample of a load"},
		"a sample without value":    {prometheus + `{"values":[[100],[130,"2"]]}]}}`, "f: data.result[0].values[0]: [100,null] is no sample of a load"},
		"no samples":                {prometheus + `]}}`, "f: has 0 samples"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := simulate.ParseLoad("f", []byte(test.content), false)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestArrivals(t *testing.T) {
	load, err := simulate.ParseShape("spike:2,10,at=10s,length=5s,for=20s")
	require.NoError(t, err)
	count := func(a simulate.Arrivals, from, to int) (sum int) {
		for _, n := range a[from*4 : to*4] {
			sum += int(n)
		}
		return sum
	}
	even, err := load.Even(1)
	require.NoError(t, err)
	require.Len(t, even, 80)
	assert.InDelta(t, 20, count(even, 0, 10), 1)
	assert.InDelta(t, 50, count(even, 10, 15), 1)
	assert.Equal(t, 80, count(even, 0, 20))

	load, err = simulate.ParseShape("constant:50,for=10000s")
	require.NoError(t, err)
	random, err := load.Poisson(1, 3)
	require.NoError(t, err)
	again, err := load.Poisson(1, 3)
	require.NoError(t, err)
	assert.Equal(t, random, again, "the same seed")
	n := float64(count(random, 0, 10000))
	assert.InDelta(t, 500000, n, 3000)
	square := 0.
	for _, v := range random {
		square += (float64(v) - 12.5) * (float64(v) - 12.5)
	}
	assert.InEpsilon(t, 12.5, square/float64(len(random)), 0.05, "the variance of a Poisson process is its mean")

	load, err = simulate.ParseShape("constant:4,for=100s,unit=concurrency")
	require.NoError(t, err)
	byTime, err := load.Even(2)
	require.NoError(t, err)
	assert.Equal(t, 200, count(byTime, 0, 100), "four at a time, two seconds each")
	_, err = load.Even(0)
	assert.ErrorContains(t, err, "is a concurrency, so requests must take longer than 0s")
	_, err = load.Even(1e-9)
	assert.ErrorContains(t, err, "requests per second if each takes")
	assert.True(t, strings.HasPrefix(load.Name, "constant"))
}
