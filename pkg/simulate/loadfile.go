package simulate

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// mostProblems is how many problems of a file are told at once.
const mostProblems = 10

// ParseLoad reads a load from the content of a file: JSON that Prometheus answers to a range
// query, or CSV. Concurrency says what the values of JSON are; CSV says so itself.
func ParseLoad(name string, content []byte, concurrency bool) (*Load, error) {
	var l *Load
	var err error
	if IsPrometheus(content) {
		l, err = parsePrometheus(name, content, concurrency)
	} else {
		l, err = parseCSV(name, content)
	}
	if err != nil {
		return nil, err
	}
	return l, l.check()
}

// IsPrometheus tells whether the content of a file is taken for an answer of Prometheus, and not for CSV.
func IsPrometheus(content []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(content), []byte("{")) }

// CSVSyntax is what parseCSV reads.
const CSVSyntax = "a header time,rps or time,concurrency or time,requests, then rows by time; a time is in seconds, a duration such as 5m, or RFC 3339"

// parseCSV reads columns time and rps, concurrency or requests (as many come until the next
// row). A value holds until the time of the next row, the last one as long as the one
// before it. Lines that begin with # are comments.
func parseCSV(name string, content []byte) (*Load, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, []byte("\ufeff"))))
	r.Comment, r.TrimLeadingSpace, r.FieldsPerRecord = '#', true, -1
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: holds no load; a CSV file has %s", name, CSVSyntax)
	}
	timeAt, valueAt, unit, err := csvColumns(name, header)
	if err != nil {
		return nil, err
	}
	var times, values []float64
	var problems []error
	for len(problems) < mostProblems {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		line, _ := r.FieldPos(0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		at, value, err := csvRow(row, timeAt, valueAt)
		switch n := len(times); {
		case err != nil:
			problems = append(problems, fmt.Errorf("%s, line %d: %w", name, line, err))
			continue
		case n > 0 && at <= times[n-1]:
			problems = append(problems, fmt.Errorf("%s, line %d: time %s is not later than the one before", name, line, row[timeAt]))
			continue
		}
		times, values = append(times, at), append(values, value)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if len(times) < 2 {
		return nil, fmt.Errorf("%s: has %d rows; two or more tell how long one lasts", name, len(times))
	}
	l := &Load{Name: name, Concurrency: unit == "concurrency"}
	for i := range times {
		length := times[min(i+1, len(times)-1)] - times[min(i, len(times)-2)]
		rate := values[i]
		if unit == "requests" {
			rate /= length
		}
		l.Spans = append(l.Spans, Span{length, rate})
	}
	return l, nil
}

// csvColumns finds the columns of a header: that of the time, and that of the load with its unit.
func csvColumns(name string, header []string) (timeAt, valueAt int, unit string, err error) {
	timeAt, valueAt = -1, -1
	for i, h := range header {
		switch h = strings.ToLower(strings.TrimSpace(h)); h {
		case "time":
			timeAt = i
		case "rps", "concurrency", "requests":
			if unit != "" {
				return 0, 0, "", fmt.Errorf("%s: has columns %s and %s; one of them says what the load is", name, unit, h)
			}
			valueAt, unit = i, h
		}
	}
	if timeAt < 0 || valueAt < 0 {
		return 0, 0, "", fmt.Errorf("%s: its header is %q; a CSV file has %s", name, strings.Join(header, ","), CSVSyntax)
	}
	return timeAt, valueAt, unit, nil
}

func csvRow(row []string, timeAt, valueAt int) (at, value float64, err error) {
	if len(row) <= max(timeAt, valueAt) {
		return 0, 0, fmt.Errorf("has %d columns, fewer than the header", len(row))
	}
	if at, err = csvTime(strings.TrimSpace(row[timeAt])); err != nil {
		return 0, 0, err
	}
	text := strings.TrimSpace(row[valueAt])
	value, err = strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(value) || value < 0 || value > mostRPS {
		return 0, 0, fmt.Errorf("%q is no rate; allowed: 0 to %g", text, mostRPS)
	}
	return at, value, nil
}

// csvTime is a time in seconds.
func csvTime(text string) (float64, error) {
	if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
		return v, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return d.Seconds(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return float64(t.UnixNano()) / 1e9, nil
	}
	return 0, fmt.Errorf("%q is no time; allowed: seconds, a duration such as 5m, or RFC 3339", text)
}

// rangeAnswer is what Prometheus answers to /api/v1/query_range.
type rangeAnswer struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		ResultType string `json:"resultType"`
		Result     []struct {
			Values [][2]any `json:"values"`
		} `json:"result"`
	} `json:"data"`
}

