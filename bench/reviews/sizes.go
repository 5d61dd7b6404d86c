package reviews

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
)

// Sizes are expansions of Services with pod specs of about 1 KB, 50 KB and 1 MB, by the name
// of the size. Environment variables make the difference.
func Sizes() map[string]Case {
	cases := map[string]Case{}
	for name, size := range map[string]int{"1KB": 0, "50KB": 50 << 10, "1MB": 1 << 20} {
		var padding bytes.Buffer
		for i := 0; padding.Len() < size; i++ {
			fmt.Fprintf(&padding, `{"name":"SETTING_%d","value":"--feature-gates=Alpha=true,Beta=false --cache=/var/cache/models/%d --log-format=json --threads=8"},`, i, i)
		}
		object := replaceLast(bytes.TrimSpace(Service), `"env":[`, `"env":[`+padding.String())
		cases[name] = create(Case{Name: "expand", Step: Mutate, Object: object, Expands: true})
	}
	return cases
}

// SizeNames are the sizes, the smallest first.
var SizeNames = []string{"1KB", "50KB", "1MB"}

// replaceLast replaces the last place only: what kubectl applied last is a text in the
// object, and stays as it is.
func replaceLast(text []byte, old, new string) []byte {
	at := bytes.LastIndex(text, []byte(old))
	if at < 0 {
		panic("the object has no " + old)
	}
	result := append(bytes.Clone(text[:at]), new...)
	result = append(result, text[at+len(old):]...)
	if !json.Valid(result) {
		panic("the object is no JSON any more")
	}
	return result
}

// BenchmarkSizes checks the answers to all sizes and then times them.
func BenchmarkSizes(b *testing.B, engine string, handler http.Handler, path string) {
	caller := NewCaller(handler, path)
	sizes := Sizes()
	for _, name := range SizeNames {
		c := sizes[name]
		b.Run("spec="+name+"/engine="+engine, func(b *testing.B) {
			answer, err := caller.Call(c.Body)
			if err == nil {
				err = c.Check(answer)
			}
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := caller.Call(c.Body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
