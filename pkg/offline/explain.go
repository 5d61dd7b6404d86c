package offline

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Explanation is where the settings of one workload come from.
type Explanation struct {
	Workload string            `json:"workload"`
	Settings []expand.Setting  `json:"settings"`
	Claim    ExplainedClaim    `json:"claim"`
	Bounds   []policy.Headroom `json:"bounds"`
}

// ExplainedClaim is the GPUs that a workload asks for. Numbers are -1 where there is no limit.
type ExplainedClaim struct {
	GPUs       int64 `json:"gpus"`
	GPUsPerPod int64 `json:"gpusPerPod"`
	PeakPods   int64 `json:"peakPods"`
	// perPod words the GPUs of one pod, a fraction as it is; others are those of other
	// revisions in traffic.
	perPod string
	others int64
	// groups words pods of several kinds; empty for pods of one.
	groups string
}

// explanations are those of the workloads that were admitted.
func explanations(outcomes []Preview) []Explanation {
	all := []Explanation{}
	for _, o := range outcomes {
		if !o.Concerned || o.Verdict.Refused() {
			continue
		}
		d := o.Verdict.Demand
		all = append(all, Explanation{Workload: o.Title, Settings: o.Verdict.Settings, Bounds: o.Verdict.Room,
			Claim: claimOf(&d)})
	}
	return all
}

func claimOf(d *workload.Usage) ExplainedClaim {
	c := ExplainedClaim{GPUs: bounded(d.Claim), GPUsPerPod: bounded(d.GPUs.PerPod), PeakPods: bounded(d.PeakPods), perPod: d.GPUs.Text(), groups: d.Groups()}
	if own, _ := d.GPUs.Times(d.PeakPods); d.PeakPods > 0 {
		c.others = d.Claim - own
	}
	return c
}

func bounded(n int64) int64 {
	if n == workload.Unbounded {
		return -1
	}
	return n
}

// ExplainJSON writes explanations as a JSON list.
func ExplainJSON(w io.Writer, outcomes []Preview) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(explanations(outcomes))
}

// ExplainTable writes explanations as tables.
func ExplainTable(w io.Writer, outcomes []Preview) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for i, e := range explanations(outcomes) {
		if i > 0 {
			fmt.Fprintln(t)
		}
		fmt.Fprintf(t, "%s\n\nSETTING\tVALUE\tFROM\n", e.Workload)
		for _, s := range e.Settings {
			from := s.From
			if s.By != "" {
				from += ", lowered by " + s.By
			}
			fmt.Fprintf(t, "%s\t%s\t%s\n", s.Name, s.Value, from)
		}
		if e.Claim.groups != "" {
			fmt.Fprintf(t, "\nclaims %s GPUs: %s\n", number(e.Claim.GPUs), e.Claim.groups)
		} else {
			fmt.Fprintf(t, "\nclaims %s GPUs: %s per pod x %s pods%s\n", number(e.Claim.GPUs), e.Claim.perPod, number(e.Claim.PeakPods), others(e.Claim))
		}
		if len(e.Bounds) > 0 {
			fmt.Fprint(t, "\nBOUND\tPOLICY\tALLOWS\tASKS FOR\tROOM LEFT\tENFORCEMENT\n")
		}
		for _, b := range e.Bounds {
			left := b.Left
			if left == "" {
				left = "-"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", b.Bound, b.Policy, b.Allows, b.Asks, left, b.Enforcement)
		}
	}
	return t.Flush()
}

// others words what other revisions in traffic claim.
func others(c ExplainedClaim) string {
	if c.GPUs > 0 && c.others > 0 {
		return ", and " + number(c.others) + " of other revisions in traffic"
	}
	return ""
}

func number(n int64) string {
	if n < 0 {
		return "unbounded"
	}
	return strconv.FormatInt(n, 10)
}