// sumsOf adds up the samples of all series by their times. nan is how many are no number, which count as 0.
func sumsOf(name string, a *rangeAnswer) (sums map[float64]float64, nan int, err error) {
	sums = map[float64]float64{}
	for i, series := range a.Data.Result {
		for j, sample := range series.Values {
			at, isTime := sample[0].(float64)
			text, isText := sample[1].(string)
			value, err := strconv.ParseFloat(text, 64)
			if isTime && isText && math.IsNaN(value) {
				nan++
				value = 0
			}
			if !isTime || !isText || err != nil || value < 0 || value > mostRPS {
				text, _ := json.Marshal(sample)
				return nil, 0, fmt.Errorf("%s: data.result[%d].values[%d]: %s is no sample of a load; allowed: a time, and a number from 0 to %g as text", name, i, j, text, mostRPS)
			}
			sums[at] += value
		}
	}
	return sums, nan, nil
}

// readAnswer reads JSON, and names every value of another type.
func readAnswer(content []byte, a *rangeAnswer) error {
	o, err := manifest.Decode(content)
	if err != nil {
		return errors.New("it is no JSON object")
	}
	if errs := manifest.CheckType(o, reflect.TypeFor[rangeAnswer](), nil, nil); len(errs) > 0 {
		return errors.New(manifest.Together(errs))
	}
	if json.Unmarshal(content, a) != nil {
		return errors.New("values of data.result must be pairs of a time and a number as text")
	}
	return nil
}

// parsePrometheus adds up all series of a range query. A sample holds for the query's step,
// the shortest time between two of them; where samples are missing there was no load.
func parsePrometheus(name string, content []byte, concurrency bool) (*Load, error) {
	var a rangeAnswer
	if err := readAnswer(content, &a); err != nil {
		return nil, fmt.Errorf("%s: is no answer of Prometheus to a range query: %w", name, err)
	}
	if a.Status != "success" || a.Data.ResultType != "matrix" {
		return nil, fmt.Errorf("%s: is no answer of Prometheus to a range query: status %q, resultType %q %s; expected success and matrix", name, a.Status, a.Data.ResultType, a.Error)
	}
	sums, nan, err := sumsOf(name, &a)
	if err != nil {
		return nil, err
	}
	if len(sums) < 2 {
		return nil, fmt.Errorf("%s: has %d samples; two or more tell how long one lasts", name, len(sums))
	}
	times := make([]float64, 0, len(sums))
	for at := range sums {
		times = append(times, at)
	}
	slices.Sort(times)
	length := math.Inf(1)
	for i := range times[1:] {
		length = min(length, times[i+1]-times[i])
	}
	l := &Load{Name: name, Concurrency: concurrency}
	gaps := 0
	for i, at := range times {
		l.Spans = append(l.Spans, Span{length, sums[at]})
		if i+1 < len(times) && times[i+1]-at > length*1.01 {
			gaps++
			l.Spans = append(l.Spans, Span{times[i+1] - at - length, 0})
		}
	}
	if n := len(a.Data.Result); n > 1 {
		l.Warnings = append(l.Warnings, fmt.Sprintf("%s: its %d series are added up", name, n))
	}
	if nan > 0 {
		l.Warnings = append(l.Warnings, fmt.Sprintf("%s: %d samples are NaN, as of a division by nothing; they count as no load", name, nan))
	}
	if gaps > 0 {
		l.Warnings = append(l.Warnings, fmt.Sprintf("%s: samples are missing at %d places; they count as no load", name, gaps))
	}
	return l, nil
}
