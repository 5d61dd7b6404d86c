package mutate

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var written = []string{"", "plain", `"quoted" \ back`, "<b>&", "tab\tline\n", "grün 世界 😀", "\u2028", "\x7f", "\xff", "\x00"}

func TestPatchesAreWrittenAsByEncodingJSON(t *testing.T) {
	patch := []Operation{}
	for i := 0; ; i++ {
		want, err := json.Marshal(patch)
		require.NoError(t, err)
		got, err := AppendPatch(nil, patch)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got))
		if i == len(written) {
			break
		}
		text := written[i]
		patch = append(patch, Operation{Op: "remove", Path: "/" + text}, Operation{Op: "add", Path: text, Value: text},
			Operation{Op: "replace", Path: "/a", Value: map[string]any{text: []any{text, int64(-7), 1.5, true, nil, map[string]any(nil)}, "z": int64(i), "a": map[string]any{}, "b": nil}})
	}
	_, err := AppendPatch(nil, []Operation{{Op: "add", Path: "/a", Value: map[string]any{"x": make(chan int)}}})
	assert.Error(t, err)
}

func TestRecordsAreWrittenAsByEncodingJSON(t *testing.T) {
	r, l := Record{}, entries{}
	for _, text := range written {
		want, err := json.Marshal(r)
		require.NoError(t, err)
		assert.Equal(t, string(want), l.text())
		for name, entry := range map[string]Entry{text: {Value: text, From: "from " + text}, "by " + text: {Value: text, From: text, By: text}, "again": {Value: text}} {
			r[name] = entry
			l.put(name, entry)
		}
	}
}
