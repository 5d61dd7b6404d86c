package offline

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// WriteYAML writes the documents, expanded by Expand. What nobody changed is written as
// it was read.
func WriteYAML(w io.Writer, docs []Document, outcomes []Preview) error {
	changed := map[string]bool{}
	for _, o := range outcomes {
		if len(o.Verdict.Patch) > 0 || o.Replaced {
			changed[o.Source] = true
		}
	}
	first := true
	for _, d := range docs {
		text := d.Raw
		if d.Object != nil && changedIn(d, changed) {
			var err error
			if text, err = yaml.Marshal(d.Object); err != nil {
				return err
			}
		}
		if !first {
			if _, err := io.WriteString(w, "---\n"); err != nil {
				return err
			}
		}
		first = false
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(slices.Clip(text), '\n')
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func changedIn(d Document, changed map[string]bool) bool {
	return slices.ContainsFunc(flatten([]Document{d}), func(item Document) bool { return changed[item.Source] })
}

// WriteJSON writes the objects as one v1 List.
func WriteJSON(w io.Writer, outcomes []Preview) error {
	items := make([]manifest.Object, len(outcomes))
	for i, o := range outcomes {
		items[i] = o.Object
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Items      []manifest.Object `json:"items"`
	}{"v1", "List", items})
}

// Report writes warnings and refusals for people, and tells whether anything was refused.
func Report(w io.Writer, outcomes []Preview) (refused bool) {
	for _, o := range outcomes {
		for _, warning := range o.Verdict.Warnings {
			fmt.Fprintf(w, "Warning: %s: %s\n", o.Title, warning)
		}
		if !o.Verdict.Refused() {
			continue
		}
		refused = true
		fmt.Fprintf(w, "Refused: %s (%s)\n", o.Title, o.Source)
		for _, e := range o.Verdict.Errors {
			fmt.Fprintf(w, "  * %s\n", e.Error())
		}
		for _, v := range o.Verdict.Denied {
			fmt.Fprintf(w, "  * %s\n", v.Error.Error())
		}
	}
	return refused
}
