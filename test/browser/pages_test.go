//go:build browser

package browser

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/cmd"
	"github.com/kubetorch/webhook/pkg/report"
)

// simulation is what simulate writes for two of the examples.
func simulation(t *testing.T) string {
	t.Helper()
	var out, errOut bytes.Buffer
	code := cmd.Run(t.Context(), []string{"simulate", "-f", "../../examples/inference.yaml", "--against", "../../examples/batch.yaml", "--policy", "../../examples/policy.yaml",
		"--load", "../../examples/loads/llm-conversation.csv", "--service-time", "lognormal:4s,p99=20s", "--startup", "60s", "-o", "html"}, strings.NewReader(""), &out, &errOut)
	require.Equal(t, 0, code, errOut.String())
	return out.String()
}

// audited is an audit of so many objects that all break a bound.
func audited(t *testing.T, objects int) string {
	t.Helper()
	r := audit.Report{Objects: objects}
	uses := []audit.BudgetUse{{Name: "all", Max: int64(objects)}, {Name: "l4", Max: 100, Claimed: 140}}
	for i := range objects {
		f := audit.Finding{Policy: fmt.Sprintf("policy-%d", i%3), Enforcement: v1alpha1.Deny, ObjectViolation: v1alpha1.ObjectViolation{Namespace: fmt.Sprintf("team-%d", i%40), Kind: "Service",
			Name: fmt.Sprintf("model-%d", i), Bound: "gpusPerWorkload", Message: fmt.Sprintf("asks for %d GPUs (8 x 10 pods); policy allows at most 64 (bounds.gpusPerWorkload.max)", i)}}
		r.Findings = append(r.Findings, f)
		uses[0].Holders = append(uses[0].Holders, v1alpha1.Holder{Namespace: f.Namespace, Kind: f.Kind, Name: f.Name, GPUs: int64(i % 17)})
		uses[0].Claimed++
	}
	var out bytes.Buffer
	require.NoError(t, report.Audit(&out, r, r.Findings, uses, time.Unix(1_800_000_000, 0)))
	return out.String()
}

func TestPages(t *testing.T) {
	for name, html := range map[string]string{"simulation": simulation(t), "audit": audited(t, 60)} {
		for device, size := range map[string][2]int{"desktop": {1280, 1600}, "phone": {390, 844}} {
			t.Run(name+" on a "+device, func(t *testing.T) {
				b := start(t, size[0], size[1])
				b.open(html)
				for _, dark := range []bool{false, true} {
					b.dark(dark)
					b.picture(fmt.Sprintf("%s-%s-%t", name, device, dark))
					assert.GreaterOrEqual(t, contrast(b), 4.5, "words can be read, dark: %t", dark)
				}
				assert.Equal(t, true, b.eval(`document.documentElement.scrollWidth <= innerWidth`), "nothing stands out of the page")
				// What is below the window is laid out when it is scrolled to: here all of it at once.
				b.eval(`document.head.insertAdjacentHTML("beforeend", "<style>* { content-visibility: visible !important; }</style>"), true`)
				assert.Equal(t, 0., b.eval(`[...document.querySelectorAll("svg[role=img]")].filter(s => s.getBoundingClientRect().height < 20 ||
					![...s.querySelectorAll("path,rect")].some(p => p.getBBox().width > 10)).length`), "every picture is drawn")
				assert.GreaterOrEqual(t, b.eval(`document.querySelectorAll("figure").length`), 2.)
				assert.Equal(t, 0., b.eval(`[...document.querySelectorAll("figure")].filter(f => !f.closest("section").querySelector("table")).length`), "behind every picture is a table")
				assert.Equal(t, 0., b.eval(`[...document.querySelectorAll("svg[role=img]")].filter(s => !s.getAttribute("aria-label")).length`))
				assert.Equal(t, 0., b.eval(`[...document.querySelectorAll("table")].filter(t => !t.caption || [...t.tHead.rows[0].cells].some(c => c.scope !== "col")).length`))
				assert.Equal(t, []any{}, b.eval(sorts), "tables are sorted by a click, up and down")
				assert.Empty(t, b.problems(), "nothing on the console, nothing fetched")
			})
		}
	}
}

