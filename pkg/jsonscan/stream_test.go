package jsonscan

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func split(src io.Reader) (items []string, others map[string]string, err error) {
	others = map[string]string{}
	err = Items(src, "items", func(raw []byte) error {
		items = append(items, string(raw))
		return nil
	}, func(key string, raw []byte) error {
		others[key] = string(raw)
		return nil
	})
	return items, others, err
}

func TestItemsAreSplitWhereverTheStreamBreaks(t *testing.T) {
	want := []string{`{"a":"\\"}`, `{"a":"}\"]\\\""}`, `[[],{}]`, `"x"`, `-1.5e3`, `null`, `{"long":"` + strings.Repeat("é", 100_000) + `"}`, `{}`}
	text := ` {"kind" : "List", "metadata":{"continue":"a\"b"},"items": [ ` + strings.Join(want, " , ") + " ]\n,\"n\":12} \n"
	for name, src := range map[string]io.Reader{
		"at once": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text)),
		"halves": iotest.HalfReader(strings.NewReader(text)), "with its end": iotest.DataErrReader(strings.NewReader(text)),
	} {
		items, others, err := split(src)
		require.NoError(t, err, name)
		assert.Equal(t, want, items, name)
		assert.Equal(t, map[string]string{"kind": `"List"`, "metadata": `{"continue":"a\"b"}`, "n": "12"}, others, name)
	}
	// Nothing that breaks off is taken for a list.
	text = `{"items":[{"a":"b"},"c\\",1],"metadata":{"continue":"x"}}`
	for n := range text {
		_, _, err := split(strings.NewReader(text[:n]))
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF, text[:n])
	}
}

func TestFailuresEndASplit(t *testing.T) {
	broken := errors.New("broken")
	_, _, err := split(io.MultiReader(strings.NewReader(`{"items":[1,`), iotest.ErrReader(broken)))
	assert.ErrorIs(t, err, broken)
	assert.ErrorIs(t, Items(strings.NewReader(`{"items":[1]}`), "items", func([]byte) error { return broken }, nil), broken)
	for _, text := range []string{`{"items":[1 2]}`, `{"items":[,]}`, `{"items":[1,]}`, `{"items" []}`, `{items:[]}`, `{"items":[]}}`, `[]`, `{"items":[]]`, `{"items":[1}`, `{"kind":{}}`, `{}`, `{"items":{}}`} {
		_, _, err := split(strings.NewReader(text))
		assert.Error(t, err, text)
	}
	for _, text := range []string{`{"items":null}`, `{"items":[]}`} {
		_, _, err := split(strings.NewReader(text))
		assert.NoError(t, err, text)
	}
}

func TestPrune(t *testing.T) {
	all := &Shape{}
	s := &Shape{Fields: map[string]*Shape{"a": all, "list": {Fields: map[string]*Shape{"x": all}}}, Key: func(key []byte) bool { return key[0] == '_' }}
	for text, want := range map[string]string{
		`{"a":{"b":[1, 2]},"c":3,"_d":{"e":null}}`:          `{"a":{"b":[1, 2]},"_d":{"e":null}}`,
		`{"list":[{"x":1,"y":2},7,null,[{"y":3}]],"z":"}"}`: `{"list":[{"x":1},7,null,[{}]]}`,
		`{"z":1}`:              `{}`,
		`{"list":"no list"}`:   `{"list":"no list"}`,
		`"a"`:                  `"a"`,
		` { "z" : 1 , "a":2} `: `{"a":2}`,
	} {
		got, _, ok := Prune(nil, []byte(text), s)
		assert.True(t, ok, text)
		assert.Equal(t, want, string(got))
	}
	for _, text := range []string{``, `{`, `{"a":}`, `{"z":tru}`, `{"a":1,}`, `{"\u0061":1}`, `{"a":1}{}`, `{"list":[1,]}`} {
		_, _, ok := Prune(nil, []byte(text), s)
		assert.False(t, ok, text)
	}
}

func TestADigestIsTheSameForWhatIsEqual(t *testing.T) {
	digested := &Shape{Fields: map[string]*Shape{}, Digest: true}
	digest := func(text string) Digest {
		_, d, ok := Prune(nil, []byte(`{"other":1,"it":`+text+`}`), &Shape{Fields: map[string]*Shape{"it": digested}})
		require.True(t, ok, text)
		return d
	}
	const text = `{"a":1,"b":[{"c":"d"},{}],"e":{"f":true}}`
	for _, same := range []string{`{ "a": 1, "b":[{"c":"d"},null],"e":{"f":true}}`, `{"a":1,"aa":null,"b":[{"c":"d"},{"x":[]}],"e":{"f":true,"g":{}},"h":[]}`} {
		assert.Equal(t, digest(text), digest(same), same)
	}
	for _, other := range []string{`{"a":1.0,"b":[{"c":"d"},{}],"e":{"f":true}}`, `{"a":1,"b":[{},{"c":"d"}],"e":{"f":true}}`, `{"a":1,"b":[{"c":"d"}],"e":{"f":true}}`,
		`{"a":1,"b":[{"c":"d"},{}],"e":true}`, `{"a":"1","b":[{"c":"d"},{}],"e":{"f":true}}`, `{}`} {
		assert.NotEqual(t, digest(text), digest(other), other)
	}
	assert.Zero(t, digest(`{"a":{"b":null}}`))
	// Keys out of order are somebody else's to sort.
	for _, text := range []string{`{"b":1,"a":2}`, `{"a":{"b":1,"b":1}}`} {
		_, _, ok := Prune(nil, []byte(text), digested)
		assert.False(t, ok, text)
	}
}

func TestAPoolReadsWhatObjectReads(t *testing.T) {
	var p Pool
	for i := range 3 {
		for _, text := range []string{`{"a":{"b":[1,{"c":"d"}],"é":"\n"},"e":{"c":"d"}}`, `{}`, `{"a":[],"b":{}}`, fmt.Sprintf(`{"n":%d,"b":{}}`, i)} {
			want, ok := Object([]byte(text))
			require.True(t, ok)
			got, ok := p.Value([]byte(text))
			require.True(t, ok)
			assert.Equal(t, any(want), got)
			in, ok := ObjectIn(text)
			require.True(t, ok)
			assert.Equal(t, want, in)
		}
	}
	one, _ := p.Value([]byte(`{"x":{"shared":[1]}}`))
	other, _ := p.Value([]byte(`{"y":{"shared":[1]}}`))
	shared := one.(map[string]any)["x"].(map[string]any)
	shared["seen"] = true
	assert.Equal(t, shared, other.(map[string]any)["y"], "the same value")
	for _, text := range []string{``, `{"a":1,"a":2}`, `{"a":{"b":1,"b":1}}`, `{"a":1} 2`, `{"a":`, `["\ud800"]`} {
		_, ok := p.Value([]byte(text))
		assert.False(t, ok, text)
		_, ok = ObjectIn(text)
		assert.False(t, ok, text)
	}
}
