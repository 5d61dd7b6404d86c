package expand

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/manifest"
)

var written = []string{"", "plain", `"quoted" \ back`, "<b>&", "tab\tline\n", "grün 世界 😀", "\u2028", "\x7f", "\xff", "\x00"}

func TestPatchesAreWrittenAsByEncodingJSON(t *testing.T) {
	patch := []manifest.PatchOperation{}
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
		patch = append(patch, manifest.PatchOperation{Op: "remove", Path: "/" + text}, manifest.PatchOperation{Op: "add", Path: text, Value: text},
			manifest.PatchOperation{Op: "replace", Path: "/a", Value: map[string]any{text: []any{text, int64(-7), 1.5, true, nil, map[string]any(nil)}, "z": int64(i), "a": map[string]any{}, "b": nil}})
	}
	_, err := AppendPatch(nil, []manifest.PatchOperation{{Op: "add", Path: "/a", Value: map[string]any{"x": make(chan int)}}})
	assert.Error(t, err)
}

func TestRecordsAreReadAsByEncodingJSON(t *testing.T) {
	for _, text := range []string{``, `{}`, `null`, `[]`, `"x"`, `{"a":{"value":"1","from":"built-in"}}`, `{"a":{"value":"1","from":"x","by":"y"},"b":{}}`,
		`{"a":{"Value":"1"}}`, `{"a":{"value":"1","VALUE":"2"}}`, `{"a":{"value":"1","value":"2"}}`, `{"a":{"value":"1"},"a":{"from":"2"}}`, `{"a":{"value":1}}`, `{"a":null}`,
		`{"a":{"value":null}}`, `{"a":{"other":1,"value":"1"}}`, `{"a":"x"}`, `{"a":{"value":"\u0041\ud83d\ude00"}}`, "{\"a\":{\"value\":\"\xff\"}}", `{"a":{"value":"1"}} x`, ` {"a":{"value":"1"}} `} {
		var want Record
		if json.Unmarshal([]byte(text), &want) != nil {
			want = nil
		}
		assert.Equal(t, want, parseRecord(manifest.Object{"metadata": manifest.Object{"annotations": manifest.Object{RecordAnnotation: text}}}), text)
	}
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