// sorts clicks every head twice, and lists the columns that are then not in order.
const sorts = `(() => {
  const wrong = [];
  const words = new Intl.Collator("en", {numeric: true});
  for (const table of document.querySelectorAll("table[data-sortable]"))
    for (const head of table.tHead.rows[0].cells)
      for (const order of ["ascending", "descending"]) {
        head.querySelector("button").click();
        const values = [...table.tBodies[0].rows].map(r => r.cells[head.cellIndex]).map(c => c.dataset.value === undefined ? c.textContent : Number(c.dataset.value));
        const sign = order === "ascending" ? 1 : -1;
        const sorted = values.every((v, i) => i === 0 || sign * (typeof v === "number" ? values[i-1] - v : words.compare(String(values[i-1]), String(v))) <= 0);
        if (head.getAttribute("aria-sort") !== order || !sorted) wrong.push(table.caption.textContent + ": " + head.textContent + " " + order);
      }
  return wrong;
})()`

// contrast is the smallest ratio of words to what is behind them, as WCAG counts it.
func contrast(b *browser) float64 {
	return b.eval(`(() => {
  const parse = c => c.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] !== 0) return c; } return [255, 255, 255]; };
  let least = 21;
  for (const e of document.querySelectorAll("h1, h2, p, li, td, th, caption, summary, figcaption, svg text")) {
    const style = getComputedStyle(e);
    const pair = [light(parse(e instanceof SVGElement ? style.fill : style.color)), light(behind(e))].sort((a, b) => b - a);
    least = Math.min(least, (pair[0] + 0.05) / (pair[1] + 0.05));
  }
  return least;
})()`).(float64)
}

// TestTenThousandObjectsOpenInTwoSeconds opens an audit of as many. What is held to two
// seconds is the time that the page's process computes: other work on the machine is no fault
// of the page.
func TestTenThousandObjectsOpenInTwoSeconds(t *testing.T) {
	html := audited(t, 10_000)
	b := start(t, 1280, 1000)
	b.open(audited(t, 1)) // the browser itself has started
	fastest, computed := time.Hour, time.Hour
	for range 3 {
		before := b.cpu()
		fastest = min(fastest, b.open(html))
		computed = min(computed, b.cpu()-before)
	}
	t.Logf("%d objects, %d KiB: %s of CPU, %s", 10_000, len(html)/1024, computed.Round(time.Millisecond), fastest.Round(time.Millisecond))
	assert.Less(t, computed, 2*time.Second)
	assert.Positive(t, computed)
	assert.GreaterOrEqual(t, b.eval(`document.querySelectorAll("tbody tr").length`), 20_000.)
	assert.Empty(t, b.problems())
}

// TestOnPaperEverythingIsOpenAndInTheColoursOfPaper prints with a browser whose screen is dark.
func TestOnPaperEverythingIsOpenAndInTheColoursOfPaper(t *testing.T) {
	b := start(t, 1280, 1600)
	b.open(simulation(t))
	colours := `["--s1", "--s2", "--s3", "--s4", "--s5", "--s6", "--mark", "--shade", "--link"].map(n => getComputedStyle(document.documentElement).getPropertyValue(n).trim())`
	light := b.eval(colours)
	b.dark(true)
	assert.NotEqual(t, light, b.eval(colours))
	b.call(nil, "Emulation.setEmulatedMedia", map[string]any{"media": "print", "features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}})
	assert.Equal(t, light, b.eval(colours))
	assert.GreaterOrEqual(t, contrast(b), 4.5, "words can be read")
	b.call(nil, "Emulation.setEmulatedMedia", map[string]any{"media": ""})

	closed := `document.querySelectorAll("details:not([open])").length`
	before := b.eval(closed)
	assert.Positive(t, before)
	b.eval(`addEventListener("beforeprint", () => { window.closedOnPaper = ` + closed + `; })`)
	var printed struct{ Data string }
	b.call(&printed, "Page.printToPDF", map[string]any{})
	assert.NotEmpty(t, printed.Data)
	assert.Equal(t, 0., b.eval(`window.closedOnPaper`), "every table is open while the page is printed")
	assert.Equal(t, before, b.eval(closed), "and as it was afterwards")
	assert.Empty(t, b.problems())
}

// TestThePagesOfTheCommands opens what the commands' tests keep.
func TestThePagesOfTheCommands(t *testing.T) {
	b := start(t, 1000, 1000)
	for _, name := range []string{"simulate.html", "audit.html", "audit-unbounded.html"} {
		html, err := os.ReadFile(filepath.Join("../../pkg/cmd/testdata", name))
		require.NoError(t, err)
		b.open(string(html))
		assert.Empty(t, b.problems(), name)
		assert.NotContains(t, string(html), "http://", "no address of anything")
		assert.NotContains(t, string(html), "https://")
	}
}
