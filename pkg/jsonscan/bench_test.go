package jsonscan_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/jsonscan"
)

func BenchmarkScan(b *testing.B) {
	raw, err := os.ReadFile("../../bench/reviews/testdata/expanded.json")
	require.NoError(b, err)
	for name, read := range map[string]func() bool{
		"raw": func() bool {
			r := jsonscan.NewScanner(raw)
			_, ok := r.Raw()
			r.Release()
			return ok
		},
		"state": func() bool { _, ok := jsonscan.State(raw); return ok },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if !read() {
					b.Fatal("unreadable")
				}
			}
		})
	}
}
