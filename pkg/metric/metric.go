// Package metric has the table of all metrics of this program: what is registered, the
// reference in docs/metrics.md, and what dashboards and alerts may name all come from it.
package metric

import (
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// prefix starts every name.
const prefix = "kubetorch_webhook_"

// Instrument is what kind of metric it is.
type Instrument string

// The kinds that are in use.
const (
	Counter   Instrument = "counter"
	Gauge     Instrument = "gauge"
	Histogram Instrument = "histogram"
)

// Metric is one metric. Values are in the unit at the end of its name.
type Metric struct {
	Name string
	Kind Instrument
	Help string
	// Labels are in the order in which values are given.
	Labels []string
	// Buckets are the upper bounds of a histogram's buckets.
	Buckets []float64
	// Leader is whether only the replica that leads has values.
	Leader bool
}

var table []*Metric

// Table lists all metrics in the order of the reference.
func Table() []*Metric { return slices.Clone(table) }

func define(kind Instrument, name, help string, labels ...string) *Metric {
	m := &Metric{Name: prefix + name, Kind: kind, Help: help, Labels: labels}
	table = append(table, m)
	return m
}

func (m *Metric) buckets(bounds ...float64) *Metric {
	m.Buckets = bounds
	return m
}

func (m *Metric) leader() *Metric {
	m.Leader = true
	return m
}

// must panics where a metric is made as what it is not: a mistake in this program.
func (m *Metric) must(kind Instrument, labels bool) {
	if m.Kind != kind || (len(m.Labels) > 0) != labels {
		panic(fmt.Sprintf("metric %s is a %s with the labels %v", m.Name, m.Kind, m.Labels))
	}
}

// CounterVec makes the metric, a counter with labels.
func (m *Metric) CounterVec() *prometheus.CounterVec {
	m.must(Counter, true)
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

// Counter makes the metric, a counter without labels.
func (m *Metric) Counter() prometheus.Counter {
	m.must(Counter, false)
	return prometheus.NewCounter(prometheus.CounterOpts{Name: m.Name, Help: m.Help})
}

// GaugeVec makes the metric, a gauge with labels.
func (m *Metric) GaugeVec() *prometheus.GaugeVec {
	m.must(Gauge, true)
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

// Gauge makes the metric, a gauge without labels.
func (m *Metric) Gauge() prometheus.Gauge {
	m.must(Gauge, false)
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: m.Name, Help: m.Help})
}

// GaugeFunc makes the metric, a gauge without labels that is asked for its value.
func (m *Metric) GaugeFunc(value func() float64) prometheus.GaugeFunc {
	m.must(Gauge, false)
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: m.Name, Help: m.Help}, value)
}

// HistogramVec makes the metric, a histogram with labels.
func (m *Metric) HistogramVec() *prometheus.HistogramVec {
	m.must(Histogram, true)
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: m.Buckets}, m.Labels)
}

// Histogram makes the metric, a histogram without labels.
func (m *Metric) Histogram() prometheus.Histogram {
	m.must(Histogram, false)
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: m.Buckets})
}

// Desc describes the metric for collectors of their own.
func (m *Metric) Desc() *prometheus.Desc { return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil) }

// Register registers several collectors.
func Register(registry prometheus.Registerer, collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		if err := registry.Register(c); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}
