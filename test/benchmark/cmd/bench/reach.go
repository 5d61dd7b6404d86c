package main

import (
	"fmt"
	"math"
	"strings"
)

// aim is something to reach. Ratios are of medians that were measured side by side.
type aim struct {
	what, part string
	// most is what the value may be at most, or has to be at least if least is set.
	most  float64
	least bool
	unit  string
	value func(r *results) (float64, bool)
}

func ratio(unit, of, to string, where ...string) func(*results) (float64, bool) {
	return func(r *results) (float64, bool) { return r.quotient(unit, of, to, where...) }
}

func median(unit string, match ...string) func(*results) (float64, bool) {
	return func(r *results) (float64, bool) {
		s, some := r.summary(unit, match...)
		return s.Center, some
	}
}

// perServer is the webhook's growth from one count to another, less what the machine made of
// the constant handler in that time: the quotient of the two quotients.
func perServer(review, what, from, to string) func(*results) (float64, bool) {
	return func(r *results) (float64, bool) {
		ours, some := r.quotient("cpu-s/10k", what+"="+to, what+"="+from, "review="+review, "server=ours")
		constant, has := r.quotient("cpu-s/10k", what+"="+to, what+"="+from, "review="+review, "server=constant")
		return ours / constant, some && has
	}
}

var aims = []aim{
	{"expansion in process: time, to Gatekeeper's", "engine", 0.5, false, "x", ratio("ns/op", "engine=ours", "engine=gatekeeper", "case=expand")},
	{"expansion in process: allocations, to Gatekeeper's", "engine", 0.25, false, "x", ratio("allocs/op", "engine=ours", "engine=gatekeeper", "case=expand")},
	{"CPU over TLS, 8 clients: review that does not concern us, to the constant handler's", "tls", 1.5, false, "x", ratio("cpu-s/10k", "server=ours", "server=constant", "case=other", "clients=8")},
	{"CPU over TLS, 8 clients: update with an empty patch, to the constant handler's", "tls", 2, false, "x", ratio("cpu-s/10k", "server=ours", "server=constant", "case=update", "clients=8")},
	{"CPU over TLS, 8 clients: expansion, to the constant handler's", "tls", 3, false, "x", ratio("cpu-s/10k", "server=ours", "server=constant", "case=expand", "clients=8")},
	{"expansion in process: 100 policies, to 1", "growth", 1.1, false, "x", ratio("ns/op", "policies=100", "policies=1", "review=expand")},
	{"judgement in process: 100 policies, to 1", "growth", 1.1, false, "x", ratio("ns/op", "policies=100", "policies=1", "review=admit")},
	{"charge in process: 10,000 Services, to 10", "growth", 1.1, false, "x", ratio("ns/op", "services=10000", "services=10", "review=budget")},
	{"CPU over TLS, expansion: 100 policies, to 1", "scale", 1.1, false, "x", perServer("expand", "policies", "1", "100")},
	{"CPU over TLS, judgement: 100 policies, to 1", "scale", 1.1, false, "x", perServer("admit", "policies", "1", "100")},
	{"CPU over TLS, expansion: 10,000 Services, to 10", "scale", 1.1, false, "x", perServer("expand", "services", "10", "10000")},
	{"CPU over TLS, judgement: 10,000 Services, to 10", "scale", 1.1, false, "x", perServer("admit", "services", "10", "10000")},
	{"resident memory, idle", "scale", 64, false, "MiB", median("rss-MiB", "state=10-Services")},
	{"resident memory, 10,000 Services", "scale", 200, false, "MiB", median("rss-MiB", "state=10000-Services")},
	{"resident memory, 10,000 Services and 100 policies", "scale", 200, false, "MiB", median("rss-MiB", "state=10000-Services-and-100-policies")},
	{"start to ready, warm API server, 10 Services", "scale", 1000, false, "ms", median("ready-ms", "services=10")},
	{"start to ready, warm API server, 10,000 Services", "scale", 1000, false, "ms", median("ready-ms", "services=10000")},
	{"charging admissions per ledger write, 64 clients", "apiserver", 10, true, "", median("charges/write", "clients=64")},
}

// reach is a table of what was to reach and what was measured.
func reach(all map[string]*results) string {
	var b strings.Builder
	b.WriteString("| | aim | measured | |\n|---|---:|---:|---|")
	for _, a := range aims {
		r := all[a.part]
		if r == nil {
			continue
		}
		value, some := a.value(r)
		if !some || math.IsNaN(value) {
			continue
		}
		bound, verdict := "at most", "reached"
		if a.least {
			bound = "at least"
		}
		if (value > a.most) != a.least {
			verdict = "**missed**"
		}
		fmt.Fprintf(&b, "\n| %s | %s | %s | %s |", a.what, strings.TrimSpace(fmt.Sprintf("%s %s %s", bound, short(a.most), a.unit)),
			strings.TrimSpace(short(value)+" "+a.unit), verdict)
	}
	return b.String()
}
