package offline

import (
	"fmt"
	"io"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"sigs.k8s.io/yaml"
)

// diffContext is the number of unchanged lines around each change.
const diffContext = 3

// WriteDiff writes, for each object that admission changes, a unified diff of it in YAML
// before and after. Keys stand in order in both, so that what only moved does not show.
func WriteDiff(w io.Writer, outcomes []Preview) error {
	for _, o := range outcomes {
		if o.Written == nil || (len(o.Verdict.Patch) == 0 && !o.Replaced) {
			continue
		}
		before, err := yaml.Marshal(o.Written)
		if err != nil {
			return err
		}
		after, err := yaml.Marshal(o.Object)
		if err != nil {
			return err
		}
		title := fmt.Sprintf("%s (%s)", o.Title, o.Source)
		text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: lines(before), B: lines(after), Context: diffContext,
			FromFile: title + " as written", ToFile: title + " as admitted"})
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

func lines(text []byte) []string {
	return difflib.SplitLines(strings.TrimSuffix(string(text), "\n"))
}
