package expand

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// AppendPatch appends a JSON Patch as encoding/json writes it.
func AppendPatch(b []byte, patch []manifest.PatchOperation) ([]byte, error) {
	b = append(b, '[')
	for i, op := range patch {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, `{"op":`...), op.Op)
		b = appendText(append(b, `,"path":`...), op.Path)
		if op.Value != nil {
			var err error
			if b, err = appendValue(append(b, `,"value":`...), op.Value); err != nil {
				return nil, err
			}
		}
		b = append(b, '}')
	}
	return append(b, ']'), nil
}

func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return appendText(b, v), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case manifest.Object:
		if v == nil {
			break
		}
		b = append(b, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendValue(append(appendText(b, key), ':'), v[key]); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	}
	text, err := json.Marshal(v)
	return append(b, text...), err
}

// How a byte stands in a JSON string as encoding/json writes it.
const (
	asItIs  = iota
	escaped // behind a backslash
	other   // in a way that encoding/json knows
)

var inText = func() (how [256]byte) {
	for c := range how {
		switch {
		case c == '"', c == '\\':
			how[c] = escaped
		case c < ' ', c >= 0x7f, c == '<', c == '>', c == '&':
			how[c] = other
		}
	}
	return how
}()

func appendText(b []byte, text string) []byte {
	before := len(b)
	b = append(b, '"')
	done := 0
	for i := 0; i < len(text); i++ {
		how := inText[text[i]]
		if how == asItIs {
			continue
		}
		if how == other {
			quoted, err := json.Marshal(text)
			if err != nil {
				panic(err) // a string always marshals
			}
			return append(b[:before], quoted...)
		}
		b = append(append(b, text[done:i]...), '\\')
		done = i
	}
	return append(append(b, text[done:]...), '"')
}
