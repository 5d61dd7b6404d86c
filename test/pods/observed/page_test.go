package observed_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/test/pods/observed"
)

const before = `# Page

<!-- machine -->
another
<!-- end -->

<!-- steady -->
| case | example | pods |
| --- | --- | --- |
| first |  | 1 |
| second | ` + "`b`" + ` | 2 |
<!-- end -->

<!-- other -->
| case | seen |
| --- | --- |
| stays | yes |
<!-- end -->

<!-- pictures -->
<!-- end -->
`

const after = `# Page

<!-- machine -->
this one
<!-- end -->

<!-- steady -->
| case | example | pods |
| --- | --- | --- |
| first |  | 1 |
| second | ` + "`b`" + ` | 5 |
| third |  | 3 |
<!-- end -->

<!-- other -->
| case | seen |
| --- | --- |
| stays | yes |
<!-- end -->

<!-- pictures -->
![a spike](page/a-spike.svg)
![first](page/first.svg)
<!-- end -->
`

func newPage() *observed.Page {
	return &observed.Page{
		Machine:  "this one",
		Headings: map[string][]string{"steady": {"case", "example", "pods"}, "other": {"case", "seen"}},
	}
}

// TestRunsOverPartsWriteAllOfThePage: rows and pictures that a run did not observe stay.
func TestRunsOverPartsWriteAllOfThePage(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "page.md")
	require.NoError(t, os.WriteFile(file, []byte(before), 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "page"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "page", "first.svg"), nil, 0o644))

	p := newPage()
	require.NoError(t, p.Record("steady", []string{"third", "", "3"}))
	require.NoError(t, p.Write(file))
	p = newPage()
	require.NoError(t, p.Record("steady", []string{"second", "`b`", "5"}))
	require.NoError(t, observed.Observed("A spike", "5 at a time", course(1, 2), 0, time.Second).Write(filepath.Join(dir, "page")))
	require.NoError(t, p.Write(file))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, after, string(text))
	assert.Error(t, p.Record("steady", []string{"too", "short"}))
}

// elements of an SVG by name, which has to be well-formed.
func elements(t *testing.T, svg string) map[string][]map[string]string {
	t.Helper()
	found := map[string][]map[string]string{}
	decoder := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		if e, ok := token.(xml.StartElement); ok {
			attributes := map[string]string{}
			for _, a := range e.Attr {
				attributes[a.Name.Local] = a.Value
			}
			found[e.Name.Local] = append(found[e.Name.Local], attributes)
		}
	}
}

func TestAPictureShowsWhatIsSimulatedBesideWhatIsReal(t *testing.T) {
	load := []observed.Span{{From: 0, To: 2 * time.Second, Height: 0.5}, {From: 2 * time.Second, To: 4 * time.Second, Height: 1}}
	svg := observed.Beside("a < b", "requests", load, course(0, 2, 2, 4, 4), course(0, 0, 2, 2, 4)).SVG()
	found := elements(t, svg)
	var courses, dashed []string
	for _, path := range found["path"] {
		if path["stroke-width"] == "" {
			continue
		}
		if courses = append(courses, path["d"]); path["stroke-dasharray"] != "" {
			dashed = append(dashed, path["d"])
		}
	}
	// Of 5 rows of 30 pixels each, and of 4 seconds of 142.5 each.
	const observedCourse, simulatedCourse = "M50.0 200.0H192.5V140.0H477.5V80.0H620.0", "M50.0 200.0H335.0V140.0H620.0V80.0H620.0"
	assert.ElementsMatch(t, []string{observedCourse, observedCourse, simulatedCourse, simulatedCourse}, courses)
	assert.Equal(t, []string{simulatedCourse, simulatedCourse}, dashed)
	require.Len(t, found["rect"], 3, "the ground, and two spans of load")
	assert.Equal(t, map[string]string{"x": "50.0", "y": "125.0", "width": "285.0", "height": "75.0", "fill": "#dbeafe"}, found["rect"][1])
	assert.Equal(t, map[string]string{"x": "335.0", "y": "50.0", "width": "285.0", "height": "150.0", "fill": "#dbeafe"}, found["rect"][2])
	assert.Contains(t, svg, "a &lt; b")
	assert.Contains(t, svg, ">3 s</text>", "a second is a step")
	assert.Contains(t, svg, "dashed: simulated")
	assert.Len(t, found["tspan"], 2, "each colour is named once")
}
