package manifest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/manifest"
)

func TestQuantitiesOfTooManyDigitsAreRefused(t *testing.T) {
	for _, text := range []string{"1e99999999", "922E372036854775808", "1E-100000", "1e+0001000", "0x10", "", " 1", "1e", "many"} {
		_, err := manifest.ParseQuantity(text)
		assert.Error(t, err, text)
	}
	for _, text := range []string{"0", "1", "500m", "16Gi", "1E", "1Ei", "1e3", "1e100", "5E2", "-1", "9223372036854775808"} {
		_, err := manifest.ParseQuantity(text)
		assert.NoError(t, err, text)
	}
}

func TestObjectsAreReadByTheLetter(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1,"a":2}`:        "duplicate field \"a\"",
		`{"a":{"b":1,"b":1}}`:  "duplicate field \"a.b\"",
		`[]`:                   "is a list, not an object",
		`null`:                 "is null, not an object",
		`{"a":`:                "unexpected end of JSON input",
		`{"a":1} {"b":2}`:      "after top-level value",
		`{"spec":1,"spec":{}}`: "duplicate field \"spec\"",
	} {
		_, err := manifest.Decode([]byte(text))
		assert.ErrorContains(t, err, want, text)
	}
	o, err := manifest.Decode([]byte(`{"Spec":1,"spec":9007199254740993}`))
	assert.NoError(t, err)
	assert.Equal(t, manifest.Object{"Spec": int64(1), "spec": int64(9007199254740993)}, o)
}

func TestEqualIgnoresWhatTheAPIServerAddsAndDrops(t *testing.T) {
	for name, c := range map[string]struct {
		a, b any
		want bool
	}{
		"null is absent":                {manifest.Object{"a": nil}, manifest.Object{}, true},
		"an empty object is absent":     {manifest.Object{"a": manifest.Object{"b": []any{}}}, manifest.Object{}, true},
		"zero is not absent":            {manifest.Object{"a": int64(0)}, manifest.Object{}, false},
		"an empty string is not absent": {manifest.Object{"a": ""}, manifest.Object{}, false},
		"lists keep their order":        {[]any{"a", "b"}, []any{"b", "a"}, false},
		"types differ":                  {manifest.Object{"a": "1"}, manifest.Object{"a": int64(1)}, false},
		"nested":                        {manifest.Object{"a": []any{manifest.Object{"b": "c", "d": nil}}}, manifest.Object{"a": []any{manifest.Object{"b": "c"}}}, true},
	} {
		assert.Equal(t, c.want, manifest.Equal(c.a, c.b), name)
		assert.Equal(t, c.want, manifest.Equal(c.b, c.a), name)
	}
}
