package main

import (
	"fmt"
	"strings"
	"time"
)

// table is the outcomes in Markdown. A request is two admissions.
func table(o options, outcomes []outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| trial | admissions | a second | failed | which | from first to last | slowest that did not fail |\n|---|---|---|---|---|---|---|\n")
	for _, r := range outcomes {
		which, outage := "", ""
		if r.failed > 0 {
			which, outage = strings.Join(r.causes, "; "), r.outage.Round(10*time.Millisecond).String()
		}
		fmt.Fprintf(&b, "| %s | %d | %.0f | %d | %s | %s | %s |\n",
			r.name, 2*r.requests, 2*float64(r.requests)/r.seconds, 2*r.failed, which, outage, r.slowest.Round(time.Millisecond))
	}
	fmt.Fprintf(&b, "\n%d replicas, %d admissions a second wanted; each ended with %s without a wrong verdict.\n", o.replicas, o.rate, quiet)
	return b.String()
}
