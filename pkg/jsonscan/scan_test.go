package jsonscan_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/jsonscan"
)

// reference is what sigs.k8s.io/json makes of a text without keys that stand twice.
func reference(raw []byte) (map[string]any, bool) {
	var v any
	strict, err := json.UnmarshalStrict(raw, &v, json.DisallowDuplicateFields)
	o, ok := v.(map[string]any)
	return o, ok && err == nil && len(strict) == 0
}

func TestOrdinaryObjectsAreRead(t *testing.T) {
	tests := map[string]string{
		"an empty object":         `{}`,
		"white space":             " {\r\n\t\"a\" : [ ] , \"b\" : { } } \n",
		"every type":              `{"s":"x","t":true,"f":false,"n":null,"l":[1,"a",{"b":[]},[[]]],"o":{"p":{"q":1}}}`,
		"numbers":                 `{"a":0,"b":-0,"c":-1,"d":9223372036854775807,"e":9223372036854775808,"f":1.5,"g":1e3,"h":-1E-7,"i":0.0,"j":-0.0}`,
		"text beyond ASCII":       `{"grün":"héllo 世界 😀"}`,
		"escapes":                 `{"a\"b":"\"\\\/\b\f\n\r\té世","long":"0123456789\n0123456789abcdef\t"}`,
		"an escape at each place": `{"a":"1234567\n","b":"12345678\n","c":"\n12345678","d":"1234\n5678"}`,
		"keys of another case":    `{"spec":1,"Spec":2,"SPEC":3}`,
		"one key in two objects":  `{"a":{"a":1},"b":[{"a":1},{"a":1}]}`,
		"many keys":               `{"k":{` + strings.TrimSuffix(strings.Join(numbered(300), ","), ",") + `}}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			want, ok := reference([]byte(text))
			require.True(t, ok)
			got, ok := jsonscan.Object([]byte(text))
			assert.True(t, ok)
			assert.Equal(t, want, got)
		})
	}
}

func numbered(n int) []string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = `"k` + strings.Repeat("x", i) + `":1`
	}
	return fields
}

func TestWhatIsOutOfTheOrdinaryIsLeftToTheOtherDecoder(t *testing.T) {
	tests := map[string]string{
		"nothing":                       ``,
		"no object":                     `[{}]`,
		"two objects":                   `{}{}`,
		"a key twice":                   `{"a":1,"a":1}`,
		"a key twice, once escaped":     `{"a":1,"\u0061":1}`,
		"a key twice far below":         `{"a":[{"b":{"c":1,"d":2,"c":1}}]}`,
		"a comma at the end":            `{"a":1,}`,
		"a comma at the end of a list":  `{"a":[1,]}`,
		"no comma":                      `{"a":1 "b":2}`,
		"a key without a value":         `{"a"}`,
		"a key that is no string":       `{1:2}`,
		"a leading zero":                `{"a":01}`,
		"a plus":                        `{"a":+1}`,
		"a number cut short":            `{"a":1.}`,
		"an exponent cut short":         `{"a":1e}`,
		"a number beyond range":         `{"a":1e999}`,
		"a line feed in a string":       "{\"a\":\"x\ny\"}",
		"an unknown escape":             `{"a":"\x41"}`,
		"half an escape":                `{"a":"\u00"}`,
		"an escaped surrogate":          `{"a":"\ud83d\ude00"}`,
		"text that is no UTF-8":         "{\"a\":\"\xff\"}",
		"a key that is no UTF-8":        "{\"\xff\":1}",
		"an open string":                `{"a":"x`,
		"an open string after a escape": `{"a":"\n`,
		"an open object":                `{"a":{`,
		"a word":                        `{"a":nul}`,
		"deep nesting":                  `{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			_, ok := jsonscan.Object([]byte(text))
			assert.False(t, ok)
		})
	}
}

func TestRawChecksWhatItPassesOver(t *testing.T) {
	r := jsonscan.NewScanner([]byte(`{"a": {"b":[1,"\u00e9",null,true,-1.5e3,{}]} ,"c":[]}`))
	raws := map[string]string{}
	require.True(t, r.Fields(func(key []byte) bool {
		raw, ok := r.Raw()
		raws[string(key)] = string(raw)
		return ok
	}))
	assert.True(t, r.End())
	assert.Equal(t, map[string]string{"a": `{"b":[1,"\u00e9",null,true,-1.5e3,{}]}`, "c": `[]`}, raws)
	for _, text := range []string{`{"b":}`, `{"b" 1}`, `[1,]`, `{"b":1,}`, `"\q"`, `"\u12"`, "\"\n\"", `tru`, `01x`, `"open`, `[`, `{`, ``} {
		_, ok := jsonscan.NewScanner([]byte(text)).Raw()
		if text != `01x` { // 0 is a value, and what follows is not its
			assert.False(t, ok, text)
		}
	}
}

func TestStatesHaveNoManagedFields(t *testing.T) {
	many := strings.Join(numbered(300), ",")
	for text, want := range map[string]string{
		`{"metadata":{"name":"a","managedFields":[{"manager":"k","fieldsV1":{"f:a":{"k:{\"name\":\"x\"}":{".":{}}}}}]},"spec":{}}`: `{"metadata":{"name":"a"},"spec":{}}`,
		`{"spec":{"managedFields":[1]},"metadata":{"x":{"managedFields":1}},"managedFields":{}}`:                                   `{"spec":{"managedFields":[1]},"metadata":{"x":{"managedFields":1}},"managedFields":{}}`,
		`{"metadata":{"managedFields":{` + many + `}}}`:                                                                            `{"metadata":{}}`,
	} {
		o, ok := reference([]byte(want))
		require.True(t, ok)
		got, ok := jsonscan.State([]byte(text))
		assert.True(t, ok, text)
		assert.Equal(t, o, got)
	}
	for _, fields := range []string{`{"a":1,"a":1}`, `{"a":{"b":1,"\u0062":1}}`, `{` + many + `,"k":1}`, "\"\xff\"", `1e999`, `01`, `"\ud800"`, `[1,]`, `{"a":1,}`, strings.Repeat("[", 200) + strings.Repeat("]", 200)} {
		_, ok := jsonscan.State([]byte(`{"metadata":{"managedFields":` + fields + `}}`))
		assert.False(t, ok, fields)
	}
	_, ok := jsonscan.State([]byte(`{"metadata":{"managedFields":[],"managedFields":[]}}`))
	assert.False(t, ok, "twice")
}

func TestWhatTwoStatesHaveInCommonIsRead(t *testing.T) {
	const now = `{"a":{"l":{"x":1},"m":[1,2],"n":{"x":2}},"b":{"c":{"d":{"e":1}}},"c":[{}]}`
	for name, old := range map[string]string{
		"the same":                  now,
		"another order":             `{"c":[{}],"b":{"c":{"d":{"e":1}}},"a":{"n":{"x":2},"m":[1,2],"l":{"x":1}}}`,
		"white space":               `{"a": {"l":{"x":1},"m":[1,2] ,"n":{"x": 2}},"b":{"c":{"d":{"e":1}}},"c":[{}]}`,
		"a change":                  `{"a":{"l":{"x":1},"m":[1,3],"n":{"x":2}},"b":{"c":{"d":{"e":1}}},"c":[{}]}`,
		"a change far below":        `{"a":{"l":{"x":1},"m":[1,2],"n":{"x":2}},"b":{"c":{"d":{"e":2}}},"c":[{}]}`,
		"the values of other keys":  `{"a":{"l":{"x":2},"m":[{}],"n":{"x":1}},"b":{"c":[1,2]},"c":{"c":{"d":{"e":1}}}}`,
		"one that begins like that": `{"c":[{},1],"a":{"m":[1,2,3]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			want, ok := reference([]byte(old))
			require.True(t, ok)
			wantNow, _ := reference([]byte(now))
			gotNow, got, ok := jsonscan.Pair([]byte(now), []byte(old))
			assert.True(t, ok)
			assert.Equal(t, wantNow, gotNow)
			assert.Equal(t, want, got)
		})
	}
	for _, broken := range []string{``, `{`, now + `}`, `{"a":{"l":{"x":1}"m":1}}`, `{"a":{"l":{"x":1}},"a":{"l":{"x":1}}}`, `[` + now + `]`} {
		_, _, ok := jsonscan.Pair([]byte(now), []byte(broken))
		assert.False(t, ok, broken)
		_, _, ok = jsonscan.Pair([]byte(broken), []byte(now))
		assert.False(t, ok, broken)
	}
}

func FuzzObject(f *testing.F) {
	files, err := filepath.Glob("../../examples/*.yaml")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		if raw, err := yaml.YAMLToJSON(text); err == nil {
			f.Add(raw)
		}
	}
	for _, text := range []string{`{"a":"\u00e9\n","b":[1,-0,1.5e3,9223372036854775808],"c":{"a":null}}`, `{"a":1,"\u0061":2}`, "{\"a\":\"\xff\"}"} {
		f.Add([]byte(text))
	}
	base := []byte(`{"metadata":{"name":"a","labels":{"a":"b"},"l":[1,{"x":[]}]},"spec":{"template":{"a":{"b":[1,"\u00e9"]}},"traffic":[]},"status":{}}`)
	f.Add(base)
	f.Add([]byte(`{"metadata":{"name":"a","managedFields":[{"manager":"k","fieldsV1":{"f:a":{"k:{\"name\":\"x\"}":{".":{}}}},"n":[1,-1.5e3,null,true]}]},"spec":{"managedFields":[1]},"managedFields":{}}`))
	f.Add([]byte(`{"metadata":{"managedFields":[{"a":{},"\u0061":{}}]}}`))
	f.Add([]byte(`{"metadata":{"labels":{"a":"b"},"l":[1,{"x":[]}],"name":"b"},"spec":{"template":{"a":{"b":[1,"\u00e9"]}},"traffic":[] } }`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, first := range [][]byte{base, raw} {
			_, readable := jsonscan.Object(first)
			one, alone := jsonscan.Object(raw)
			state, same := jsonscan.State(raw)
			require.Equal(t, alone, same)
			if metadata, ok := one["metadata"].(map[string]any); ok {
				delete(metadata, "managedFields")
			}
			require.Equal(t, one, state)
			_, two, both := jsonscan.Pair(first, raw)
			require.Equal(t, readable && alone, both)
			if both {
				require.Equal(t, one, two)
			}
		}
		got, ok := jsonscan.Object(raw)
		if _, passes := jsonscan.NewScanner(raw).Raw(); ok && !passes {
			t.Error("is read, yet not passed over")
		}
		if !ok {
			return
		}
		want, sound := reference(raw)
		require.True(t, sound, "is taken here and not there")
		require.Equal(t, want, got)
	})
}
