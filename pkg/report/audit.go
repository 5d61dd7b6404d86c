package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// mostBars is how many bars a picture has; the table behind it has the rest.
const mostBars = 20

// Audit writes what exists and breaks bounds, and who holds the budgets, as HTML. findings are
// those of policies and of budgets.
func Audit(w io.Writer, r audit.Report, findings []audit.Finding, uses []audit.BudgetUse, now time.Time) error {
	enforced := 0
	for _, f := range findings {
		if f.Enforcement == v1alpha1.Deny || f.Enforcement == v1alpha1.Clamp {
			enforced++
		}
	}
	p := Page{Title: "GPU policies and budgets", Intro: []string{
		fmt.Sprintf("%d objects that bounds are about, %d violations, %d of them of bounds that refuse or clamp. Looked at %s.", r.Objects, len(findings), enforced, now.UTC().Format("2006-01-02 15:04 MST")),
		"What breaks a bound that is newer goes on as it is, and may not grow."}}
	for _, d := range r.Policies {
		if len(d.Invalid) > 0 {
			p.Notes = append(p.Notes, fmt.Sprintf("Policy %s is invalid, so its bounds are not known: %s", d.Name, manifest.Together(d.Invalid)))
		}
	}
	if len(uses) > 0 {
		p.Sections = append(p.Sections, budgetSection(uses), holderSection(uses))
	}
	p.Sections = append(p.Sections,
		countSection("Violations by policy", "policy", findings, func(f audit.Finding) string { return f.Policy }),
		countSection("Violations by namespace", "namespace", findings, namespaceOf),
		violationSection(findings))
	return p.Write(w)
}

func namespaceOf(f audit.Finding) string {
	if f.Namespace == "" && f.Kind == "Namespace" {
		return f.Name
	}
	return f.Namespace
}

// budgetSection draws what is taken of each budget.
func budgetSection(uses []audit.BudgetUse) Section {
	t := &Table{Caption: "Budgets", Columns: columns("budget", "#claimed", "#overlap of rollouts", "#max", "#free", "#max per namespace", "#holders")}
	var bars []bar
	for _, u := range uses {
		perNamespace := Text("")
		if u.MaxPerNamespace != nil {
			perNamespace = Whole(*u.MaxPerNamespace)
		}
		t.Rows = append(t.Rows, []Cell{Text(u.Name), gpus(u.Claimed), gpus(u.Overlap), Whole(u.Max), Whole(u.Free), perNamespace, Whole(int64(len(u.Holders)))})
		if len(bars) < mostBars {
			used := workload.SaturatingAdd(u.Claimed, u.Overlap)
			bars = append(bars, bar{name: u.Name, value: float64(used), max: float64(u.Max), endless: u.Unbounded, text: fmt.Sprintf("%s of %d", audit.GPUs(used), u.Max)})
		}
	}
	return Section{Title: "Budgets", Chart: barChart("GPUs used of each budget", "GPUs", bars), Table: t}
}

// gpus is a cell with a number of GPUs that may have no limit.
func gpus(n int64) Cell {
	c := Whole(n)
	c.Text = audit.GPUs(n)
	return c
}

func holderSection(uses []audit.BudgetUse) Section {
	t := &Table{Caption: "Who holds the budgets", Columns: columns("budget", "#GPUs", "namespace", "kind", "name")}
	for _, u := range uses {
		for _, h := range u.Holders {
			t.Rows = append(t.Rows, []Cell{Text(u.Name), gpus(h.GPUs), Text(h.Namespace), Text(h.Kind), Text(h.Name)})
		}
	}
	return Section{Title: "Who holds the budgets", Table: t}
}

// countSection draws how many violations there are of each kind, the most first.
func countSection(title, column string, findings []audit.Finding, of func(audit.Finding) string) Section {
	if len(findings) == 0 {
		return Section{Title: title, Text: []string{"None."}}
	}
	counts := map[string]int64{}
	for _, f := range findings {
		counts[of(f)]++
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	t := &Table{Caption: title, Columns: columns(column, "#violations")}
	var bars []bar
	for _, n := range names {
		t.Rows = append(t.Rows, []Cell{Text(n), Whole(counts[n])})
		if len(bars) < mostBars {
			bars = append(bars, bar{name: n, value: float64(counts[n]), text: fmt.Sprint(counts[n])})
		}
	}
	return Section{Title: title, Chart: barChart(title, "violations", bars), Table: t}
}

func violationSection(findings []audit.Finding) Section {
	if len(findings) == 0 {
		return Section{Title: "All violations", Text: []string{"Nothing that exists breaks a bound, and no budget is exceeded."}}
	}
	t := &Table{Caption: "All violations", Columns: columns("policy", "bound", "enforcement", "namespace", "kind", "name", "message")}
	for _, f := range findings {
		t.Rows = append(t.Rows, []Cell{Text(f.Policy), Text(f.Bound), Text(string(f.Enforcement)), Text(f.Namespace), Text(f.Kind), Text(f.Name), Text(f.Message)})
	}
	return Section{Title: "All violations", Table: t}
}
