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

// added is what one limit adds to the median creates of all kinds, in terms of what another one adds.
func added(of, to string, where ...string) func(*results) (float64, bool) {
	return func(r *results) (float64, bool) {
		r = r.where(append(where, "claims=10"))
		sum := func(limit string) (ms float64, some bool) {
			for _, kind := range r.values("p50-ms", "kind") {
				s, has := r.summary("p50-ms", "limit="+limit, "kind="+kind)
				if !has {
					return 0, false
				}
				ms, some = ms+s.Center, true
			}
			return ms, some
		}
		free, some := sum("none")
		with, has := sum(of)
		beside, too := sum(to)
		return (with - free) / (beside - free), some && has && too && min(with, beside) > free
	}
}

// byTurns is the median of the quotients of two contenders that were measured one after the other in each round, so
// that a machine which is faster in one round than in another makes no difference.
func byTurns(unit, of, to string, where ...string) func(*results) (float64, bool) {
	return func(r *results) (float64, bool) {
		r = r.where(where)
		one, other := r.all(unit, of), r.all(unit, to)
		if len(one) == 0 || len(one) != len(other) {
			return 0, false
		}
		for i := range one {
			one[i] /= other[i]
		}
		return summary(one).Center, true
	}
}

// besideQuota is how a value under a budget grows from one setting to another, less how it grows under a
// ResourceQuota, where nothing is charged: the quotient of the two quotients.
func besideQuota(unit, of, to string, where ...string) func(*results) (float64, bool) {
	return func(r *results) (float64, bool) {
		ours, some := r.quotient(unit, of, to, append(where, "limit=GPUBudget")...)
		quota, has := r.quotient(unit, of, to, append(where, "limit=ResourceQuota")...)
		return ours / quota, some && has
	}
}

// charged are results of one limit with 10 claims in the ledger, one replica.
func charged(limit, clients string, more ...string) []string {
	return append(more, "limit="+limit, "clients="+clients, "kind=Service")
}

// populated is the state in which part plain ends.
const populated = "50000-plain-pods,-10000-pods-with-GPUs-of-1000-workloads"

var aims = []aim{
	{"expansion in process: time, to Gatekeeper's", "engine", 0.5, false, "x", ratio("ns/op", "engine=ours", "engine=gatekeeper", "case=expand")},
	{"expansion in process: allocations, to Gatekeeper's", "engine", 0.25, false, "x", ratio("allocs/op", "engine=ours", "engine=gatekeeper", "case=expand")},
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
	{"median create of a plain pod: with the webhook, to without, 1 client", "plain", 1.05, false, "x", byTurns("p50-ms", "webhook=with", "webhook=without", "clients=1")},
	{"median create of a plain pod: with the webhook, to without, 8 clients", "plain", 1.05, false, "x", byTurns("p50-ms", "webhook=with", "webhook=without", "clients=8")},
	{"calls about plain pods", "plain", 0, false, "", median("calls", "webhook=with", "clients=8")},
	{"resident memory: 50,000 plain pods, to none", "plain", 1.1, false, "x", ratio("rss-MiB", "state=50000-plain-pods", "state=0-plain-pods")},
	{"most resident memory, 50,000 plain pods and 10,000 with GPUs of 1,000 workloads", "plain", 200, false, "MiB", median("rss-peak-MiB", "state="+populated)},
	{"reading those for a recount", "plain", 10, false, "s", median("list-s", "state="+populated)},
	{"what a budget adds to the median create, to what a ResourceQuota adds, 1 client", "charge", 1.5, false, "x", added("GPUBudget", "ResourceQuota", "replicas=1", "clients=1")},
	{"what a budget adds to the median create, to what a ResourceQuota adds, 8 clients", "charge", 1.5, false, "x", added("GPUBudget", "ResourceQuota", "replicas=1", "clients=8")},
	{"what a budget adds to the median create, to what a ResourceQuota adds, 64 clients", "charge", 1.5, false, "x", added("GPUBudget", "ResourceQuota", "replicas=1", "clients=64")},
	{"creates per second under a budget, to those under a ResourceQuota, 64 clients", "charge", 0.8, true, "x", byTurns("creates/s", "limit=GPUBudget", "limit=ResourceQuota", "clients=64", "replicas=1", "claims=10", "kind=Service")},
	{"creates per second under a budget: 3 replicas, to 1, 64 clients", "charge", 1, true, "x", ratio("creates/s", "replicas=3", "replicas=1", charged("GPUBudget", "64", "claims=10")...)},
	{"the same, less what 3 replicas do to creates under a ResourceQuota", "charge", 1, true, "x", besideQuota("creates/s", "replicas=3", "replicas=1", "clients=64", "claims=10", "kind=Service")},
	{"99th percentile of a create under a budget, 64 clients", "charge", 1000, false, "ms", median("p99-ms", charged("GPUBudget", "64", "claims=10", "replicas=1")...)},
	{"median create under a budget: 10,000 claims, to 10, 8 clients", "charge", 1.1, false, "x", ratio("p50-ms", "claims=10000", "claims=10", charged("GPUBudget", "8", "replicas=1")...)},
	{"the same, less what 10,000 stored objects do to creates under a ResourceQuota", "charge", 1.1, false, "x", besideQuota("p50-ms", "claims=10000", "claims=10", "clients=8", "replicas=1", "kind=Service")},
	{"charging admissions per ledger write, 64 clients", "apiserver", 10, true, "", median("charges/write", "clients=64")},
}

// reach is a table of what was to reach and what was measured, here or before.
func reach(all map[string]*results, before written) string {
	var b strings.Builder
	b.WriteString("| | aim | measured | |\n|---|---:|---:|---|")
	for _, a := range aims {
		r := all[a.part]
		if r == nil {
			if row := before.row(a.what); row != "" {
				b.WriteString("\n" + row)
			}
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
